"""Fixtures of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgecat.checkpoint import load_checkpoint, save_checkpoint
from edgecat.models import architecture, build_model
from edgecat_export.graph import export_onnx
from edgecat_runtime.card import ModelCard


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained thin VGG16 with its card: 32 x 32, labels cat and dog."""
    card = ModelCard(
        architecture="vgg16",
        labels=("cat", "dog"),
        height=32,
        width=32,
        layers=architecture("vgg16").widths(head="gap", factor=0.25),
        head="gap",
        batch_norm=True,
    )
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "vgg16.safetensors"
    save_checkpoint(path, build_model(card), card)
    return path


@pytest.fixture(scope="session")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`checkpoint` as ONNX."""
    path = tmp_path_factory.mktemp("exported") / "vgg16.onnx"
    export_onnx(*load_checkpoint(checkpoint), path)
    return path


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders `cat` and `dog`, six small pictures each."""
    folder = tmp_path_factory.mktemp("album")
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir()
        for i in range(6):
            picture = rng.integers(0, 256, (40, 50, 3), np.uint8)
            cv2.imwrite(str(folder / label / f"{i}.png"), picture)
    return folder
