from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgecat_runtime.model.golden import (
    golden_frames,
    golden_scene,
    preprocess_difference,
    preprocess_fingerprint,
)
from edgecat_runtime.model.preprocess import preprocess, shrink

GOLDEN_DIGESTS = ["4af6639d9f0b8f79", "4ec4f102e71e96e5", "6f8d259d5e2b3a31"]


def _photograph(height: int, width: int) -> np.ndarray:
    """Noise of equal energy in every octave, as photographs have (Field 1987), behind a lens."""
    rng = np.random.default_rng(0)
    total = np.zeros((height, width, 3), np.float32)
    for step in (1, 2, 4, 8, 16, 32, 64):
        coarse = rng.normal(0, 1, (height // step + 1, width // step + 1, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(cv2.GaussianBlur(total, (0, 0), 0.75) * 25 + 118, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "size", "fit"),
    [
        ((720, 1280), (224, 224), "crop"),
        ((200, 200), (64, 64), "crop"),
        ((17, 400), (64, 64), "crop"),
        ((480, 641), (96, 160), "crop"),
        ((1, 1), (32, 32), "crop"),
        ((2000, 3), (64, 32), "stretch"),
        ((300, 500), (224, 224), "letterbox"),
    ],
)
def test_any_frame_fits(shape: tuple[int, int], size: tuple[int, int], fit: str) -> None:
    frame = _photograph(*shape)
    image = preprocess(frame, *size, fit)  # type: ignore[arg-type]
    assert image.shape == (*size, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


def test_a_camera_frame_is_shrunk_nearly_as_by_area() -> None:
    frame = _photograph(720, 1280)
    area = cv2.resize(frame[:, 280:1000], (224, 224), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(preprocess(frame, 224, 224) - area).mean() <= 2
    linear = cv2.resize(frame[:, 280:1000], (224, 224))
    assert np.abs(linear - area).mean() > 4


@pytest.mark.parametrize("period", [2, 3, 4])
@pytest.mark.parametrize("height", [480, 720, 1080])
def test_detail_that_is_too_fine_becomes_grey(height: int, period: int) -> None:
    stripes = np.where(np.arange(height) % period < period / 2, 255, 0).astype(np.uint8)
    frame = np.repeat(np.tile(stripes, (height, 1))[..., None], 3, axis=2)
    linear = cv2.resize(frame, (224, 224))
    assert preprocess(frame, 224, 224).std() < 0.75 * linear.std()


def test_the_crop_is_the_middle() -> None:
    frame = np.zeros((100, 300, 3), np.uint8)
    frame[:, 100:200] = 255
    assert preprocess(frame, 32, 32).min() == 255


def test_the_letterbox_keeps_everything() -> None:
    image = preprocess(np.full((50, 100, 3), 255, np.uint8), 64, 64, "letterbox")
    assert (image[:16] == 114).all()
    assert (image[16:48] == 255).all()
    assert (image[48:] == 114).all()


def test_the_right_size_is_left_alone() -> None:
    frame = _photograph(64, 64)
    assert np.array_equal(shrink(frame, 64, 64), frame)


def test_golden_frames_are_the_same_everywhere() -> None:
    """Their checksum must never change: published cards hold answers to these very bytes."""
    import hashlib

    digests = [
        hashlib.sha256(frames.tobytes()).hexdigest()[:16]
        for frames in (golden_frames(64, 64), golden_frames(224, 224), golden_scene())
    ]
    assert digests == GOLDEN_DIGESTS
    assert len({frame.tobytes() for frame in golden_frames(64, 64)}) == 4


def test_the_fingerprint_knows_this_preprocess_from_others() -> None:
    fingerprint = preprocess_fingerprint(64, 64, "crop")
    assert preprocess_difference(fingerprint, 64, 64, "crop") == 0
    assert preprocess_difference(fingerprint, 64, 64, "stretch") > 1
    assert preprocess_difference(fingerprint[:40], 64, 64, "crop") == 255


def test_the_fingerprint_sees_aliasing_and_swapped_colours() -> None:
    import base64

    scene = golden_scene()[:, 280:1000]
    kept = (2 * np.arange(8) + 1) * 64 // 16
    aliased = cv2.resize(scene, (64, 64), interpolation=cv2.INTER_NEAREST)
    swapped = preprocess(golden_scene()[..., ::-1].copy(), 64, 64)
    for image in (aliased, swapped):
        samples = np.ascontiguousarray(image[np.ix_(kept, kept)])
        wrong = base64.b64encode(samples.tobytes()).decode()
        assert preprocess_difference(wrong, 64, 64, "crop") > 1
