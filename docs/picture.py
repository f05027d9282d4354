"""Create `docs/pets.jpg`, the image in the README, from a demo's recording.

make demo
.venv/bin/python docs/picture.py demo
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_COLUMNS, _ROWS, _WIDTH, _GAP = 4, 2, 360, 8


def main(demo: Path) -> None:
    """Arrange evenly spaced frames of the recording in a grid, on white."""
    frames = _frames(next(demo.glob("camera.*")))
    count = _COLUMNS * _ROWS
    chosen = [frames[(2 * i + 1) * len(frames) // (2 * count)] for i in range(count)]
    height = chosen[0].shape[0] * _WIDTH // chosen[0].shape[1]
    small = [cv2.resize(f, (_WIDTH, height), interpolation=cv2.INTER_AREA) for f in chosen]
    sheet = np.full(
        (_ROWS * (height + _GAP) - _GAP, _COLUMNS * (_WIDTH + _GAP) - _GAP, 3), 255, np.uint8
    )
    for number, frame in enumerate(small):
        y, x = (number // _COLUMNS) * (height + _GAP), (number % _COLUMNS) * (_WIDTH + _GAP)
        sheet[y : y + height, x : x + _WIDTH] = frame
    output = Path(__file__).with_name("pets.jpg")
    output.write_bytes(cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 76])[1].tobytes())


def _frames(clip: Path) -> list[NDArray[np.uint8]]:
    capture, frames = cv2.VideoCapture(str(clip)), []
    while (read := capture.read())[0]:
        frames.append(np.asarray(read[1], np.uint8))
    capture.release()
    return frames


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
