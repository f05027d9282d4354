"""Smaller numbers: fp16 and int8, converted and judged."""

from edgecat_export.precision.conversion import convert

__all__ = ["convert"]
