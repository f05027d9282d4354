from __future__ import annotations

import json
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgecat.compression.compress import check_loss
from edgecat.compression.prune import parameters, pruned
from edgecat.models import architecture, build_model
from edgecat.models.checkpoint import load_checkpoint
from edgecat.pets.synthetic import write_pets
from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.model.card import ModelCard

pytest.importorskip("torch_pruning")

LABELS = ("cat", "dog")


def network(name: str = "vgg16", **options: Any) -> tuple[nn.Module, ModelCard]:
    torch.manual_seed(0)
    card = architecture(name).card(LABELS, **{"size": 32, **options})
    return build_model(card).eval(), card


@pytest.mark.parametrize(
    ("options", "keep", "layers"),
    [
        (
            {"head": "gap", "factor": 0.25, "batch_norm": True},
            0.5,
            (8, 8, "M", 16, 16, "M", 32, 32, 32, "M", 64, 64, 64, "M", 64, 64, 64, "M"),
        ),
        (
            {"head": "gap", "factor": 0.125, "batch_norm": False},
            0.7,
            (8, 8, "M", 8, 8, "M", 16, 16, 16, "M", 40, 40, 40, "M", 40, 40, 40, "M"),
        ),
        (
            {"name": "vgg11", "head": "dense", "factor": 0.0625, "size": 48},
            0.5,
            (8, "M", 8, "M", 8, 8, "M", 16, 16, "M", 16, 16, "M", 128, 128),
        ),
    ],
    ids=["gap", "without batch norm", "dense"],
)
def test_the_card_builds_what_is_left(
    options: dict[str, Any], keep: float, layers: tuple[int | str, ...]
) -> None:
    model, card = network(**options)
    small, its = pruned(model, card, keep)
    assert its.layers == layers
    assert parameters(small) < parameters(model)
    images = torch.rand(2, 3, card.height, card.width)
    assert small(images).shape == (2, 2)
    assert model(images).shape == (2, 2)


