"""The deployed ONNX graph: from a PyTorch module, or around another tool's model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecat_export.graph.deployed import export_onnx as export_onnx
    from edgecat_export.graph.deployed import onnx_from_model as onnx_from_model

__all__ = ["export_onnx", "onnx_from_model"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # loaded on demand: wrapping another tool's model needs no torch
        return getattr(import_module("edgecat_export.graph.deployed"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
