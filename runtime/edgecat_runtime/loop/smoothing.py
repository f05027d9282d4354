"""Temporal smoothing: a decision that follows the scene, not the noise of one frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Smoother:
    """Exponential moving average of logits (Brown 1956).

    Logits are averaged rather than probabilities, because a saturated softmax would let one
    overconfident frame outweigh many moderate ones.

    Args:
        weight: weight of the newest frame, 0 < weight <= 1; 1 disables smoothing. With the default,
            a scene change takes effect after two to four frames.
    """

    def __init__(self, weight: float = 0.3) -> None:
        if not 0 < weight <= 1:
            raise ValueError(f"smoothing weight is {weight}; expected 0 < weight <= 1")
        self.weight = weight
        self._state: NDArray[np.float32] | None = None

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add one frame's logits (classes,) and return the smoothed ones, of the same shape.

        The first frame is returned unchanged. A frame with non-finite logits is ignored, since it
        would poison the average permanently.
        """
        if self._state is None or not np.isfinite(self._state).all():
            self._state = np.array(logits, dtype=np.float32)
        elif np.isfinite(logits).all():
            self._state = self._state + np.float32(self.weight) * (logits - self._state)
        return self._state

    def reset(self) -> None:
        """Reset the average, for example after a change of source."""
        self._state = None
