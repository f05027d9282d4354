"""Golden frames: identical bytes on every machine; their reference logits are in the card.

They are drawn with integer arithmetic, so no library, processor or compiler changes a byte.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.model.card import GOLDEN_CLASSES, Fit
from edgecat_runtime.model.card_check import GOLDEN_FRAMES
from edgecat_runtime.model.preprocess import preprocess

GOLDEN_COUNT = GOLDEN_FRAMES
_SCENE = (720, 1280)
_SAMPLES = 8


def golden_frames(height: int, width: int) -> NDArray[np.uint8]:
    """Draw the golden frames for one input size.

    Each shows tilted colour gradients, a checkerboard of its own scale, a disc and some noise, so
    that edges, colour and texture all reach the network.

    Args:
        height: in pixels.
        width: in pixels.

    Returns:
        uint8 (4, height, width, 3), BGR.
    """
    return np.stack([_frame(height, width, seed) for seed in range(GOLDEN_COUNT)])


def golden_scene() -> NDArray[np.uint8]:
    """Draw the 1280x720 golden frame that checks `preprocess`: uint8 (720, 1280, 3), BGR."""
    return _frame(*_SCENE, GOLDEN_COUNT)


def golden_rows(logits: NDArray[np.float32]) -> tuple[tuple[float, ...], ...]:
    """Round logits (4, classes) to nine significant digits (exact for float32) for the card."""
    return tuple(tuple(float(f"{x:.9g}") for x in row[:GOLDEN_CLASSES]) for row in logits.tolist())


def preprocess_fingerprint(height: int, width: int, fit: Fit) -> str:
    """Sample the preprocessed golden scene for the card: base64 of 8 x 8 pixels."""
    return base64.b64encode(_samples(height, width, fit).tobytes()).decode()


def preprocess_difference(fingerprint: str, height: int, width: int, fit: Fit) -> float:
    """Mean difference in grey levels (0..255) between `preprocess` here and a fingerprint."""
    expected = np.frombuffer(base64.b64decode(fingerprint), np.uint8)
    found = _samples(height, width, fit).reshape(-1)
    if expected.size != found.size:
        return 255.0
    return float(np.abs(found.astype(np.int16) - expected).mean())


def _samples(height: int, width: int, fit: Fit) -> NDArray[np.uint8]:
    image = preprocess(golden_scene(), height, width, fit)
    rows = (2 * np.arange(_SAMPLES) + 1) * height // (2 * _SAMPLES)
    columns = (2 * np.arange(_SAMPLES) + 1) * width // (2 * _SAMPLES)
    return np.ascontiguousarray(image[np.ix_(rows, columns)])


def _frame(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    u, v = x * 256 // width, y * 256 // height
    check = ((x * (5 + 3 * seed) // width + y * (4 + 2 * seed) // height) & 1) * 64
    disc = (u - 96 - 24 * seed) ** 2 + (v - 160 + 20 * seed) ** 2 < (40 + 12 * seed) ** 2
    planes: list[Any] = []
    for channel in range(3):
        ramp = (u * (channel + 1 + seed) + v * (3 - channel + seed)) >> 2
        value = (ramp & 127) + check + disc * (90 - 70 * ((channel + seed) % 3))
        planes.append(np.clip(value + (_noise(height, width, 3 * seed + channel) >> 3), 0, 255))
    return np.stack(planes, axis=-1).astype(np.uint8)


def _noise(height: int, width: int, seed: int) -> NDArray[np.int64]:
    """Hashed pixel numbers, 0..255: the finaliser of MurmurHash3, modulo 2**32."""
    value = np.arange(height * width, dtype=np.uint64) + np.uint64(seed * 0x9E3779B1)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        value = ((value ^ (value >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    return (value >> np.uint64(24)).astype(np.int64).reshape(height, width)
