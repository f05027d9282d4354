"""Checkpoints: what is written is what is read, and nothing else is."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save, save_file

from edgecat.models import build_model
from edgecat.models.backend import TorchBackend
from edgecat.models.checkpoint import golden_logits, load_checkpoint, save_checkpoint
from edgecat_runtime import Classifier, GateError, UserError, read_card
from edgecat_runtime.model.artifact import seal_safetensors
from edgecat_runtime.model.card import CardDamaged, CardError
from edgecat_runtime.model.golden import golden_frames


def test_what_is_saved_is_loaded(checkpoint: Path, tmp_path: Path) -> None:
    model, card = load_checkpoint(checkpoint)
    assert not model.training
    written = save_checkpoint(tmp_path / "again.safetensors", model, card)
    again, card_again = load_checkpoint(tmp_path / "again.safetensors")
    assert written == card_again == card
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert (tmp_path / "again.safetensors").read_bytes() == checkpoint.read_bytes()


def test_the_card_holds_the_answers_to_the_golden_frames(checkpoint: Path) -> None:
    model, card = load_checkpoint(checkpoint)
    logits = TorchBackend(model, card).infer(golden_frames(card.height, card.width))
    np.testing.assert_allclose(card.golden, logits, rtol=1e-5, atol=1e-7)
    assert card.tools["torch"] == torch.__version__
    assert card.payload_bytes > 0


def test_saving_leaves_the_model_alone(checkpoint: Path, tmp_path: Path) -> None:
    model, card = load_checkpoint(checkpoint)
    model.train().to(memory_format=torch.channels_last)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert save_checkpoint(tmp_path / "x.safetensors", model, card).golden == card.golden
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_checkpoint_serves(checkpoint: Path) -> None:
    with Classifier.open(checkpoint) as classifier:
        assert classifier.backend == "pytorch"
        prediction = classifier.classify(np.full((48, 64, 3), 128, np.uint8))
    assert set(prediction.probabilities) == {"cat", "dog"}


@pytest.mark.filterwarnings("error")
def test_frames_that_cannot_be_written_to_are_classified_without_a_warning(
    checkpoint: Path,
) -> None:
    model, card = load_checkpoint(checkpoint)
    backend = TorchBackend(model, card)
    frames = np.frombuffer(golden_frames(card.height, card.width).tobytes(), np.uint8)
    found = backend.infer(frames.reshape(-1, card.height, card.width, 3))
    np.testing.assert_allclose(found, card.golden, rtol=1e-5, atol=1e-7)


def test_half_precision_weights_are_read_as_float32(checkpoint: Path, tmp_path: Path) -> None:
    model, card = load_checkpoint(checkpoint)
    half = {name: t.half() for name, t in model.state_dict().items() if t.is_floating_point()}
    rest = {name: t for name, t in model.state_dict().items() if not t.is_floating_point()}
    path = tmp_path / "half.safetensors"
    path.write_bytes(seal_safetensors(save({**half, **rest}), replace(card, precision="fp16")))
    loaded, _ = load_checkpoint(path)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize("where", [40, 200, -1000, -1])
def test_one_flipped_byte_is_refused(checkpoint: Path, tmp_path: Path, where: int) -> None:
    data = bytearray(checkpoint.read_bytes())
    data[where] ^= 1
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(data)
    with pytest.raises((CardError, CardDamaged)):
        load_checkpoint(path)


def test_a_negated_convolution_is_refused_by_its_golden_frames(
    checkpoint: Path, tmp_path: Path
) -> None:
    tensors = load_file(checkpoint)
    tensors["features.0.weight"] *= -1
    path = tmp_path / "negated.safetensors"
    path.write_bytes(seal_safetensors(save(tensors), read_card(checkpoint)))
    load_checkpoint(path)
    with pytest.raises(GateError):
        Classifier.open(path)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        ("cardless", "no model card"),
        ("text", "not a safetensors file"),
        ("empty", "not a safetensors file"),
        ("missing", "does not exist"),
        ("labels", "do not match its card"),
        ("suffix", "is not a checkpoint"),
    ],
)
def test_what_is_no_checkpoint(checkpoint: Path, tmp_path: Path, make: str, sentence: str) -> None:
    path = tmp_path / ("vgg16.onnx" if make == "suffix" else "vgg16.safetensors")
    if make == "cardless":
        save_file(load_file(checkpoint), path)
    elif make == "text":
        path.write_text("not a model, whatever its name says\n")
    elif make == "empty":
        path.touch()
    elif make == "labels":
        card = replace(read_card(checkpoint), labels=("a", "b", "c"), golden=())
        path.write_bytes(seal_safetensors(save(load_file(checkpoint)), card))
    elif make == "suffix":
        shutil.copy(checkpoint, path)
    with pytest.raises(CardError, match=sentence) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("file/vgg16.safetensors", "parent of the path is a file"),
        ("vgg16.pt", "expected it to end in"),
    ],
)
def test_where_none_can_be_written(
    checkpoint: Path, tmp_path: Path, place: str, sentence: str
) -> None:
    (tmp_path / "file").touch()
    model, card = load_checkpoint(checkpoint)
    with pytest.raises(UserError, match=sentence):
        save_checkpoint(tmp_path / place, model, card)


def test_golden_logits_cover_at_most_16_classes(checkpoint: Path) -> None:
    card = replace(read_card(checkpoint), labels=tuple(map(str, range(20))), golden=())
    assert [len(row) for row in golden_logits(build_model(card), card)] == [16] * 4


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": (1 << 20,) * 13},
        {"layers": ()},
        {"layers": ("M",) * 18},
        {"layers": (8, "X", 8)},
        {"head": "other"},
        {"activation": "other"},
        {"architecture": "other"},
        {"labels": tuple(f"class {i}" for i in range(60_000))},
        {"batch_norm": False},
    ],
    ids=str,
)
def test_a_card_that_describes_another_network_builds_nothing(
    checkpoint: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    card = replace(read_card(checkpoint), golden=(), **changes)
    path = tmp_path / "m.safetensors"
    path.write_bytes(seal_safetensors(save(load_file(checkpoint)), card))
    with pytest.raises(UserError):
        load_checkpoint(path)


def test_a_checkpoint_whose_name_is_not_utf8(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 \xff.safetensors")
    try:
        path.write_bytes(checkpoint.read_bytes())
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no names that are not UTF-8")
    assert load_checkpoint(path)[1] == load_checkpoint(checkpoint)[1]
