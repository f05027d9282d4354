"""Images from files: every common format decoded to one layout, every broken file named."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import UserError
from edgecat_runtime.images.exif import chunks, is_intact, orientation, upright
from edgecat_runtime.system.opencv import MAX_PIXELS, cv2_module, quiet_opencv
from edgecat_runtime.system.quiet import suppress_stderr

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_JPEG = b"\xff\xd8"
_PNG = b"\x89PNG\r\n\x1a\n"
_FILLER = b"\x5a\xa5" * 64  # read as image data, and only where some is missing
MOST_BYTES = 1 << 30
_STRIP = 1 << 18  # pixels that are blended at a time


class ImageError(UserError):
    """A file is not an image, or is truncated."""


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image from a file; see `decode_image`.

    Raises:
        ImageError: the file does not exist, is not an image, or is damaged.
    """
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path} is not a regular file; expected an image")
        check_size(status.st_size, str(path))
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}. Check the path") from error
    return decode_image(data, str(path))


def check_size(size: int, name: str) -> None:
    """Refuse files of more bytes than an image may have, before they are read.

    Raises:
        ImageError: it has more than 1 GiB.
    """
    if size > MOST_BYTES:
        raise ImageError(
            f"{name} has {size / 1e9:.1f} GB; expected an image of at most "
            f"{MOST_BYTES / 1e9:.1f} GB"
        )


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an encoded image.

    Grey becomes three equal channels, transparency is composited over white, CMYK is converted,
    16-bit is scaled to 8-bit, and the EXIF orientation is applied.

    Args:
        data: the file's bytes (JPEG, PNG, WebP, BMP, TIFF).
        name: for the message.

    Returns:
        uint8 (h, w, 3), BGR.

    Raises:
        ImageError: empty, not an image, or truncated.
    """
    if not data:
        raise ImageError(f"{name} is empty (0 bytes); expected an image")
    cv2 = cv2_module()
    image = None
    if not (cut := _is_cut_short(data)):
        with suppress(cv2.error), quiet_opencv(cv2):
            image = _decoded(cv2, data) if is_intact(data) else None
            cut = image is not None and _lacks_data(cv2, data, image)
    if cut:
        raise ImageError(f"{name} is truncated: its end is missing. Copy it again")
    if image is None:
        raise ImageError(
            f"cannot decode {name}; expected JPEG, PNG, WebP, BMP or TIFF of at most "
            f"{MAX_PIXELS / 1e6:.0f} megapixels"
        )
    return np.asarray(image, dtype=np.uint8)


def _decoded(cv2: Any, data: bytes) -> NDArray[np.uint8] | None:
    buffer = np.frombuffer(data, np.uint8)
    if not data.startswith(_JPEG):
        image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
        if image is not None and image.ndim == 3 and image.shape[2] == 4:
            return upright(_over_white(image), orientation(data))
    found: NDArray[np.uint8] | None = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    return found


def _over_white(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Composite an image (h, w, 4) with an alpha channel over white, a strip at a time."""
    top = float(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 1.0
    result = np.empty((*image.shape[:2], 3), np.uint8)
    rows = max(1, _STRIP // image.shape[1])
    for start in range(0, len(image), rows):
        strip = image[start : start + rows]
        colour, alpha = strip[..., :3] / top, strip[..., 3:] / top
        blended = ((colour * alpha + 1 - alpha) * 255).round().clip(0, 255)
        result[start : start + rows] = blended
    return result


def _lacks_data(cv2: Any, data: bytes, image: NDArray[np.uint8]) -> bool:
    """Whether a JPEG ends in its marker, but without all of its image data.

    The decoder then fills the rest with one colour. It would read anything before the marker as
    image data, and does not where nothing is missing.
    """
    edges = (image[-8:, -8:], image[:8, :8], image[:8, -8:], image[-8:, :8])  # turned by EXIF
    if not data.startswith(_JPEG) or all(np.ptp(edge, axis=(0, 1)).any() for edge in edges):
        return False
    end = data.rfind(b"\xff\xd9")
    filled = np.frombuffer(data[:end] + _FILLER + data[end:], np.uint8)
    with suppress_stderr():  # libjpeg names the bytes that it did not need
        longer = cv2.imdecode(filled, cv2.IMREAD_COLOR)
    return longer is None or not np.array_equal(longer, image)


def _is_cut_short(data: bytes) -> bool:
    """Whether a JPEG lacks its end-of-image marker, or a PNG its IEND chunk."""
    if data.startswith(_JPEG):
        return data.rfind(b"\xff\xd9") <= _scan_start(data)
    return data.startswith(_PNG) and all(kind != b"IEND" for kind, _ in chunks(data))


def _scan_start(data: bytes) -> int:
    """Offset of the first start-of-scan marker, past thumbnails in the headers (ITU T.81, B.1)."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        if data[position + 1] == 0xDA:
            return position
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return len(data)
