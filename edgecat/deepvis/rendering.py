"""Renders a probe's results: tiled maps, gradients, heat maps, filters. All BGR, uint8."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgecat_runtime.model.card import Fit
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image, Values

Rendering = Literal["raw", "grey", "norm", "blurred"]

RENDERINGS: tuple[Rendering, ...] = ("raw", "grey", "norm", "blurred")
_PLUS, _MINUS = (43, 118, 217), (179, 109, 47)  # orange and blue
_TINY = 1e-12
_BLUR = 0.02  # fraction of the longer side: the toolbox's 4 pixels at 227


@dataclass(frozen=True)
class Grid:
    """The layout of the tiles of an image.

    Attributes:
        count: number of tiles.
        columns: number of columns.
        rows: number of rows.
        height: of one tile with its gap, in pixels of the image.
        width: likewise.
    """

    count: int
    columns: int
    rows: int
    height: float
    width: float

    def at(self, x: float, y: float) -> int | None:
        """Return the index of the tile at a pixel of the image; None outside."""
        column, row = int(x // self.width), int(y // self.height)
        number = row * self.columns + column
        inside = x >= 0 and y >= 0 and column < self.columns and number < self.count
        return number if inside else None

    def box(self, number: int) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom of a tile in pixels of the image."""
        row, column = divmod(number, self.columns)
        left, top = round(column * self.width), round(row * self.height)
        return left, top, round((column + 1) * self.width), round((row + 1) * self.height)


def tiles(
    maps: Values,
    *,
    width: int,
    height: int,
    boost: float = 1.0,
    each: bool = False,
    selected: int | None = None,
) -> tuple[Image, Grid]:
    """Tile all maps of a layer into one image of a given size.

    Args:
        maps: float32 (channels, rows, columns), or (units,). If any value is negative, maps are
            drawn in orange and blue, else in grey.
        width: of the image, in pixels.
        height: likewise.
        boost: amplification of weak values, see `boosted`.
        each: scale each map by its own maximum instead of the layer's.
        selected: a unit to outline.

    Returns:
        uint8 (height, width, 3), and the layout of the tiles.
    """
    cv2 = cv2_module()
    maps = maps.reshape(len(maps), 1, 1) if maps.ndim == 1 else maps
    count, rows, columns = maps.shape
    across, down = _layout(count, rows, columns, height, width)
    values = np.zeros((down * across, rows, columns), np.float32)
    values[:count] = boosted(_scaled(maps, each=each), boost)
    sheet = values.reshape(down, across, rows, columns).transpose(0, 2, 1, 3)
    sheet = np.ascontiguousarray(sheet.reshape(down * rows, across * columns))
    small = down * rows <= height and across * columns <= width
    how = cv2.INTER_NEAREST if small else cv2.INTER_AREA
    picture = coloured(cv2.resize(sheet, (width, height), interpolation=how))
    grid = Grid(count, across, down, height / down, width / across)
    _rule(picture, grid)
    if selected is not None:
        left, top, right, bottom = grid.box(selected)
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), _PLUS, 2)
    return picture, grid


def tile(values: Values, *, width: int, height: int, boost: float = 1.0) -> Image:
    """Render one map, float32 (rows, columns), or one scalar, (), enlarged."""
    cv2 = cv2_module()
    plane = boosted(_scaled(np.atleast_2d(values)[None], each=True), boost)[0]
    return coloured(cv2.resize(plane, (width, height), interpolation=cv2.INTER_NEAREST))


def coloured(values: Values) -> Image:
    """Colour (h, w) of -1..1: grey levels if nothing is negative, else two hues.

    Orange is positive, blue is negative, black is 0.
    """
    if values.min(initial=0) >= 0:
        grey = np.rint(values * 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, 2)
    plus = np.clip(values, 0, 1)[..., None] * np.array(_PLUS, np.float32)
    minus = np.clip(-values, 0, 1)[..., None] * np.array(_MINUS, np.float32)
    result: Image = np.rint((plus + minus) * (255 / 217)).clip(0, 255).astype(np.uint8)
    return result


def boosted(values: Values, boost: float) -> Values:
    """Amplify weak values: sign(v) * |v| ** (1 / boost) for v in -1..1; 1 changes nothing."""
    if boost == 1:
        return values
    result: Values = np.sign(values) * np.abs(values) ** np.float32(1 / boost)
    return result


def slopes(back: Values, look: Rendering = "raw", *, boost: float = 1.0) -> Image:
    """Render a back-propagation to the pixels.

    Args:
        back: float32 (h, w, 3), BGR, of any range.
        look: `raw`: colours around grey; `grey`: their mean around grey; `norm`: the norm of the
            three channels, from black to white; `blurred`: the norm, blurred.
        boost: as in `boosted`.

    Returns:
        uint8 (h, w, 3).
    """
    cv2 = cv2_module()
    if look in ("norm", "blurred"):
        length = np.linalg.norm(back, axis=2).astype(np.float32)
        if look == "blurred":
            length = cv2.GaussianBlur(length, (0, 0), max(back.shape[:2]) * _BLUR)
        return coloured(boosted(_whole(length), boost))
    values = back if look == "raw" else np.repeat(back.mean(2, keepdims=True), 3, 2)
    return about_grey(boosted(_whole(values), boost))


