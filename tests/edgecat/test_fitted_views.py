"""Augmented training images are fitted to the input as served ones are: `--fit` reaches both."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgecat.data.folder import ImageSet, scan
from edgecat.training.augment import Augmentation
from edgecat.training.cache import fill_cache
from edgecat.training.device_augment import on_device
from edgecat.training.loader import Loader
from edgecat_runtime.images import read_image
from edgecat_runtime.model.preprocess import PADDING, preprocess

STILL = Augmentation((1.0, 1.0), aspect=1.0, flip=0, brightness=0, contrast=0, saturation=0)
SIZE = 64


@pytest.fixture
def wide_and_tall(tmp_path: Path) -> ImageSet:
    random = np.random.default_rng(0)
    for label, shape in (("tall", (128, 64, 3)), ("wide", (64, 128, 3))):
        (tmp_path / label).mkdir()
        for number in range(3):
            picture = cv2.GaussianBlur(random.integers(0, 256, shape).astype(np.uint8), (0, 0), 3)
            cv2.imwrite(str(tmp_path / label / f"{number}.png"), picture)
    return scan([tmp_path])


def _frames(loader: Loader) -> np.ndarray:
    (batch,) = loader.batches(0)
    return on_device(batch, torch.device("cpu"))[0].numpy()


def _sorted(frames: np.ndarray) -> list[bytes]:
    return sorted(frame.tobytes() for frame in frames)


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_the_whole_view_is_the_served_image(wide_and_tall: ImageSet, fit: str) -> None:
    loader = Loader(wide_and_tall, SIZE, 6, 0, augmentation=STILL, fit=fit)
    served = [preprocess(read_image(p.path), SIZE, SIZE, fit) for p in wide_and_tall.pictures]
    assert _sorted(_frames(loader)) == _sorted(np.stack(served))


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_threads_device_and_cache_make_the_same_views(wide_and_tall: ImageSet, fit: str) -> None:
    def loader(**options: object) -> Loader:
        return Loader(wide_and_tall, 32, 6, 1, augmentation=Augmentation(), fit=fit, **options)

    cache = fill_cache(wide_and_tall, workers=1)
    threads = _frames(loader()).astype(int)
    for others in (loader(on_device=True), loader(on_device=True, cache=cache)):
        assert np.abs(_frames(others) - threads).max() <= 2
    np.testing.assert_array_equal(_frames(loader(cache=cache)), threads)


def test_padding_is_seen_in_letterbox_only(wide_and_tall: ImageSet) -> None:
    def grey(fit: str) -> float:
        loader = Loader(wide_and_tall, SIZE, 6, 0, augmentation=STILL, fit=fit)
        return float((_frames(loader) == PADDING).mean())

    assert grey("letterbox") > 0.5
    assert max(grey("crop"), grey("stretch")) < 0.1


def test_version_1_keeps_its_views(wide_and_tall: ImageSet) -> None:
    frames = [
        _frames(Loader(wide_and_tall, 32, 6, 1, augmentation=Augmentation(), fit=fit, version=1))
        for fit in ("crop", "letterbox")
    ]
    np.testing.assert_array_equal(*frames)
