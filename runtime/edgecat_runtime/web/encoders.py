"""JPEG images for viewers: encoded while someone watches, once per size and rate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image
from edgecat_runtime.web.broadcast import Broadcast, Produce

WIDTHS = (320, 480, 640, 960, 1280, 1920)
RATES = (1, 2, 5, 10, 15, 30)
WIDTH, RATE = 640, 10
_STAYS = 0.5  # seconds
STREAM_QUALITY, SNAPSHOT_QUALITY = 80, 92

NewestImage = Callable[[], Image | None]


class Encoders:
    """One broadcast of JPEG images per (name, width, rate) that is watched.

    Args:
        pool: threads that encode images, off the event loop.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._broadcasts: dict[tuple[str, int, int], Broadcast] = {}

    def broadcast(self, name: str, picture: NewestImage, width: int, rate: int) -> Broadcast:
        """Return the broadcast of `picture()`; equal arguments share one."""
        key = (name, width, rate)
        if key not in self._broadcasts:
            self._broadcasts[key] = Broadcast(
                f"the image of {name}", lambda: self._start(picture, width, rate), 1 / rate
            )
        return self._broadcasts[key]

    def end(self) -> None:
        """Disconnect all viewers."""
        for broadcast in self._broadcasts.values():
            broadcast.put(None)

    def _start(self, picture: NewestImage, width: int, rate: int) -> Produce:
        """Return a function that encodes what is new.

        An image that stays is sent once more: Chromium shows it only when the next one begins.
        """
        loop = asyncio.get_running_loop()
        shown: Image | None = None
        last: bytes | None = None
        stays = max(1, round(_STAYS * rate))
        same = 0

        async def produce() -> bytes | None:
            nonlocal shown, last, same
            shown, data = await loop.run_in_executor(self._pool, _newer, picture, shown, width)
            same = same + 1 if data is None else 0
            last = data or last
            return last if same == stays else data

        return produce


def jpeg(image: Image, quality: int = SNAPSHOT_QUALITY) -> bytes:
    """Encode an image (h, w, 3) BGR uint8 as JPEG."""
    cv2 = cv2_module()
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)


def choice(text: str | None, choices: tuple[int, ...], default: int) -> int:
    """Return the smallest of `choices` that is at least the requested value, else the largest.

    Raises:
        ValueError: the text is not a number.
    """
    wanted = default if text is None else int(text)
    return next((value for value in choices if value >= wanted), choices[-1])


def _newer(
    picture: NewestImage, shown: Image | None, width: int
) -> tuple[Image | None, bytes | None]:
    image = picture()
    if image is None or image is shown:
        return shown, None
    return image, _narrowed(image, width)


def _narrowed(image: Image, width: int) -> bytes:
    """Encode at most `width` pixels wide; images are never enlarged."""
    height, own = image.shape[:2]
    if own > width:
        cv2: Any = cv2_module()
        size = (width, max(1, round(height * width / own)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return jpeg(image, STREAM_QUALITY)
