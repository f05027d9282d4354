"""Signed models: what is accepted, and every way in which one is refused."""

from __future__ import annotations

import random
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import load_file, save

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import EdgecatError, UserError
from edgecat_runtime.model.artifact import read_card, read_stored, seal_safetensors
from edgecat_runtime.model.card import CardDamaged, ModelCard
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.model.trust import NotTrusted, Trust, own_output

pytest.importorskip("cryptography", reason="needs cryptography: pip install 'edgecat[sign]'")
from edgecat_runtime.model.signature import PublicKey
from edgecat_runtime.model.signing import PASSPHRASE, new_key, read_key, sign_model

KINDS = ["model.onnx", "many.onnx", "model.safetensors", "model.trt"]


@pytest.fixture
def shelf(tmp_path: Path, tiny_card: ModelCard, make_tiny: Callable[..., bytes]) -> Path:
    """A folder with unsigned models of each kind and two key pairs."""
    (tmp_path / "model.onnx").write_bytes(make_tiny())
    many = replace(tiny_card, labels=tuple(f"a class with number {n}" for n in range(600)))
    (tmp_path / "many.onnx").write_bytes(make_tiny(card=many))
    tensors = {"a": np.arange(24, dtype=np.float32).reshape(2, 12)}
    (tmp_path / "model.safetensors").write_bytes(seal_safetensors(save(tensors), tiny_card))
    engine = b"plan" + tiny_card.to_json().encode() + bytes(range(256))
    (tmp_path / "model.trt").write_bytes(engine)
    new_key(tmp_path / "ours", "us")
    new_key(tmp_path / "theirs", "them")
    return tmp_path


@pytest.mark.parametrize("name", KINDS)
def test_a_signed_model_is_accepted_and_others_are_not(shelf: Path, name: str) -> None:
    path, ours, theirs = shelf / name, shelf / "ours.pub", shelf / "theirs.pub"
    with pytest.raises(NotTrusted, match="is not signed; expected a signature by a key in"):
        read_card(path, trust=ours)
    unsigned = read_card(path)
    sign_model(path, read_key(shelf / "ours"))
    assert read_card(path) == unsigned
    assert read_card(path, trust=ours) == unsigned
    with pytest.raises(NotTrusted, match=r"is signed by SHA256:\S+; expected a key in"):
        read_card(path, trust=theirs)
    sign_model(path, read_key(shelf / "theirs"))  # replaces the first
    assert read_card(path, trust=theirs) == unsigned
    with pytest.raises(NotTrusted):
        read_card(path, trust=ours)


