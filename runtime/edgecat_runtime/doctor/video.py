"""A tiny video that is stored turned, as phones store theirs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from edgecat_runtime.camera.sources.video import VideoFile
from edgecat_runtime.doctor.probes import Unwell
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.system.paths import native_path
from edgecat_runtime.system.quiet import suppress_stderr

_HEIGHT, _WIDTH, _BRIGHT = 96, 160, 32


def read_turned_clip() -> None:
    """Read a clip that its file says to turn a quarter clockwise; raises whatever fails.

    Raises:
        Unwell: its frames are not upright, or this OpenCV cannot write it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "turned.mp4"
        _write(path)
        source = VideoFile(path)
        try:
            shot = source.read()
        finally:
            source.close()
    if shot is None:
        raise Unwell("reads no frame of a clip that it wrote")
    image = shot.image
    corners = [image[8, 8], image[8, -8], image[-8, -8], image[-8, 8]]  # clockwise
    brightest = int(np.argmax([corner.mean() for corner in corners]))
    if image.shape[:2] != (_WIDTH, _HEIGHT) or brightest != 1:
        raise Unwell("phone videos are turned wrongly")


def _write(path: Path) -> None:
    """Write frames with a bright corner at the top left, to be turned a quarter clockwise."""
    cv2 = cv2_module()
    image = np.zeros((_HEIGHT, _WIDTH, 3), np.uint8)
    image[:_BRIGHT, :_BRIGHT] = 255
    with suppress_stderr(), native_path(path) as name:
        writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"mp4v"), 25, (_WIDTH, _HEIGHT))
        for _ in range(3):
            writer.write(image)
        writer.release()
    if not path.is_file():
        raise Unwell("cannot write an mp4 to try")
    data = path.read_bytes()
    start = data.index(b"tkhd") + 4 + 40  # the track header's matrix, ISO/IEC 14496-12
    numbers = (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    matrix = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    path.write_bytes(data[:start] + matrix + data[start + len(matrix) :])