def about_grey(values: Values) -> Image:
    """Map -1..1 to 0..255, so that 0 is grey."""
    result: Image = np.rint(127.5 + 127.5 * values).astype(np.uint8)
    return result


def enlarged(heat: Values, height: int, width: int) -> Values:
    """Enlarge a heat map smoothly, float32 (rows, columns) to (height, width)."""
    cv2 = cv2_module()
    result: Values = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    return result


def heat_over(picture: Image, heat: Values) -> Image:
    """Overlay a heat map on an image.

    Args:
        picture: uint8 (h, w, 3).
        heat: float32 (rows, columns) of any size; negative values count as 0, the maximum is
            bright yellow.
    """
    cv2 = cv2_module()
    shares = np.clip(enlarged(heat, *picture.shape[:2]), 0, None)
    shares = shares / max(float(shares.max()), _TINY)
    colours = cv2.applyColorMap(np.rint(shares * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.addWeighted(picture, 0.5, colours, 0.5, 0)  # type: ignore[no-any-return]


def unfitted(heat: Values, height: int, width: int, fit: Fit) -> Values:
    """Map a heat map of a frame back to the image that the frame was made from.

    Args:
        heat: float32 (rows, columns), of the size of the network's input.
        height: of the image.
        width: likewise.
        fit: how the image was fitted to the input.

    Returns:
        float32 (height, width); 0 outside the network's view.
    """
    rows, columns = heat.shape
    if fit == "letterbox":
        scale = min(rows / height, columns / width)
        high, wide = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (rows - high) // 2, (columns - wide) // 2
        return enlarged(heat[top : top + high, left : left + wide], height, width)
    if fit == "stretch":
        return enlarged(heat, height, width)
    high = max(min(height, width * rows // columns), 1)
    wide = max(min(width, height * columns // rows), 1)
    top, left = (height - high) // 2, (width - wide) // 2
    result = np.zeros((height, width), np.float32)
    result[top : top + high, left : left + wide] = enlarged(heat, high, wide)
    return result


def filters_image(filters: Values, *, width: int, height: int) -> tuple[Image, Grid]:
    """Tile the filters of the first layer, each around grey with maximum contrast.

    Args:
        filters: float32 (units, rows, columns, 3), BGR, of `Probe.filters`.
        width: of the image.
        height: likewise.
    """
    cv2 = cv2_module()
    count, rows, columns, _ = filters.shape
    across, down = _layout(count, rows, columns, height, width)
    values = np.full((down * across, rows, columns, 3), 24, np.uint8)
    values[:count] = [about_grey(_whole(one)) for one in filters]
    sheet = values.reshape(down, across, rows, columns, 3).transpose(0, 2, 1, 3, 4)
    sheet = np.ascontiguousarray(sheet.reshape(down * rows, across * columns, 3))
    picture = cv2.resize(sheet, (width, height), interpolation=cv2.INTER_NEAREST)
    grid = Grid(count, across, down, height / down, width / across)
    _rule(picture, grid)
    return picture, grid


def sheet(pictures: Sequence[Image], *, side: int, columns: int, gap: int = 2) -> Image:
    """Tile images in rows on white, each scaled to fit `side` x `side` pixels."""
    rows = math.ceil(len(pictures) / columns)
    size = side + gap
    result = np.full((max(rows * size - gap, 1), columns * size - gap, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        y, x = (number // columns) * size, (number % columns) * size
        result[y : y + side, x : x + side] = held(picture, side)
    return result


def held(picture: Image, side: int) -> Image:
    """Scale an image to fit a square of `side` pixels, on grey."""
    cv2 = cv2_module()
    longer = max(picture.shape[:2])
    high, wide = (max(1, round(side * one / longer)) for one in picture.shape[:2])
    how = cv2.INTER_AREA if longer > side else cv2.INTER_LINEAR
    if longer * 4 <= side:
        how = cv2.INTER_NEAREST
    result = np.full((side, side, 3), 128, np.uint8)
    top, left = (side - high) // 2, (side - wide) // 2
    result[top : top + high, left : left + wide] = cv2.resize(
        picture, (wide, high), interpolation=how
    )
    return result


def _scaled(maps: Values, *, each: bool) -> Values:
    axes = (1, 2) if each else (0, 1, 2)
    most = np.abs(maps).max(axis=axes, keepdims=True)
    result: Values = maps / np.maximum(most, np.float32(_TINY))
    return result


def _whole(values: Values) -> Values:
    """Scale so that the largest magnitude is 1."""
    result: Values = values / np.float32(max(float(np.abs(values).max()), _TINY))
    return result


def _layout(count: int, rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """Choose columns and rows of tiles so that maps keep roughly their aspect ratio."""
    across = math.sqrt(count * width * rows / (height * columns))
    across = min(max(1, round(across)), count)
    return across, math.ceil(count / across)


def _rule(picture: Image, grid: Grid) -> None:
    """Draw the gaps between the tiles, if there is room for them."""
    if min(grid.height, grid.width) < 5:
        return
    for column in range(1, grid.columns):
        picture[:, round(column * grid.width)] = 48
    for row in range(1, grid.rows):
        picture[round(row * grid.height)] = 48
