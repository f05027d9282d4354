"""What a camera hands over: frames, and news of its signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        image: uint8 (h, w, 3), BGR.
        index: its number at the source, from 0; dropped frames have numbers too.
        captured: when, in seconds of `time.perf_counter`. A frame of a file does not age while it
            waits to be read.
        time: when, in seconds since 1970.
        name: of the picture, where the source names them.
        source: name of the source.
        camera: number of the camera among several, from 0.
    """

    image: Image
    index: int
    captured: float
    time: float
    name: str = ""
    source: str = ""
    camera: int = 0


@dataclass(frozen=True, slots=True)
class Signal:
    """A live source was lost, or is back.

    Attributes:
        state: which of the two.
        source: its name.
        camera: number of the camera among several.
        time: when, in seconds since 1970.
        reason: why it was lost.
        seconds: how long it has been without a frame.
    """

    state: Literal["lost", "back"]
    source: str
    camera: int
    time: float
    reason: str
    seconds: float = 0.0
