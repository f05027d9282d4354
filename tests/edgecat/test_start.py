"""What a run starts from where nobody chose: few images, the bundled weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edgecat
from edgecat.models.checkpoint import load_checkpoint
from edgecat.training import start
from edgecat.training.config import TrainConfig
from edgecat.training.start import cautions, suited
from edgecat.workflows.reporter import Silent

QUICK = {"epochs": 1, "threads": 1, "device": "cpu", "precision": "fp32"}


def _write(folder: Path, *labels: str, each: int = 6) -> Path:
    random = np.random.default_rng(0)
    for label in labels:
        (folder / label).mkdir(parents=True)
        for number in range(each):
            image = random.integers(0, 256, (48, 48, 3)).astype(np.uint8)
            cv2.imwrite(str(folder / label / f"{number}.png"), image)
    return folder


@pytest.fixture
def things(tmp_path: Path) -> Path:
    return _write(tmp_path / "things", "bowl", "cup")


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({}, {"weights": "shipped", "size": 160, "batch_size": 8, "lr": 0.00625}),
        ({"epochs": 3, "lr": 0.01}, {"weights": "shipped", "size": 160, "batch_size": 8}),
        ({"batch_size": 5}, {"weights": "shipped", "size": 160, "lr": 0.003906}),
        ({"weights": "none"}, {"weights": ""}),
        ({"weights": "imagenet"}, {}),
        ({"weights": "mine.safetensors"}, {}),
        ({"weights": "shipped"}, {"size": 160, "batch_size": 8, "lr": 0.00625}),
        ({"weights": "shipped", "size": 96}, {"batch_size": 8, "lr": 0.00625}),
        ({"weights": ""}, {}),
        ({"arch": "vgg16"}, {}),
        ({"size": 64}, {}),
        ({"width": 0.5}, {}),
        ({"progressive": "32:1"}, {}),
        ({"teacher": "big.safetensors"}, {}),
    ],
    ids=str,
)
def test_what_is_decided(things: Path, options: dict[str, Any], changes: dict[str, Any]) -> None:
    config = TrainConfig(data=(str(things),), **options)
    made, sentence = suited(config, options)
    assert made == replace(config, **changes)
    decided = "weights" not in options and bool(changes)
    assert ("starting from the shipped weights" in sentence) == decided
    assert ("--weights none" in sentence) == decided


@pytest.mark.parametrize("labels", [("cat", "dog"), ("Dog", "Cat")])
def test_its_own_classes_are_trained_from_nothing(tmp_path: Path, labels: tuple[str, ...]) -> None:
    config = TrainConfig(data=(str(_write(tmp_path / "pets", *labels)),))
    assert suited(config, ()) == (config, "")


def test_many_images_are_trained_from_nothing(
    things: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(data=(str(things),), val=0.34)
    for few, decided in ((5, True), (4, False)):  # four of six are for training
        monkeypatch.setattr(start, "FEW", few)
        assert bool(suited(config, ())[1]) == decided


def test_a_batch_fits_the_set(tmp_path: Path) -> None:
    for each, size in ((6, 8), (100, 22), (400, 64)):
        folder = tmp_path / str(each)
        for label in ("bowl", "cup"):
            (folder / label).mkdir(parents=True)
            for number in range(each):
                (folder / label / f"{number}.png").write_bytes(b"not opened")
        assert suited(TrainConfig(data=(str(folder),)), ())[0].batch_size == size


@pytest.mark.parametrize(
    ("counts", "sentences"),
    [
        ({"a": 100, "b": 999}, []),
        ({"a": 100, "b": 1000}, ["uneven classes: 1,000 training images of b, 100 of a"]),
        ({"a": 99, "b": 500}, ["few training images: 99 of a; below 100 a class"]),
        ({"a": 3, "b": 200}, ["few training images: 3 of a;", "uneven classes: 200"]),
        (dict.fromkeys("abcdef", 9), ["9 of a, 9 of b, 9 of c, 9 of d and 2 more classes"]),
    ],
)
def test_cautions(counts: dict[str, int], sentences: list[str]) -> None:
    found = cautions(counts)
    assert len(found) == len(sentences)
    for sentence, text in zip(sentences, found, strict=True):
        assert sentence in text


def test_train_starts_from_the_shipped_weights_and_says_so(
    things: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    options = [f"--{name}={value}" for name, value in QUICK.items()]
    ran = cli("train", things, *options, "--output", tmp_path / "runs", "--name", "mine")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("10 training images of 2 classes are few: starting from the shipped")
    assert lines[1].startswith("loaded 91 tensors from vgg16.safetensors; replaced for the new ")
    assert " of 2 validation images (95 % interval " in lines[-1]
    assert "few training images: 5 of bowl, 5 of cup" in ran.err
    kept = json.loads((tmp_path / "runs" / "mine" / "config.json").read_text())
    assert (kept["weights"], kept["size"], kept["batch_size"]) == ("shipped", 160, 8)
    card = load_checkpoint(tmp_path / "runs" / "mine" / "vgg16.safetensors")[1]
    assert (card.labels, card.height) == (("bowl", "cup"), 160)


def test_the_function_does_the_same(things: Path, tmp_path: Path) -> None:
    class Noted(Silent):
        def __init__(self) -> None:
            self.notes: list[str] = []
            self.warnings: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

        def warn(self, text: str) -> None:
            self.warnings.append(text)

    noted = Noted()
    output = tmp_path / "runs"
    edgecat.train(things, reporter=noted, output=output, name="mine", **QUICK)
    assert "starting from the shipped weights" in noted.notes[0]
    assert noted.notes[1].startswith("loaded 91 tensors from vgg16.safetensors")
    assert "95 % interval" in noted.notes[-1]
    assert noted.warnings[0].startswith("few training images: 5 of bowl")
    run = edgecat.train(
        things, weights="none", output=output, name="none", size=32, width=0.02, **QUICK
    )
    assert json.loads((run.folder / "config.json").read_text())["weights"] == ""


def test_unknown_weights_name_what_there_is(things: Path, cli: Callable[..., Any]) -> None:
    ran = cli("train", things, "--weights", "shiped")
    assert ran.code == 1
    assert "expected shipped, imagenet, none, a .safetensors file or a .pth state dict" in ran.err
    ran = cli("train", things, "--weights", "shipped", "--width", 1)
    assert "shipped already defines the network. Omit --width" in ran.err
