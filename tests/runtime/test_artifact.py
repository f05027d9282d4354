from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import load_file, save

from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.artifact import (
    read_card,
    seal_onnx,
    seal_safetensors,
)
from edgecat_runtime.model.card import CardDamaged, CardError, CardMissing, ModelCard
from edgecat_runtime.model.engine_card import UNSEALED, sealed_plan
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.model.int8_weights import widest_int8_weight

MANY = tuple(f"第{i}類のもの" for i in range(600))


@pytest.fixture
def sealed(tmp_path: Path, tiny_card: ModelCard, make_tiny: Callable[..., bytes]) -> Path:
    """A folder with one sealed file of each kind."""
    (tmp_path / "model.onnx").write_bytes(make_tiny())
    tensors = {"a": np.arange(24, dtype=np.float32).reshape(2, 12), "b": np.ones(3, np.int64)}
    (tmp_path / "model.safetensors").write_bytes(seal_safetensors(save(tensors), tiny_card))
    name = replace(tiny_card, payload_sha256=UNSEALED).to_json().encode()
    plan = sealed_plan(b"ftrt" + bytes(range(200)) + name + bytes(range(200)))
    (tmp_path / "model.trt").write_bytes(plan)
    return tmp_path


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors"])
def test_the_card_reads_back_from_the_file(sealed: Path, tiny_card: ModelCard, name: str) -> None:
    card = read_card(sealed / name)
    assert card.labels == tiny_card.labels
    assert card.payload_bytes > 0
    assert len(card.payload_sha256) == 64


