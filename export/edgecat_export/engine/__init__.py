"""TensorRT engines."""

from edgecat_export.engine.builder import EngineOptions
from edgecat_export.engine.export import export_engine

__all__ = ["EngineOptions", "export_engine"]
