"""Images from files: every common format decoded to one layout, every broken file named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import UserError
from edgecat_runtime.system.opencv import cv2_module

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_JPEG = b"\xff\xd8"
_PNG = b"\x89PNG\r\n\x1a\n"


class PictureError(UserError):
    """A file is not an image, or is truncated."""


def read_picture(path: str | Path) -> NDArray[np.uint8]:
    """Read an image from a file; see `decode_picture`.

    Raises:
        PictureError: the file does not exist, is not an image, or is damaged.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PictureError(f"cannot read {path}: {error.strerror}. Check the path") from error
    return decode_picture(data, str(path))


def decode_picture(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an encoded image.

    Grey becomes three equal channels, transparency is composited over white, CMYK is converted,
    16-bit is scaled to 8-bit, and the EXIF orientation is applied.

    Args:
        data: the file's bytes (JPEG, PNG, WebP, BMP, TIFF).
        name: for the message.

    Returns:
        uint8 (h, w, 3), BGR.

    Raises:
        PictureError: empty, not an image, or truncated.
    """
    if not data:
        raise PictureError(f"{name} is empty (0 bytes); expected an image")
    if _is_cut_short(data):
        raise PictureError(f"{name} is truncated: its end is missing. Copy it again")
    cv2 = cv2_module()
    buffer = np.frombuffer(data, np.uint8)
    image = None
    try:
        if not data.startswith(_JPEG):
            image = _over_white(cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED))
        if image is None:
            image = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise PictureError(f"cannot decode {name}; expected JPEG, PNG, WebP, BMP or TIFF")
    return np.asarray(image, dtype=np.uint8)


def _over_white(image: NDArray[Any] | None) -> NDArray[np.uint8] | None:
    """Composite an image with an alpha channel over white; None for one without."""
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        return None
    top = float(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 1.0
    colour, alpha = image[..., :3] / top, image[..., 3:] / top
    return ((colour * alpha + 1 - alpha) * 255).round().clip(0, 255).astype(np.uint8)


def _is_cut_short(data: bytes) -> bool:
    """Whether a JPEG lacks its end-of-image marker, or a PNG its IEND chunk."""
    if data.startswith(_JPEG):
        return data.rfind(b"\xff\xd9") <= _scan_start(data)
    return data.startswith(_PNG) and b"IEND" not in data[-32:]


def _scan_start(data: bytes) -> int:
    """Offset of the first start-of-scan marker, past thumbnails in the headers (ITU T.81, B.1)."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        if data[position + 1] == 0xDA:
            return position
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return len(data)
