"""How fast models are here: opened, proved, and timed in turn."""

from edgecat_runtime.benchmark.measuring import ROUNDS, Result, measure
from edgecat_runtime.benchmark.opening import Subject, opened

__all__ = ["ROUNDS", "Result", "Subject", "measure", "opened"]
