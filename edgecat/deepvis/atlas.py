"""The atlas: an image of every unit of the bundled model, synthesised once, a sheet per layer.

A sheet is a grid of square tiles, row by row. The images were synthesised on frames of 96 pixels.
Where a unit sees no more than a tile, its tile is the middle of the image, otherwise all of it,
reduced. `python docs/atlas.py` makes the sheets.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from edgecat.deepvis.layers import Layer
from edgecat.pretrained import FOLDER
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

ATLAS = FOLDER / "atlas"
FACTS = "atlas.json"
SIDE, COLUMNS = 64, 16


def atlas_picture(card: ModelCard, layer: Layer, unit: int) -> Image | None:
    """Return the tile of a unit: uint8 (64, 64, 3) BGR.

    None if the atlas is of another model, or has no such layer; that of the activation behind a
    layer stands for it.
    """
    if _payload(ATLAS) != card.payload_sha256:
        return None
    sheet = _sheet(ATLAS / f"{layer.active}.webp")
    if sheet is None:
        return None
    top, left = unit // COLUMNS * SIDE, unit % COLUMNS * SIDE
    found = sheet[top : top + SIDE, left : left + SIDE]
    return found if found.shape == (SIDE, SIDE, 3) else None


def tile(picture: Image, field: int) -> Image:
    """Make a tile of a synthesised image, uint8 (h, w, 3), for a receptive field in pixels."""
    height, width = picture.shape[:2]
    if field <= SIDE < min(height, width):
        top, left = (height - SIDE) // 2, (width - SIDE) // 2
        return picture[top : top + SIDE, left : left + SIDE]
    cv2 = cv2_module()
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


@cache
def _payload(folder: Path) -> str:
    """The hash of the payload of the model that the atlas shows; empty if there is no atlas."""
    try:
        return str(json.loads((folder / FACTS).read_text(encoding="utf-8"))["payload_sha256"])
    except (OSError, ValueError, KeyError):
        return ""


@cache
def _sheet(path: Path) -> Image | None:
    cv2 = cv2_module()
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        return None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(image, np.uint8)
