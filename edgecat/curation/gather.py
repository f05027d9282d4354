"""Collects images from a camera: sharp ones only, no duplicates, never overwriting a file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Literal, Protocol

import numpy as np

from edgecat.curation.fingerprint import Fingerprint, compared, fingerprint
from edgecat.data.tree import split_of
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import Frame
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import IMAGE_SUFFIXES, ImageError, read_image
from edgecat_runtime.model.preprocess import shrink
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

BLURRED = 0.6  # maximum of blur_effect
QUALITY = 95  # of the JPEG files

Verdict = Literal["taken", "alike", "blurred"]

_SIDE = 200  # pixels, as the images that BLURRED was measured on
_SPAN = 9  # pixels, size of the reference blur
_WAIT = 0.2  # seconds between checks for a stop request


def blur_effect(image: Image) -> float:
    """Measure how blurred an image is, from 0 (sharp) to 1 (blurred, or of a single colour).

    Blurring again reduces the differences between neighbouring pixels a lot in a sharp image
    and little in a blurred one (Crete et al., The Blur Effect, 2007,
    https://hal.science/hal-00232709), along rows and columns; the worse of the two counts, so
    that motion blur is detected as well.

    Args:
        image: uint8 (h, w, 3), BGR; scaled down to a shorter side of 200 pixels if it is larger.
    """
    cv2 = cv2_module()
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / min(height, width))
    small = shrink(image, max(1, round(height * scale)), max(1, round(width * scale)))
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    shares = []
    for axis, kernel in ((1, (_SPAN, 1)), (0, (1, _SPAN))):
        sharp = np.abs(np.diff(grey, axis=axis))
        soft = np.abs(np.diff(cv2.blur(grey, kernel), axis=axis))
        total = float(sharp.sum())
        lost = float(np.maximum(0, sharp - soft).sum())
        shares.append(1 - lost / total if total else 1.0)
    return max(shares)


class Album:
    """The folder of one label, to which every image worth keeping is added.

    Args:
        folder: parent folder of the class folders.
        label: the class; its folder is created with the first image.

    Attributes:
        folder: the class folder.
        counts: how many of the offered images were taken, alike (duplicates) and blurred.

    Raises:
        UserError: the label is not a valid class folder name.
    """

    def __init__(self, folder: Path, label: str) -> None:
        if not label.strip() or label.startswith(".") or set(label) & set('/\\:*?"<>|\n'):
            raise UserError(
                f"--label is {label!r}; expected a plain word, used as the class folder's name"
            )
        if split_of(label):
            raise UserError(
                f"--label is {label!r}, which names a split; expected a class, such as cat"
            )
        self.folder = folder / label
        self.counts: Counter[str] = Counter()
        self._stamp = time.strftime("%Y%m%d-%H%M%S")
        self._number = 0
        self._prints = self._known()

    @property
    def taken(self) -> int:
        """Number of images kept so far."""
        return self.counts["taken"]

    def offer(self, image: Image) -> Verdict:
        """Keep an image, uint8 (h, w, 3) BGR, unless it is blurred or a duplicate.

        Raises:
            UserError: it cannot be written.
        """
        verdict = self._judged(image)
        self.counts[verdict] += 1
        return verdict

    def __str__(self) -> str:
        """Summarise: `photos/cat: kept 40; skipped 12 duplicates and 3 blurred`."""
        c = self.counts
        return (
            f"{self.folder}: kept {c['taken']:,}; skipped {c['alike']:,} duplicates and "
            f"{c['blurred']:,} blurred"
        )

    def _judged(self, image: Image) -> Verdict:
        if blur_effect(image) > BLURRED:
            return "blurred"
        new = fingerprint(image)
        if any(compared(new, old) for old in reversed(self._prints)):
            return "alike"
        self._write(image)
        self._prints.append(new)
        return "taken"

    def _write(self, image: Image) -> None:
        cv2 = cv2_module()
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        while True:
            self._number += 1
            path = self.folder / f"{self._stamp}-{self._number:04}.jpg"
            if not path.exists():
                break
        atomic_write(path, data.tobytes())

    def _known(self) -> list[Fingerprint]:
        """Return the fingerprints of the images already there; damaged ones are ignored."""
        found = []
        for path in sorted(self.folder.glob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
                try:
                    found.append(fingerprint(read_image(path)))
                except ImageError:
                    continue
        return found


class Trigger(Protocol):
    """Decides when to take an image."""

    def __call__(self, frame: Frame, album: Album) -> bool:
        """Whether to offer this frame to the album; raises StopIteration to end."""


@dataclass
class Every:
    """Takes an image every few seconds, of wall-clock time or of a video's own time.

    Args:
        seconds: interval between two images.
        fps: frame rate of the video; 0 for a live source.
        stills: the source is a set of unrelated images, each of which is offered.
    """

    seconds: float
    fps: float = 0.0
    stills: bool = False
    _due: float = 0.0

    def __call__(self, frame: Frame, album: Album) -> bool:
        """Whether the interval has elapsed."""
        now = frame.index / self.fps if self.fps else frame.captured
        if self.stills or now >= self._due:
            self._due = now + self.seconds
            return True
        return False


def gather(
    camera: Camera,
    album: Album,
    wanted: Trigger,
    *,
    count: int | None = None,
    stop: Event | None = None,
    on_verdict: Callable[[Verdict], None] = lambda verdict: None,
) -> None:
    """Fill an album from a camera until it is full, the source ends, or a stop is requested.

    Args:
        camera: an open camera.
        album: receives the images.
        wanted: decides when to take one.
        count: number of images to keep; None: until the source ends.
        stop: set by a signal handler.
        on_verdict: called with the verdict on each offered image.

    Raises:
        DeviceError: the camera was lost.
        UserError: an image cannot be written, or a file cannot be read.
    """
    while (stop is None or not stop.is_set()) and (count is None or album.taken < count):
        try:
            frame = camera.read(timeout=_WAIT)
        except TimeoutError:
            continue
        if frame is None:
            return
        try:
            asked = wanted(frame, album)
        except StopIteration:
            return
        if asked:
            on_verdict(album.offer(frame.image))
