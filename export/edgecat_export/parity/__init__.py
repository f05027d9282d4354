"""Whether two models give the same predictions, and the layer at which they diverge."""

from edgecat_export.parity.comparison import Pair, compare

__all__ = ["Pair", "compare"]
