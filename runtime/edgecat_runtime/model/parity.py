"""How far two sets of logits may be apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.model.card import Precision

# Maximum logit error, relative to the spread of the golden logits, by precision.
LOGIT_LIMITS: dict[Precision, float] = {"fp32": 1e-4, "fp16": 5e-3, "int8": 5e-2}
PREPROCESS_LIMIT = 1.0


def logit_error(
    reference: NDArray[np.float32], candidate: NDArray[np.float32], golden: NDArray[np.float32]
) -> float:
    """Maximum absolute difference of logits, relative to the spread of the golden logits.

    Args:
        reference: (n, classes).
        candidate: (n, classes).
        golden: (4, classes), whose maximum minus minimum is the spread.

    Returns:
        The error; infinite if a logit is not finite.
    """
    difference = float(np.abs(reference - candidate).max()) if len(reference) else 0.0
    spread = max(float(golden.max() - golden.min()), float(np.finfo(np.float32).tiny))
    return difference / spread if np.isfinite(difference) else float("inf")
