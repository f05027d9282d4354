"""Whether two models give the same answer, and the layer at which they part."""

from edgecat_export.parity.comparison import Pair, compare

__all__ = ["Pair", "compare"]
