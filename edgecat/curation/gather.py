"""A person's own pictures from a camera: sharp ones, no two of the same, never over another."""

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
from edgecat_runtime.images import PICTURE_SUFFIXES, PictureError, read_picture
from edgecat_runtime.model.preprocess import shrink
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

BLURRED = 0.6  # of blur_effect, at most
QUALITY = 95  # of the JPEG files

Verdict = Literal["taken", "alike", "blurred"]

_SIDE = 200  # pixels, as the pictures that BLURRED was measured on
_SPAN = 9  # pixels, of the blur that it compares with
_WAIT = 0.2  # seconds, after which a request to stop is seen


def blur_effect(image: Image) -> float:
    """How blurred a picture is, from 0 (sharp) to 1 (blurred, or of one colour).

    Blurring it once more takes much from the differences between the neighbours of a sharp picture
    and little from those of a blurred one (Crete et al., The Blur Effect, 2007,
    https://hal.science/hal-00232709), along rows and columns; the worse of the two counts, so that
    a picture which moved is found as well.

    Args:
        image: uint8 (h, w, 3), BGR; looked at with its shorter side of 200 pixels, if it is longer.
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
    """The folder of one label, which grows by every picture worth keeping.

    Args:
        folder: of all labels.
        label: the class; its folder is made with the first picture.

    Attributes:
        folder: of the label.
        counts: how many of the pictures offered were taken, alike and blurred.

    Raises:
        UserError: the label cannot be the name of a class folder.
    """

    def __init__(self, folder: Path, label: str) -> None:
        if not label.strip() or label.startswith(".") or set(label) & set('/\\:*?"<>|\n'):
            raise UserError(f"--label is {label!r}; expected a plain word, the class folder's name")
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
        """Pictures taken so far."""
        return self.counts["taken"]

    def offer(self, image: Image) -> Verdict:
        """Keep a picture, uint8 (h, w, 3) BGR, unless it is blurred or like one that is there.

        Raises:
            UserError: it cannot be written.
        """
        verdict = self._judged(image)
        self.counts[verdict] += 1
        return verdict

    def __str__(self) -> str:
        """Sum up: `photos/cat: 40 taken; 12 alike and 3 blurred were not`."""
        c = self.counts
        return (
            f"{self.folder}: {c['taken']:,} taken; {c['alike']:,} alike and {c['blurred']:,} "
            "blurred were not"
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
        """The fingerprints of the pictures that are there already; damaged ones do not count."""
        found = []
        for path in sorted(self.folder.glob("*")):
            if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."):
                try:
                    found.append(fingerprint(read_picture(path)))
                except PictureError:
                    continue
        return found


class Trigger(Protocol):
    """Says when to take a picture."""

    def __call__(self, frame: Frame, album: Album) -> bool:
        """Whether to offer this frame to the album; raises StopIteration to end."""


@dataclass
class Every:
    """Takes a picture every few seconds: of the clock, or of a video's own time.

    Args:
        seconds: between two.
        fps: of the video; 0 of a live source.
        stills: the source shows unrelated pictures: every one is offered.
    """

    seconds: float
    fps: float = 0.0
    stills: bool = False
    _due: float = 0.0

    def __call__(self, frame: Frame, album: Album) -> bool:
        """Whether it is time."""
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
    """Fill an album from a camera, until it has enough, the source ends, or it is told to stop.

    Args:
        camera: open.
        album: what is offered the pictures.
        wanted: when.
        count: pictures to take; None: until the end.
        stop: set from a signal.
        on_verdict: told what became of each picture offered.

    Raises:
        DeviceError: the camera was lost.
        UserError: a picture cannot be written, or a file not be read.
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
