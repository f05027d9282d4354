"""Augmentation that ends on the device: the same views as the threads make, but for rounding."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgecat.data.folder import scan
from edgecat.training.augment import Augmentation, View, augment, begin_view, lay_out
from edgecat.training.device_augment import finished, on_device
from edgecat.training.draws import draw_view
from edgecat.training.loader import Loader

CPU = torch.device("cpu")


def _views(count: int, image: np.ndarray, augmentation: Augmentation | None = None) -> list[View]:
    augmentation = augmentation or Augmentation()
    height, width = image.shape[:2]
    return [
        draw_view(height, width, augmentation, np.random.default_rng(seed)) for seed in range(count)
    ]


@pytest.mark.parametrize(
    ("height", "width"), [(200, 200), (90, 120), (37, 500), (700, 900), (20, 30), (1, 1)]
)
def test_the_device_finishes_what_the_threads_begin(height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    expected = np.stack([augment(image, 32, view) for view in _views(12, image)])
    begun = [begin_view(image, 32, view) for view in _views(12, image)]
    canvases = np.empty((12, 64, 64, 3), np.uint8)
    views = lay_out(begun, canvases)
    frames = finished(torch.from_numpy(canvases), views)
    assert frames.dtype == torch.uint8
    assert frames.is_contiguous()
    assert 0 < views.flips.sum() < 12
    far = np.abs(frames.numpy().astype(int) - expected)
    assert far.max() <= 2
    assert far.mean() < 0.5


def test_nothing_beside_a_crop_mixes_in() -> None:
    image = np.full((40, 50, 3), 90, np.uint8)
    plain = Augmentation(flip=0.5, brightness=0, contrast=0, saturation=0)
    canvases = np.empty((8, 64, 64, 3), np.uint8)
    views = lay_out([begin_view(image, 32, view) for view in _views(8, image, plain)], canvases)
    assert (canvases[0, -1] == 0).all()
    for canvas, (_, _, height, width) in zip(canvases, views.crops, strict=True):
        canvas[height:], canvas[:, width:] = 255, 255
    assert (finished(torch.from_numpy(canvases), views) == 90).all()


def test_batches_for_the_device(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(9):
        path = tmp_path / ("dog" if i % 2 else "cat") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), random.integers(0, 256, (40 + 9 * i, 60, 3), np.uint8))
    (tmp_path / "cat" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    pictures, augmentation = scan(tmp_path), Augmentation()
    made = Loader(pictures, 32, 4, 3, augmentation=augmentation).batches(1)
    begun = Loader(pictures, 32, 4, 3, augmentation=augmentation, on_device=True).batches(1)
    for whole, half in zip(made, begun, strict=True):
        assert half.frames.shape[1:] == (64, 64, 3)
        frames, labels = on_device(half, CPU)
        assert labels.tolist() == whole.labels.tolist()
        assert half.skipped == whole.skipped
        assert np.abs(frames.numpy().astype(int) - whole.frames).max() <= 2
        assert on_device(whole, CPU)[0].numpy().tobytes() == whole.frames.tobytes()


def test_a_batch_of_none(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "x.jpg").write_text("no")
    loader = Loader(scan(tmp_path), 32, 8, 0, augmentation=Augmentation(), on_device=True)
    (batch,) = loader.batches(0)
    assert on_device(batch, CPU)[0].shape == (0, 32, 32, 3)
