"""Prepare a graph for conversion."""

from __future__ import annotations

from edgecat_runtime.system.telemetry import import_onnxruntime
from edgecat_runtime.system.temporaries import scratch_folder


def prepared(payload: bytes) -> bytes:
    """Fold constants and batch norm and name every node, as ONNX Runtime's optimiser does.

    Args:
        payload: an ONNX model.
    """
    import onnx

    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    before = onnx.load_from_string(payload)
    with scratch_folder() as folder:
        options.optimized_model_filepath = str(folder / "optimised.onnx")
        ort.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
        model = onnx.load(options.optimized_model_filepath)
    names: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in names:
            node.name = f"{node.op_type}_{index}"
        names.add(node.name)
    domains = {node.domain for node in model.graph.node} | {""}
    opsets = [item for item in model.opset_import if item.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    model.ir_version = before.ir_version
    model.producer_name, model.producer_version = before.producer_name, ""
    result: bytes = model.SerializeToString()
    return result