def test_channels_that_do_nothing_go_first() -> None:
    """With half of each layer's channels silenced, the other half answers as before."""
    model, card = network("vgg11", head="gap", factor=0.25, batch_norm=True)
    with torch.no_grad():
        for module in model.features:
            if isinstance(module, nn.Conv2d):
                silent = torch.randperm(module.out_channels)[: module.out_channels // 2]
            if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
                module.weight[silent] = module.bias[silent] = 0
    small, _ = pruned(model, card, 0.5)
    images = torch.rand(4, 3, 32, 32)
    assert torch.allclose(small(images), model(images), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "keep", "sentence"),
    [
        ({"name": "resnet18", "factor": 0.125}, 0.5, "a resnet18 cannot be pruned; expected a vgg"),
        ({"head": "gap", "factor": 0.125}, 1.0, "--keep is 1; expected above 0 and below 1"),
        ({"head": "gap", "factor": 0.125}, 0.0, "--keep is 0; expected above 0"),
        ({"head": "gap", "factor": 0.01}, 0.5, "removes no channels, which come in multiples of 8"),
    ],
)
def test_refusals(options: dict[str, Any], keep: float, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        pruned(*network(**options), keep)


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pets(tmp_path_factory.mktemp("pets"), 24, size=48)


TUNING = ("--epochs", 1, "--batch-size", 16, "--val", 0.25, "--threads", 1, "--device", "cpu")


def test_compressed_exported_and_verified(
    checkpoint: Path, pets: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    output = tmp_path / "small.safetensors"
    arguments = (checkpoint, pets, *TUNING, "--max-loss", 100, "--output", output, "--json")
    ran = cli("compress", *arguments)
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    model, card = load_checkpoint(output)
    assert figures["layers"] == list(card.layers)
    assert figures["after"]["parameters"] == parameters(model)
    assert figures["after"]["macs"] < 0.3 * figures["before"]["macs"]
    assert figures["after"]["accuracy"] == card.accuracy
    assert figures["n"] == card.accuracy_n == 6
    onnx = tmp_path / "small.onnx"
    assert cli("export", output, "--output", onnx).code == 0
    assert cli("verify", output, onnx, "--backend", "onnxruntime").code == 0


@pytest.mark.parametrize(
    ("before", "after", "max_loss", "passes"),
    [(0.9, 0.895, 1.0, True), (0.9, 0.88, 1.0, False), (0.9, 0.88, 2.5, True), (0.8, 0.9, 0, True)],
)
def test_what_the_gate_lets_through(
    before: float, after: float, max_loss: float, passes: bool
) -> None:
    context = nullcontext() if passes else pytest.raises(GateError, match=r"loses 2\.00 points")
    with context:
        check_loss(before, after, max_loss)


def test_the_gate(checkpoint: Path, pets: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    output = tmp_path / "small.safetensors"
    ran = cli("compress", checkpoint, pets, *TUNING, "--max-loss", -100, "--output", output)
    assert ran.code == 3
    assert "expected at most -100. Nothing is written" in ran.err
    assert not output.exists()


def test_without_pictures_it_says_that_nothing_is_checked(
    checkpoint: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    output = tmp_path / "small.safetensors"
    ran = cli("compress", checkpoint, "--output", output)
    assert ran.code == 0
    assert "neither fine-tuned nor evaluated" in ran.err
    assert load_checkpoint(output)[1].accuracy is None
    assert "accuracy" not in ran.out


def test_after_ctrl_c_it_resumes_bit_for_bit(
    checkpoint: Path, pets: Path, tmp_path: Path, cli: Callable[..., Any], monkeypatch: Any
) -> None:
    from edgecat.cli.terminal.epochs import EpochLines

    monkeypatch.setattr(
        EpochLines, "stepped", lambda *arguments: signal.raise_signal(signal.SIGINT)
    )
    output = tmp_path / "small.safetensors"
    ran = cli("compress", checkpoint, pets, *TUNING, "--output", output)
    assert ran.code == 130
    assert "interrupted; saved. Repeat the command with --resume" in ran.err
    assert not output.exists()
    monkeypatch.undo()
    options = (*TUNING, "--max-loss", 100, "--output")
    command = ("compress", checkpoint, pets, *options, output)
    for arguments, sentence in (
        ((), "holds an interrupted fine-tuning. Continue it with --resume, or delete it"),
        (("--resume", "--keep", "0.9"), "was started with another checkpoint or --keep"),
        (("--resume", "--seed", "7"), "was started with seed 0, now it is 7"),
    ):
        ran = cli(*command, *arguments)
        assert (ran.code, ran.out.count("epoch")) == (1, 0)
        assert sentence in ran.err
    ran = cli(*command, "--resume")
    assert ran.code == 0, ran.err
    assert {path.name for path in tmp_path.iterdir() if path.stem == "small"} == {output.name}
    whole = tmp_path / "whole.safetensors"
    assert cli("compress", checkpoint, pets, *options, whole).code == 0
    assert output.read_bytes() == whole.read_bytes()
    ran = cli(*command, "--resume")
    assert ran.code == 1
    assert "there is nothing to resume" in ran.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("{checkpoint}", "{empty}"), "no images in class folders"),
        (("{checkpoint}", "{other}"), "has the classes cat, dog; the images show bird, fish"),
        (("{missing}.safetensors",), "missing.safetensors"),
        (("{checkpoint}", "--output", "{checkpoint}"), "is the checkpoint itself"),
        (("{checkpoint}", "--output", "small.onnx"), "does not end in .safetensors"),
        (("{checkpoint}", "--keep", "2"), "--keep is 2; expected above 0 and below 1"),
    ],
)
def test_bad_input(
    checkpoint: Path,
    album: Path,
    tmp_path: Path,
    cli: Callable[..., Any],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    (tmp_path / "empty").mkdir()
    for label, other in (("cat", "bird"), ("dog", "fish")):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / other).symlink_to(album / label)
    names = {name: tmp_path / name for name in ("empty", "other", "missing")}
    ran = cli("compress", *(a.format(checkpoint=checkpoint, **names) for a in arguments))
    assert ran.code == 1
    assert sentence in ran.err
    assert "Traceback" not in ran.err
