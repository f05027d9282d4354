"""The arrays that everything hands about."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (h, w, 3), BGR
Frames = NDArray[np.uint8]  # (n, h, w, 3), BGR
Logits = NDArray[np.float32]  # (n, classes)
Values = NDArray[np.float32]
Numbers = NDArray[np.float64]
