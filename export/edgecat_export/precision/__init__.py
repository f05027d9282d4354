"""Reduced precision: fp16 and int8 conversion with an accuracy gate."""

from edgecat_export.precision.conversion import convert

__all__ = ["convert"]
