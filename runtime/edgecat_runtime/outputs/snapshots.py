"""Snapshots: the frame at every label change, as JPEG files in a folder."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import UserError
from edgecat_runtime.outputs.events import iso_time
from edgecat_runtime.outputs.sink import Sink
from edgecat_runtime.system.atomic import atomic_write, write_error
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.system.temporaries import sweep

if TYPE_CHECKING:
    from edgecat_runtime.loop.answers import Answer

LIMIT = 1000
_QUALITY = 90
_LABEL = 60
_NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z-\d+-\d+-.*\.jpg")


class Snapshots(Sink):
    """A JPEG of the frame, without overlay, at every label change; the oldest are deleted.

    Files are named by time, camera, frame and label, so that names sort by time:
    `20260131T120000.000Z-0-123-cat.jpg`. They are written atomically. Files with other names are
    left alone; those of earlier runs count.

    Args:
        folder: created if it does not exist.
        limit: number of files to keep.

    Raises:
        UserError: the folder is not writable, or the limit is below 1.

    Example:
        >>> Pipeline(camera, classifier, [Snapshots("seen", limit=100)]).run()  # doctest: +SKIP
    """

    name = "the snapshots"
    only_changes = True

    def __init__(self, folder: str | Path, *, limit: int = LIMIT) -> None:
        if limit < 1:
            raise UserError(f"the snapshot limit is {limit}; expected 1 or more files")
        self._cv2 = cv2_module()
        self._folder = Path(folder)
        self._limit = limit
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            names = sorted(path.name for path in self._folder.iterdir())
        except OSError as error:
            raise write_error(folder, error) from error
        self._kept = deque(name for name in names if _NAME.fullmatch(name))
        sweep(self._folder)

    def write(self, answer: Answer, picture: NDArray[np.uint8]) -> None:
        """Write one file and remove the oldest; raises UserError when the disk is full."""
        done, jpeg = self._cv2.imencode(".jpg", picture, [self._cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if not done:
            raise UserError(f"an image of shape {picture.shape} cannot be written as JPEG")
        name = name_from_answer(answer)
        atomic_write(self._folder / name, jpeg.tobytes())
        self._kept.append(name)
        while len(self._kept) > self._limit:
            (self._folder / self._kept.popleft()).unlink(missing_ok=True)


def name_from_answer(answer: Answer) -> str:
    """Return the file's name: time, camera, frame and label, with unsafe characters replaced."""
    frame = answer.frame
    time = iso_time(frame.time).replace("-", "").replace(":", "")
    label = re.sub(r"[^\w-]+", "_", answer.smoothed.displayed)[:_LABEL]
    return f"{time}-{frame.camera}-{frame.index}-{label}.jpg"
