from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgecat_runtime.model.card import Fit
from edgecat_runtime.model.golden import (
    golden_frames,
    golden_scene,
    preprocess_difference,
    preprocess_fingerprint,
)
from edgecat_runtime.model.preprocess import halved, preprocess, shrink

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
        ((1, 1), (32, 64), "crop"),
        ((1, 1), (64, 32), "crop"),
        ((1, 900), (32, 64), "letterbox"),
        ((900, 1), (64, 32), "letterbox"),
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


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((32, 32), (slice(None), slice(100, 200))),
        ((32, 64), (slice(None), slice(50, 250))),
        ((32, 16), (slice(None), slice(125, 175))),
    ],
)
def test_the_crop_is_the_middle(size: tuple[int, int], shown: tuple[slice, slice]) -> None:
    """For landscape and portrait frames."""
    frame = np.zeros((100, 300, 3), np.uint8)
    frame[shown] = 255
    assert preprocess(frame, *size).min() == 255
    standing = np.zeros((300, 100, 3), np.uint8)
    standing[shown[::-1]] = 255
    assert preprocess(standing, *size[::-1]).min() == 255


def test_the_letterbox_keeps_everything() -> None:
    lying = preprocess(np.full((50, 100, 3), 255, np.uint8), 64, 64, "letterbox")
    standing = preprocess(np.full((100, 50, 3), 255, np.uint8), 64, 64, "letterbox")
    for image in (lying, standing.transpose(1, 0, 2)):
        assert (image[:16] == 114).all()
        assert (image[16:48] == 255).all()
        assert (image[48:] == 114).all()


@pytest.mark.parametrize(
    ("shape", "wanted", "shrunk"),
    [
        ((720, 1280), (224, 224), (360, 320)),
        ((448, 448), (224, 224), (224, 224)),
        ((447, 447), (224, 224), (447, 447)),
        ((896, 300), (224, 224), (224, 300)),
        ((300, 896), (224, 224), (300, 224)),
        ((901, 90), (45, 45), (56, 45)),
        ((20, 30), (40, 60), (20, 30)),
    ],
)
def test_each_side_is_halved_while_at_least_twice_too_long(
    shape: tuple[int, int], wanted: tuple[int, int], shrunk: tuple[int, int]
) -> None:
    image = _photograph(*shape)
    small = halved(image, *wanted)
    assert small.shape == (*shrunk, 3)
    y, x = shape[0] // shrunk[0], shape[1] // shrunk[1]
    blocks = image[: shrunk[0] * y, : shrunk[1] * x].reshape(shrunk[0], y, shrunk[1], x, 3)
    assert np.abs(small - blocks.mean((1, 3))).max() <= 2, "each pixel is the mean of its block"


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


@pytest.mark.parametrize(
    ("shape", "size", "fit", "digest"),
    [
        ((720, 1280), (224, 224), "crop", "296f5373ac2b2176"),
        ((250, 333), (160, 160), "crop", "5f21253e8ddd05ba"),
        ((720, 300), (160, 96), "letterbox", "1698dbd662895142"),
        ((97, 640), (64, 64), "stretch", "58ed6291af373a97"),
        ((40, 50), (96, 96), "stretch", "8c6167b5d0baa3e1"),
    ],
)
def test_preprocessed_bytes_are_the_same_on_every_processor(
    shape: tuple[int, int], size: tuple[int, int], fit: Fit, digest: str
) -> None:
    """Seen to be these on x86-64 with and without AVX2 and AVX-512, and on aarch64."""
    import hashlib

    frame = golden_scene()[: shape[0], : shape[1]]
    fitted = preprocess(frame, *size, fit)
    assert hashlib.sha256(fitted.tobytes()).hexdigest()[:16] == digest


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
