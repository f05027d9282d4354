"""The only preprocessing: evaluation, calibration, parity and the camera all call it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import Fit
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

PADDING = 114
"""The grey around an image that is fitted by `letterbox`."""


def preprocess(frame: Image, height: int, width: int, fit: Fit = "crop") -> Image:
    """Fit a frame to a network's input.

    Args:
        frame: uint8 (h, w, 3), BGR as in OpenCV.
        height: of the network's input, in pixels.
        width: of the network's input, in pixels.
        fit: `crop` keeps the aspect ratio and crops the centre, `letterbox` keeps the aspect ratio
            and pads with grey 114, `stretch` does not keep it.

    Returns:
        uint8 (height, width, 3), BGR.

    Raises:
        UserError: the frame has the wrong shape or type.
    """
    check_frame(frame)
    return _FITS[fit](frame, height, width)


def check_frame(frame: object) -> None:
    """Raise UserError unless `frame` is a uint8 (h, w, 3) array."""
    if not isinstance(frame, np.ndarray):
        raise UserError(f"frame is a {type(frame).__name__}; expected a (h, w, 3) BGR uint8 array")
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise UserError(
            f"frame has shape {frame.shape}; expected (h, w, 3) BGR uint8. "
            "Convert grey images with cv2.cvtColor"
        )
    if frame.dtype != np.uint8:
        raise UserError(
            f"frame has type {frame.dtype}; expected uint8 of 0 to 255. Scale it and use .astype"
        )


def shrink(image: Image, height: int, width: int) -> Image:
    """Resize fast without aliasing: halve by area while twice too large, then linear.

    Exact halving is vectorised, while a general area resize of a 720p frame takes ten times as
    long; the last step shrinks by less than two, where linear interpolation hardly aliases. Both
    give the same bytes on every processor: plain INTER_LINEAR rounds differently on ARM, which
    moves an int8 network's logits further than all of its own rounding does.

    Args:
        image: uint8 (h, w, 3).
        height: target height in pixels.
        width: target width in pixels.

    Returns:
        uint8 (height, width, 3).
    """
    cv2 = cv2_module()
    image = halved(image, height, width)
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.ascontiguousarray(image)


def halved(image: Image, height: int, width: int) -> Image:
    """Halve by area while twice too large: the first step of `shrink`.

    Args:
        image: uint8 (h, w, 3).
        height: final target height in pixels.
        width: final target width in pixels.

    Returns:
        uint8 (below 2 height, below 2 width, 3), or the image itself.
    """
    cv2 = cv2_module()
    while image.shape[0] >= 2 * height or image.shape[1] >= 2 * width:
        y = 2 if image.shape[0] >= 2 * height else 1
        x = 2 if image.shape[1] >= 2 * width else 1
        rows, columns = image.shape[0] // y, image.shape[1] // x
        image = cv2.resize(
            image[: rows * y, : columns * x], (columns, rows), interpolation=cv2.INTER_AREA
        )
    return image


def _crop(frame: Image, height: int, width: int) -> Image:
    h, w = frame.shape[:2]
    crop_h, crop_w = min(h, w * height // width), min(w, h * width // height)
    crop_h, crop_w = max(crop_h, 1), max(crop_w, 1)
    top, left = (h - crop_h) // 2, (w - crop_w) // 2
    return shrink(frame[top : top + crop_h, left : left + crop_w], height, width)


def _letterbox(frame: Image, height: int, width: int) -> Image:
    h, w = frame.shape[:2]
    scale = min(height / h, width / w)
    inner_h, inner_w = max(1, round(h * scale)), max(1, round(w * scale))
    canvas = np.full((height, width, 3), PADDING, np.uint8)
    top, left = (height - inner_h) // 2, (width - inner_w) // 2
    canvas[top : top + inner_h, left : left + inner_w] = shrink(frame, inner_h, inner_w)
    return canvas


_FITS: dict[Fit, Callable[[Image, int, int], Image]] = {
    "crop": _crop,
    "letterbox": _letterbox,
    "stretch": shrink,
}
