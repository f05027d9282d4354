"""Manifests of channels: what is signed, what is refused, who is in a share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.channel import (
    ChannelError,
    Manifest,
    Release,
    Target,
    labels_hash,
    read_manifest,
    rollout_position,
    sealed_manifest,
)
from edgecat_runtime.model.signing import PrivateKey, new_key, read_key
from edgecat_runtime.model.trust import NotTrusted, Trust

pytest.importorskip(
    "cryptography", reason="needs cryptography: pip install 'edgecat-runtime[sign]'"
)

HASH = "ab" * 32
CREATED = "2026-01-31T12:00:00Z"
RELEASE = Release(
    version=7,
    created=CREATED,
    percent=10,
    salt="00112233aabbccdd",
    labels_sha256=labels_hash(("cat", "dog")),
    targets=(Target(1000, HASH, "onnx", "int8"),),
    min_edgecat="0.1",
    note="fewer wolves",
)
MANIFEST = Manifest("yard", 12, CREATED, (RELEASE, replace(RELEASE, version=6, percent=100)))


@pytest.fixture
def key(tmp_path: Path) -> PrivateKey:
    new_key(tmp_path / "ours", "us")
    return read_key(tmp_path / "ours")


@pytest.fixture
def trust(key: PrivateKey, tmp_path: Path) -> Trust:
    return Trust.read(tmp_path / "ours.pub")


def test_a_signed_manifest_is_read_back(key: PrivateKey, trust: Trust) -> None:
    data = sealed_manifest(MANIFEST, key)
    assert read_manifest(data, trust) == read_manifest(data, None) == MANIFEST
    assert MANIFEST.newest == 7
    assert MANIFEST.releases[0].targets[0].file == f"models/{HASH}.onnx"


def test_one_flipped_bit_anywhere_is_refused(key: PrivateKey, trust: Trust) -> None:
    data = sealed_manifest(MANIFEST, key)
    for place in range(len(data) - 1):  # behind the last one is a line break
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises((NotTrusted, ChannelError)):
            read_manifest(bytes(changed), trust)


def test_spaces_and_the_order_of_keys_are_not_signed(key: PrivateKey, trust: Trust) -> None:
    content = json.loads(sealed_manifest(MANIFEST, key))
    content["manifest"] = dict(reversed(content["manifest"].items()))
    assert read_manifest(json.dumps(content).encode(), trust) == MANIFEST


def test_a_field_of_a_later_edgecat_is_signed_and_ignored(key: PrivateKey, trust: Trust) -> None:
    content = json.loads(sealed_manifest(MANIFEST, key))
    content["manifest"]["more"] = 1
    with pytest.raises(NotTrusted, match="does not match its signature"):
        read_manifest(json.dumps(content).encode(), trust)
    message = MANIFEST.message().split(b"\n", 1)
    longer = json.dumps(content["manifest"], sort_keys=True, separators=(",", ":")).encode()
    content["signature"] = key.sign(message[0] + b"\n" + longer).to_json()
    assert read_manifest(json.dumps(content).encode(), trust) == MANIFEST


def test_a_signature_of_something_else_is_not_one_of_a_manifest(
    key: PrivateKey, trust: Trust
) -> None:
    content = json.loads(sealed_manifest(MANIFEST, key))
    text = json.dumps(content["manifest"], sort_keys=True, separators=(",", ":"))
    content["signature"] = key.sign(b"edgecat signed model 1\n" + text.encode()).to_json()
    with pytest.raises(NotTrusted):
        read_manifest(json.dumps(content).encode(), trust)


def test_a_stranger_s_and_a_revoked_key_s_manifests_are_refused(
    key: PrivateKey, trust: Trust, tmp_path: Path
) -> None:
    new_key(tmp_path / "theirs")
    data = sealed_manifest(MANIFEST, read_key(tmp_path / "theirs"))
    with pytest.raises(NotTrusted, match="expected a key in"):
        read_manifest(data, trust)
    (tmp_path / "all.pub").write_text(
        f"{read_key(tmp_path / 'theirs').public.to_line()}\n@revoked {key.public.to_line()} lost\n"
    )
    both = Trust.read(tmp_path / "all.pub")
    read_manifest(data, both)
    with pytest.raises(NotTrusted, match="revokes"):
        read_manifest(sealed_manifest(MANIFEST, key), both)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b"not JSON",
        b"\xff\xfe",
        b'{"manifest": 1, "signature": 2}',
        b'{"manifest": {}, "manifest": {}, "signature": "x"}',
        b'{"manifest": {"a": 1.5}, "signature": "x"}',
        b'{"manifest": {"a": NaN}, "signature": "x"}',
        b'{"manifest": {"a": ' + b"9" * 100_000 + b'}, "signature": "x"}',
        b'{"manifest": {"a": ' + b"[" * 100_000 + b'}, "signature": "x"}',
        b" " * (1 << 21),
    ],
    ids=lambda data: repr(data[:30]),
)
def test_what_is_no_manifest_is_a_sentence(data: bytes, trust: Trust) -> None:
    with pytest.raises(ChannelError, match="manifest of a channel"):
        read_manifest(data, trust)


CHANGES: list[tuple[str, Callable[[], Manifest]]] = [
    ("channel", lambda: replace(MANIFEST, channel="../yard")),
    ("sequence", lambda: replace(MANIFEST, sequence=0)),
    ("created", lambda: replace(MANIFEST, created="today")),
    ("expires", lambda: replace(MANIFEST, expires="2026-01-31")),
    ("returns_from", lambda: replace(MANIFEST, returns_from=-1)),
    ("releases", lambda: replace(MANIFEST, releases=())),
    ("listed twice", lambda: replace(MANIFEST, releases=(RELEASE, RELEASE))),
    ("version", lambda: released(version=0)),
    ("percent", lambda: released(percent=101)),
    ("salt", lambda: released(salt="")),
    ("labels_sha256", lambda: released(labels_sha256="x")),
    ("min_edgecat", lambda: released(min_edgecat="new")),
    ("note", lambda: released(note="two\nlines")),
    ("targets", lambda: released(targets=())),
    ("sha256", lambda: released(targets=(replace(RELEASE.targets[0], sha256="../../x"),))),
    ("size", lambda: released(targets=(replace(RELEASE.targets[0], size=0),))),
    ("form", lambda: released(targets=(replace(RELEASE.targets[0], form="x" * 11),))),
]


def released(**changes: object) -> Manifest:
    return replace(MANIFEST, releases=(replace(RELEASE, **changes),))  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "changed"), CHANGES, ids=[name for name, _ in CHANGES])
def test_fields_out_of_range_are_not_even_signed(
    field: str, changed: Callable[[], Manifest], key: PrivateKey
) -> None:
    with pytest.raises(EdgecatError, match=field):
        sealed_manifest(changed(), key)


def test_a_share_that_grows_only_adds_boards() -> None:
    boards = [f"board-{number}" for number in range(500)]
    places = {board: rollout_position(RELEASE.salt, board) for board in boards}
    assert all(0 <= place < 100 for place in places.values())
    counts = [sum(place < percent for place in places.values()) for percent in range(101)]
    assert counts == sorted(counts)
    assert (counts[0], counts[100]) == (0, 500)
    assert 25 < counts[10] < 80, "near a tenth"
    assert places != {board: rollout_position("ff" * 8, board) for board in boards}, (
        "others next time"
    )
    assert rollout_position("00112233aabbccdd", "board-0") == places["board-0"]
