"""One board and its channel: what is fetched, what is refused, what is resumed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecat_runtime.errors import DeviceError, EdgecatError, UserError
from edgecat_runtime.loop.fleet import store as store_module
from edgecat_runtime.loop.fleet.decide import UpdateRefused
from edgecat_runtime.loop.fleet.device import Device
from edgecat_runtime.loop.fleet.opening import Opening
from edgecat_runtime.loop.fleet.origin import FolderOrigin, Origin, WebOrigin, open_origin
from edgecat_runtime.loop.fleet.store import Store
from edgecat_runtime.loop.fleet.updater import Offer, Updater
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.channel import (
    MANIFEST,
    Manifest,
    Release,
    Target,
    labels_hash,
    sealed_manifest,
)
from edgecat_runtime.model.signing import PrivateKey, new_key, read_key, sign_model
from fleet.server import Server

pytest.importorskip(
    "cryptography", reason="needs cryptography: pip install 'edgecat-runtime[sign]'"
)
pytest.importorskip("onnxruntime")

Make = Callable[..., bytes]
CREATED = "2026-01-31T12:00:00Z"


class Yard:
    """A channel in a folder, a board, and everything between them."""

    def __init__(self, folder: Path, make: Make) -> None:
        self.folder, self.make = folder, make
        self.channel = folder / "channel"
        (self.channel / "models").mkdir(parents=True)
        for name in ("ours", "theirs"):
            new_key(folder / name, name)
        self.key: PrivateKey = read_key(folder / "ours")
        self.keys = folder / "trusted.pub"
        shutil.copy(folder / "ours.pub", self.keys)
        self.sequence = 0
        self.refusals: list[UpdateRefused] = []
        self.now = 1000.0
        self.store = Store(folder / "board")

    def publish(
        self,
        version: int,
        data: bytes | None = None,
        *,
        signed_by: str = "ours",
        key: PrivateKey | None = None,
        target: dict[str, Any] | None = None,
        release: dict[str, Any] | None = None,
        **manifest: Any,
    ) -> Target:
        """Publish a model; whatever the arguments say is done wrongly."""
        path = self.folder / "model.onnx"
        path.write_bytes(self.make(card=self.card(version)) if data is None else data)
        if signed_by:
            sign_model(path, read_key(self.folder / signed_by))
        data = path.read_bytes()
        made = Target(len(data), hashlib.sha256(data).hexdigest(), "onnx", "fp32")
        made = replace(made, **(target or {}))
        (self.channel / made.file).write_bytes(data)
        labels = labels_hash(("cat", "dog"))
        offered = Release(version, CREATED, 100, "ab" * 8, labels, (made,))
        offered = replace(offered, **(release or {}))
        self.sequence += 1
        made_manifest = Manifest("yard", self.sequence, CREATED, (offered,))
        made_manifest = replace(made_manifest, **manifest)
        sealed = sealed_manifest(made_manifest, key or self.key)
        (self.channel / MANIFEST).write_bytes(sealed)
        return made

    def card(self, version: int) -> ModelCard:
        return replace(self.base_card, temperature=1 + version / 10)

    base_card: ModelCard

    def updater(self, origin: Origin | None = None) -> Updater:
        opening = Opening(self.keys, options={"backend": "onnxruntime"})
        return Updater(
            self.store,
            origin or FolderOrigin(self.channel),
            opening,
            device=Device(backend="onnxruntime"),
            board="board-1",
            refused=self.refusals.append,
            stopped=lambda: False,
            clock=lambda: self.now,
        )

    def take(self, offer: Offer | None) -> None:
        """What a follower does with an offer."""
        assert offer is not None
        offer.classifier.close()
        self.store.save(self.store.state.taking(offer.model, None).settled())
        self.store.tidy()

    @property
    def causes(self) -> list[str]:
        return [refused.refusal.cause for refused in self.refusals]

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.store.models.iterdir())


@pytest.fixture
def yard(tmp_path: Path, make_tiny: Make, tiny_card: ModelCard) -> Iterator[Yard]:
    Yard.base_card = tiny_card
    made = Yard(tmp_path, make_tiny)
    yield made
    made.store.close()


@pytest.fixture
def server(yard: Yard) -> Iterator[Server]:
    serving = Server(yard.channel)
    yield serving
    serving.kill()


def test_a_board_takes_what_is_published_and_keeps_one_before(yard: Yard) -> None:
    updater = yard.updater()
    for version in (1, 2, 3):
        target = yard.publish(version)
        offer = updater.attempt()
        assert offer is not None
        assert offer.classifier.version is not None
        assert str(offer.classifier.version) == f"yard {version} ({target.sha256[:12]})"
        assert offer.classifier.card.temperature == pytest.approx(1 + version / 10)
        yard.take(offer)
        assert updater.attempt() is None, "it has it"
    assert len(yard.files) == 2, "the current and the previous one"
    state = yard.store.state
    assert (state.sequence, state.offered) == (3, 3)
    assert json.loads((yard.store.folder / "state.json").read_text())["current"]["version"] == 3


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


REFUSALS: dict[str, tuple[Callable[[Yard], Any], str]] = {
    "unsigned": (lambda y: y.publish(2, signed_by=""), "signature"),
    "a stranger's model": (lambda y: y.publish(2, signed_by="theirs"), "signature"),
    "wrong answers": (lambda y: y.publish(2, y.make(negate=True)), "self-test"),
    "no model": (lambda y: y.publish(2, b"not a model", signed_by=""), "model"),
    "half a model": (
        lambda y: y.publish(2, y.make()[: len(y.make()) // 2], signed_by=""), "model"),
    "other bytes": (lambda y: flipped(y.channel / y.publish(2).file), "hash"),
    "too large": (
        lambda y: os.truncate(y.channel / y.publish(2).file, 1 << 20), "size"),
    "other classes": (
        lambda y: y.publish(2, release={"labels_sha256": labels_hash(("dog", "cat"))}), "labels"),
    "classes that the manifest hides": (
        lambda y: y.publish(2, y.make(card=replace(y.base_card, labels=("dog", "cat")))), "labels"),
    "a newer edgecat": (lambda y: y.publish(2, release={"min_edgecat": "99"}), "edgecat"),
    "nothing suitable": (lambda y: y.publish(2, target={"form": "npu"}), "target"),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "cause"), REFUSALS.values(), ids=REFUSALS)
def test_a_release_that_is_not_right_is_refused_and_nothing_changes(
    yard: Yard, wrong: Callable[[Yard], Any], cause: str
) -> None:
    yard.publish(1)
    updater = yard.updater()
    yard.take(updater.attempt())
    before = yard.store.state
    wrong(yard)
    assert updater.attempt() is None
    assert yard.causes == [cause]
    assert yard.refusals[0].refusal.version == 2
    state = yard.store.state
    assert (state.current, state.previous) == (before.current, before.previous)
    assert yard.store.holds(before.current)  # type: ignore[arg-type]
    yard.publish(3)
    yard.take(updater.attempt())
    assert yard.store.state.current.version == 3  # type: ignore[union-attr]


MANIFESTS: dict[str, tuple[Callable[[Yard], Any], str]] = {
    "a stranger's": (
        lambda y: y.publish(2, key=read_key(y.folder / "theirs")), "signature"),
    "changed": (lambda y: flipped(y.channel / MANIFEST), "signature manifest"),
    "truncated": (lambda y: os.truncate(y.channel / MANIFEST, 200), "manifest"),
    "empty": (lambda y: os.truncate(y.channel / MANIFEST, 0), "manifest"),
    "huge": (lambda y: os.truncate(y.channel / MANIFEST, 3 << 20), "manifest"),
    "replayed": (lambda y: y.publish(2, sequence=1), "replayed"),
    "forked": (lambda y: y.publish(3, sequence=2), "replayed"),
    "another channel's": (lambda y: y.publish(2, channel="garden"), "channel"),
    "expired": (lambda y: y.publish(2, expires="2020-01-01T00:00:00Z"), "expired"),
    "by a revoked key": (
        lambda y: y.keys.write_text(
            (y.folder / "theirs.pub").read_text()
            + f"@revoked {y.key.public.to_line()} lost\n"), "signature"),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "causes"), MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_that_is_not_right_is_refused_before_anything_is_fetched(
    yard: Yard, wrong: Callable[[Yard], Any], causes: str
) -> None:
    for version in (1, 2):
        yard.publish(version)
        updater = yard.updater()
        yard.take(updater.attempt())
    before, files = yard.store.state, yard.files
    wrong(yard)
    with pytest.raises(UpdateRefused) as refused:
        updater.attempt()
    assert refused.value.refusal.cause in causes.split()
    assert (yard.store.state, yard.files) == (before, files)


def test_a_revoked_key_is_noticed_although_the_manifest_is_the_same(
    yard: Yard, server: Server
) -> None:
    yard.publish(1)
    updater = yard.updater(WebOrigin(server.url))
    yard.take(updater.attempt())
    yard.keys.write_text(
        (yard.folder / "theirs.pub").read_text() + f"@revoked {yard.key.public.to_line()} lost\n"
    )
    with pytest.raises(UpdateRefused, match="revokes"):
        updater.attempt()
    assert server.asked[-1] == (f"/{MANIFEST}", 304)


def test_versions_go_down_only_on_a_signed_return_which_cannot_be_replayed(yard: Yard) -> None:
    updater = yard.updater()
    yard.publish(6)
    yard.take(updater.attempt())
    yard.publish(7)
    yard.take(updater.attempt())
    yard.publish(6)
    assert updater.attempt() is None, "an older version without a return"
    yard.publish(6, returns_from=7)
    returning = (yard.channel / MANIFEST).read_bytes()
    offer = updater.attempt()
    assert offer is not None
    assert offer.returns
    yard.take(offer)
    yard.publish(8)
    yard.take(updater.attempt())
    (yard.channel / MANIFEST).write_bytes(returning)
    with pytest.raises(UpdateRefused, match="older than manifest"):
        updater.attempt()


def test_a_refused_model_is_fetched_once(yard: Yard, server: Server) -> None:
    yard.publish(1)
    updater = yard.updater(WebOrigin(server.url))
    yard.take(updater.attempt())
    target = yard.publish(2, yard.make(negate=True))
    for _ in range(3):
        assert updater.attempt() is None
    again = yard.updater(WebOrigin(server.url))  # after a restart
    assert again.attempt() is None
    assert [path for path, _ in server.asked].count(f"/{target.file}") == 1


def test_bytes_that_are_wrong_are_fetched_again_only_after_a_while(
    yard: Yard, server: Server
) -> None:
    yard.publish(1)
    updater = yard.updater(WebOrigin(server.url))
    yard.take(updater.attempt())
    target = yard.publish(2)
    whole = (yard.channel / target.file).read_bytes()
    flipped(yard.channel / target.file)

    def fetched() -> int:
        return [path for path, _ in server.asked].count(f"/{target.file}")

    counts = []
    for seconds in (0, 30, 40, 60, 70):  # pauses of a minute, then two
        yard.now += seconds
        assert updater.attempt() is None
        counts.append(fetched())
    assert counts == [1, 1, 2, 2, 3]
    (yard.channel / target.file).write_bytes(whole)
    yard.now += 3600
    yard.take(updater.attempt())


def test_an_unchanged_manifest_is_not_sent_again(yard: Yard, server: Server) -> None:
    yard.publish(1)
    updater = yard.updater(WebOrigin(server.url))
    yard.take(updater.attempt())
    for _ in range(3):
        assert updater.attempt() is None
    assert [status for path, status in server.asked if path == f"/{MANIFEST}"] == [200, *[304] * 3]


def test_a_download_is_resumed_where_it_broke_off(yard: Yard, server: Server) -> None:
    from fleet.models import model_bytes

    target = yard.publish(1, model_bytes(0.9))
    server.breaks_after = 250_000
    for attempts in (1, 2):
        with pytest.raises(DeviceError, match="ended after|disconnected"):
            yard.updater(WebOrigin(server.url)).attempt()  # a new one: the board was off
        (part,) = [name for name in yard.files if name.endswith(".part")]
        assert (yard.store.models / part).stat().st_size == attempts * 250_000
    server.breaks_after = 0
    yard.take(yard.updater(WebOrigin(server.url)).attempt())
    answers = [status for path, status in server.asked if path == f"/{target.file}"]
    assert answers == [200, 206, 206]
    assert yard.files == [f"{target.sha256}.onnx"]


def test_another_file_on_the_server_is_not_mixed_with_the_first_half(
    yard: Yard, server: Server
) -> None:
    from fleet.models import model_bytes

    target = yard.publish(1, model_bytes(0.9))
    whole = (yard.channel / target.file).read_bytes()
    (yard.channel / target.file).write_bytes(bytes(len(whole)))
    server.breaks_after = 250_000
    with pytest.raises(DeviceError):
        yard.updater(WebOrigin(server.url)).attempt()
    server.breaks_after = 0
    (yard.channel / target.file).write_bytes(whole)
    yard.take(yard.updater(WebOrigin(server.url)).attempt())
    assert [status for path, status in server.asked if path == f"/{target.file}"] == [200, 200]


def test_a_server_that_sends_without_end_is_cut_off(yard: Yard, server: Server) -> None:
    yard.publish(1)
    server.endless = True
    assert yard.updater(WebOrigin(server.url)).attempt() is None
    assert yard.causes == ["size"]
    assert yard.files == []
    assert server.sent < 64 << 20, "what fits into the buffers of a connection"


def test_a_full_disk_is_a_refusal_that_passes(yard: Yard, full_disk: Path) -> None:
    from fleet.models import model_bytes

    yard.store.close()
    yard.store = Store(full_disk / "board")
    yard.publish(1, model_bytes(0.9))
    updater = yard.updater()
    assert updater.attempt() is None, "too little would stay free"
    assert "has no room" in str(yard.refusals[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "SPARE_BYTES", -(1 << 30))
        (full_disk / "filler").write_bytes(bytes(600_000))
        yard.now += 120
        assert updater.attempt() is None, "it fills up while it is written"
        assert yard.causes == ["disk", "disk"]
        assert "the disk is full" in str(yard.refusals[1])
        (full_disk / "filler").unlink()
        yard.now += 600
        yard.take(updater.attempt())
    yard.store.close()  # before the disk is gone


def test_a_channel_that_cannot_be_read_is_a_sentence(yard: Yard, server: Server) -> None:
    for origin, said in (
        (FolderOrigin(yard.folder / "nowhere"), "cannot read"),
        (WebOrigin(server.url), "responded with 404"),
        (WebOrigin("http://127.0.0.1:1"), "cannot be reached"),
    ):
        with pytest.raises(DeviceError, match=said):
            yard.updater(origin).attempt()
    with pytest.raises(UserError, match="not a channel"):
        open_origin("ftp://user:secret@host/yard")
    assert open_origin("http://user:secret@host/yard").name == "http://***@host/yard"
    assert open_origin(yard.channel.as_uri()).name == str(yard.channel)


def test_a_folder_belongs_to_one_process(yard: Yard) -> None:
    pytest.importorskip("fcntl")
    with pytest.raises(UserError, match="used by another process"):
        Store(yard.store.folder)
    yard.store.close()
    Store(yard.store.folder).close()


def test_without_trusted_keys_nothing_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGECAT_TRUST", raising=False)
    with pytest.raises(UserError, match="--trust KEYS"):
        Opening()


def test_a_damaged_state_is_set_aside(yard: Yard) -> None:
    yard.publish(1)
    yard.take(yard.updater().attempt())
    yard.store.close()
    (yard.store.folder / "state.json").write_text("{")
    yard.store = Store(yard.store.folder)
    assert "cannot be read" in yard.store.damaged
    yard.take(yard.updater().attempt())
    assert (yard.store.folder / "state.damaged.json").read_text() == "{"


def test_an_error_of_the_address_is_not_the_model_s_fault(yard: Yard, server: Server) -> None:
    yard.publish(1)
    server.status = 403
    with pytest.raises(EdgecatError, match="rejects the user or password"):
        yard.updater(WebOrigin(server.url)).attempt()
    server.status = 0
    yard.take(yard.updater(WebOrigin(server.url)).attempt())