def test_a_signed_file_still_opens_elsewhere(shelf: Path) -> None:
    for name in ("model.onnx", "model.safetensors"):
        sign_model(shelf / name, read_key(shelf / "ours"))
    onnx.checker.check_model(onnx.load(shelf / "model.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(shelf / "model.onnx")
    assert session.run(None, {"frames": golden_frames(32, 32)})[0].shape == (4, 2)
    assert load_file(shelf / "model.safetensors")["a"].shape == (2, 12)


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors"])
def test_one_flipped_bit_of_a_signed_file_is_refused(shelf: Path, name: str) -> None:
    sign_model(shelf / name, read_key(shelf / "ours"))
    good = (shelf / name).read_bytes()
    rng = random.Random(0)
    damaged = shelf / f"damaged{Path(name).suffix}"
    for position in rng.sample(range(len(good)), min(len(good), 1500)):
        flipped = bytearray(good)
        flipped[position] ^= 1 << rng.randrange(8)
        damaged.write_bytes(flipped)
        with pytest.raises(EdgecatError):
            read_card(damaged)


def test_an_engine_that_was_changed_after_signing_is_refused(shelf: Path) -> None:
    path = shelf / "model.trt"
    written = sign_model(path, read_key(shelf / "ours"))
    assert written == shelf / "model.trt.sig"
    path.write_bytes(path.read_bytes() + b"\0")
    assert read_card(path)  # an engine's bytes have no hash of their own
    with pytest.raises(NotTrusted, match="does not match its signature by us"):
        read_card(path, trust=shelf / "ours.pub")


def test_a_signature_does_not_carry_over_to_another_model(
    shelf: Path, tiny_card: ModelCard, make_tiny: Callable[..., bytes]
) -> None:
    """Whoever writes a model computes its hashes; only the key's owner signs them."""
    path = shelf / "model.onnx"
    sign_model(path, read_key(shelf / "ours"))
    signed, stored = path.read_bytes(), read_stored(path)
    tail = signed[len(make_tiny()) :]
    forged = make_tiny(card=replace(tiny_card, temperature=2.0))
    path.write_bytes(forged + tail)
    assert read_stored(path).signature == stored.signature
    with pytest.raises(NotTrusted, match="does not match its signature by us"):
        read_card(path, trust=shelf / "ours.pub")


def test_keys_rotate_and_are_revoked(shelf: Path) -> None:
    path, trust = shelf / "model.onnx", shelf / "trusted"
    old, new = ((shelf / f"{name}.pub").read_text() for name in ("ours", "theirs"))
    trust.write_text(f"# keys of the fleet\n{old}\n{new}")
    sign_model(path, read_key(shelf / "ours"))
    card = read_card(path, trust=trust)
    trust.write_text(f"@revoked {old.rsplit(' ', 1)[0]} stolen laptop\n{old}{new}")
    with pytest.raises(NotTrusted, match=r"revokes \(stolen laptop\)"):
        read_card(path, trust=trust)
    sign_model(path, read_key(shelf / "theirs"))
    assert read_card(path, trust=trust) == card
    with trust.open("a") as file:
        file.write(f"@revoked sha256:{card.payload_sha256} mistakes wolves for dogs\n")
    with pytest.raises(NotTrusted, match="was revoked \\(mistakes wolves for dogs\\)"):
        read_card(path, trust=trust)


def test_a_folder_of_public_keys_is_trusted(shelf: Path) -> None:
    sign_model(shelf / "model.onnx", read_key(shelf / "theirs"))
    assert read_card(shelf / "model.onnx", trust=shelf)
    assert {key.name for key in Trust.read(shelf).keys} == {"us", "them"}


def test_the_environment_applies_everywhere_but_to_own_output(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECAT_TRUST", str(shelf / "ours.pub"))
    with pytest.raises(NotTrusted):
        Classifier.open(shelf / "model.onnx")
    with own_output():
        assert read_card(shelf / "model.onnx")
    with pytest.raises(NotTrusted):
        read_card(shelf / "model.onnx")
    sign_model(shelf / "model.onnx", read_key(shelf / "ours"))
    with Classifier.open(shelf / "model.onnx") as classifier:
        assert classifier.classify(golden_frames(32, 32)[0]).label


def test_a_classifier_stays_as_strict_when_it_is_opened_again(shelf: Path) -> None:
    sign_model(shelf / "model.onnx", read_key(shelf / "ours"))
    with Classifier.open(shelf / "model.onnx", trust=shelf / "ours.pub") as classifier:
        sign_model(shelf / "model.onnx", read_key(shelf / "theirs"))
        with pytest.raises(NotTrusted):
            classifier.open_again()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no trusted keys"),
        ("# nothing\n\n", "holds no trusted keys"),
        ("ssh-rsa AAAAB3NzaC1yc2E= x", "line 1, is not a key; expected ssh-ed25519"),
        ("ssh-ed25519 AAAA", "line 1, is not a key"),
        ("ssh-ed25519", "line 1, is not a key"),
        ("@revoked sha256:12 short", "line 1, is not a key"),
        ("\n\nnonsense", "line 3, is not a key"),
    ],
)
def test_a_faulty_file_of_keys_is_a_sentence(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(UserError, match=why):
        Trust.read(tmp_path / "keys")


def test_a_missing_or_binary_file_of_keys_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the trusted keys .*No such file"):
        Trust.read(tmp_path / "none")
    (tmp_path / "keys").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        Trust.read(tmp_path / "keys")


def test_a_private_key_is_its_owners_alone_and_is_never_overwritten(tmp_path: Path) -> None:
    public = new_key(tmp_path / "key", "a\tb\x1b[31m")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert public.name == "ab[31m"
    assert PublicKey.from_line((tmp_path / "key.pub").read_text()) == public
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(UserError, match="exists; a key is never overwritten"):
        new_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before


def test_a_key_can_have_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    public = new_key(tmp_path / "key")
    assert b"ENCRYPTED" in (tmp_path / "key").read_bytes()
    assert read_key(tmp_path / "key").public == public
    monkeypatch.setenv(PASSPHRASE, "wrong")
    with pytest.raises(UserError, match="is not a private key that can be read"):
        read_key(tmp_path / "key")
    monkeypatch.delenv(PASSPHRASE)
    with pytest.raises(UserError, match=PASSPHRASE):
        read_key(tmp_path / "key")


def test_ssh_keygen_agrees_on_the_fingerprint() -> None:
    """By ssh-keygen -l of OpenSSH 9.2 for this key."""
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFERERERERERERERERERERERERERERERERERERERERER x"
    key = PublicKey.from_line(line)
    assert key.raw == bytes([0x51] + [0x11] * 31)
    assert key.to_line() == line
    assert key.fingerprint == "SHA256:FtZE93ZWfwfwq61O+QiDC5IRJn8B9La8Lol+ar0eqgU"


def test_a_signature_that_is_none_is_damage(shelf: Path) -> None:
    (shelf / "model.trt.sig").write_text("{}")
    with pytest.raises(CardDamaged, match=r"the signature of .*model\.trt is damaged"):
        read_card(shelf / "model.trt")