def test_a_sealed_file_still_loads_elsewhere(sealed: Path) -> None:
    onnx.checker.check_model(onnx.load(sealed / "model.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(sealed / "model.onnx")
    assert session.run(None, {"frames": golden_frames(32, 32)})[0].shape == (4, 2)
    assert session.get_modelmeta().custom_metadata_map["edgecat"].startswith("{")
    assert load_file(sealed / "model.safetensors")["a"].shape == (2, 12)


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors", "model.trt"])
def test_one_flipped_bit_anywhere_is_refused(sealed: Path, name: str) -> None:
    good = (sealed / name).read_bytes()
    rng = random.Random(0)
    everywhere = range(len(good)) if len(good) < 3000 else rng.sample(range(len(good)), 3000)
    damaged = sealed / f"damaged{Path(name).suffix}"
    for position in everywhere:
        flipped = bytearray(good)
        flipped[position] ^= 1 << rng.randrange(8)
        damaged.write_bytes(flipped)
        with pytest.raises(EdgecatError):
            read_card(damaged)


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors", "model.trt"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_part_of_a_file_is_refused(sealed: Path, name: str, share: float) -> None:
    data = (sealed / name).read_bytes()
    (sealed / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(EdgecatError):
        read_card(sealed / name)


def test_an_engine_is_sealed_in_its_place(sealed: Path, tiny_card: ModelCard) -> None:
    plan = (sealed / "model.trt").read_bytes()
    card = read_card(sealed / "model.trt")
    around = b"ftrt" + 2 * bytes(range(200))
    assert card.payload_sha256 == hashlib.sha256(around).hexdigest()
    assert replace(card, payload_sha256="") == tiny_card
    name = replace(tiny_card, payload_sha256=UNSEALED).to_json().encode()
    assert (len(plan), plan[:204], plan[-200:]) == (404 + len(name), around[:204], around[204:])
    for changed in (plan[:-60], plan + b"more"):
        (sealed / "model.trt").write_bytes(changed)
        with pytest.raises(CardDamaged, match="or is truncated: its hash does not match"):
            read_card(sealed / "model.trt")


@pytest.mark.parametrize("hash_", ["", UNSEALED])
def test_an_engine_without_a_hash_is_read(sealed: Path, tiny_card: ModelCard, hash_: str) -> None:
    name = replace(tiny_card, payload_sha256=hash_).to_json().encode()
    (sealed / "old.rtx").write_bytes(b"plan" + name + b"weights")
    assert read_card(sealed / "old.rtx") == tiny_card
    with pytest.raises(CardMissing, match="can be sealed"):
        sealed_plan(b"plan" + tiny_card.to_json().encode())


def test_bytes_behind_the_card_are_refused(sealed: Path) -> None:
    with (sealed / "model.onnx").open("ab") as file:
        file.write(b"\x72\x00")
    with pytest.raises(CardDamaged, match="was modified after it was written"):
        read_card(sealed / "model.onnx")


@pytest.mark.parametrize(
    ("name", "weight", "fix"),
    [
        ("model.onnx", 400, "Copy it again or export it again"),
        ("model.safetensors", -1, "Copy it again or train it again"),
    ],
)
def test_the_fix_of_damage_fits_the_kind_of_file(
    sealed: Path, name: str, weight: int, fix: str
) -> None:
    data = bytearray((sealed / name).read_bytes())
    (sealed / name).write_bytes(data[:5])
    with pytest.raises(CardError, match=fix):
        read_card(sealed / name)
    data[weight] ^= 1
    (sealed / name).write_bytes(data)
    with pytest.raises(CardDamaged, match=fix):
        read_card(sealed / name)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("text.onnx", b"This is a text file.\n", "is not an ONNX model"),
        ("empty.onnx", b"", "is not an ONNX model"),
        ("text.safetensors", b"This is a text file.\n", "is not a safetensors file"),
        (
            "bare.safetensors",
            save({"a": np.ones(2, np.float32)}),
            "has no model card. Use a checkpoint",
        ),
        ("model.pth", b"", "is not a model; expected a .onnx, .safetensors, .trt or .rtx file"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CardError, match=sentence):
        read_card(tmp_path / name)


def test_an_onnx_file_without_a_card_is_refused(
    tmp_path: Path, make_tiny: Callable[..., bytes]
) -> None:
    model = onnx.load_from_string(make_tiny())
    model.ClearField("metadata_props")
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(CardError, match=r"bare.onnx --labels labels.txt --mean .* --std .* --size"):
        read_card(tmp_path / "bare.onnx")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="does not exist"):
        read_card(tmp_path / "none.onnx")


def test_sealing_again_replaces_the_card(
    tmp_path: Path, tiny_card: ModelCard, make_tiny: Callable[..., bytes]
) -> None:
    again = seal_onnx(make_tiny(), replace(tiny_card, labels=("kat", "hond")))
    (tmp_path / "again.onnx").write_bytes(again)
    assert read_card(tmp_path / "again.onnx").labels == ("kat", "hond")
    keys = [entry.key for entry in onnx.load_from_string(again).metadata_props]
    assert keys == ["edgecat"]


def test_many_labels_travel_in_both_kinds(tmp_path: Path, make_tiny: Callable[..., bytes]) -> None:
    card = ModelCard(architecture="tiny", labels=MANY, height=32, width=32)
    (tmp_path / "m.onnx").write_bytes(seal_onnx(make_tiny(), card))
    tensors = save({"a": np.ones(2, np.float32)})
    (tmp_path / "m.safetensors").write_bytes(seal_safetensors(tensors, card))
    assert read_card(tmp_path / "m.onnx").labels == MANY
    assert read_card(tmp_path / "m.safetensors").labels == MANY


def test_bytes_that_are_no_model_cannot_be_sealed(tiny_card: ModelCard) -> None:
    with pytest.raises(CardError, match="are not an ONNX model"):
        seal_onnx(b"", tiny_card)
    with pytest.raises(CardError, match="safetensors"):
        seal_safetensors(b"1234", tiny_card)


@pytest.mark.parametrize(
    ("constants", "widest"),
    [
        ((np.array([[3, -64]], np.int8),), 64),
        ((np.array([1], np.int8), np.array([5, -128], np.int8)), 128),
        ((np.array([200], np.uint8), np.array([9.0], np.float32)), 0),
        ((), 0),
    ],
)
def test_the_widest_int8_weight(
    constants: tuple[np.ndarray, ...], widest: int, tmp_path: Path
) -> None:
    tensors = [onnx.numpy_helper.from_array(c, f"c{i}") for i, c in enumerate(constants)]
    graph = onnx.helper.make_graph([], "constants", [], [], tensors)
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    assert widest_int8_weight(path) == widest
    path.write_bytes(path.read_bytes()[:-1])
    assert widest_int8_weight(path) in (0, widest)  # what is cut off is for the backend to tell
    assert widest_int8_weight(tmp_path / "none.onnx") == 0
