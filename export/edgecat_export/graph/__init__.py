"""The deployed ONNX graph: from a PyTorch module, or around another tool's model."""

from edgecat_export.graph.deployed import export_onnx, onnx_from_model

__all__ = ["export_onnx", "onnx_from_model"]
