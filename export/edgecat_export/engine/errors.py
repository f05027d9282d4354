"""TensorRT's errors as messages: the ONNX node, the problem and the fix."""

from __future__ import annotations

from typing import Any

from edgecat_runtime.errors import UserError
from edgecat_runtime.nvidia.tensorrt import TensorRT, plainly

_OTHER_OPERATOR = (
    "Use operators that TensorRT supports, or serve the .onnx file with --backend onnxruntime"
)
_SYMMETRIC = (
    "Quantise in the form that TensorRT accepts: edgecat export MODEL --to trt --precision int8 "
    "--calibrate photos/"
)
_CAST_FIRST = "Cast the frames to float first, as edgecat's export does"
_ONE_TYPE = "Convert the whole graph at once: edgecat export MODEL --precision fp16"
_WHOLE = "Copy the file again or export it again"

# Substrings of TensorRT's messages, what they mean (empty: use the message itself), and the fix.
# The first match wins; the names of the parser's error codes come last.
_KNOWN = (
    ("zero point", "it has a zero point other than 0 (asymmetric quantisation)", _SYMMETRIC),
    (
        "has type Int32 but must have type FP8",
        "it dequantises int32 (a quantised bias)",
        _SYMMETRIC,
    ),
    ("has type UInt8", "its input is uint8, which only a cast accepts", _CAST_FIRST),
    ("same input types", "it mixes float types", _ONE_TYPE),
    ("Failed to parse the ONNX model", "it is damaged or truncated", _WHOLE),
    ("Node input was not registered", "one of its inputs is not produced by any node", _WHOLE),
    ("Unsupported data type", "it uses a data type that is not supported", _OTHER_OPERATOR),
    ("Plugin not found", "the operator is unknown or belongs to a plugin", _OTHER_OPERATOR),
    ("plugin registry", "the operator needs a plugin that is missing", _OTHER_OPERATOR),
    ("must match", "", _WHOLE),
    ("UNSUPPORTED_NODE_DYNAMIC", "its shape varies", "Make every axis except the batch fixed"),
    ("UNSUPPORTED_NODE_ATTR", "one of its attributes is not supported", _OTHER_OPERATOR),
    ("UNSUPPORTED_NODE_INPUT", "one of its inputs is not supported", _OTHER_OPERATOR),
    ("UNSUPPORTED_NODE_DATATYPE", "one of its data types is not supported", _OTHER_OPERATOR),
    ("UNSUPPORTED_NODE_SHAPE", "one of its shapes is not supported", _OTHER_OPERATOR),
    ("UNSUPPORTED_NODE", "the operator is not supported", _OTHER_OPERATOR),
)
_SILENT = "UINT8 zero_point"  # imported as int8 with only a warning


class EngineError(UserError):
    """TensorRT cannot build an engine from this graph, or not with these options."""


def parser_error(api: TensorRT, parser: Any, name: str) -> EngineError:
    """Translate the first error the parser reports for a graph."""
    if not parser.num_errors:
        said = api.log.first_error or "it has no input or no output"
        return EngineError(f"{api} cannot read {name}: {said}. {_WHOLE}")
    error = parser.get_error(0)
    code, node = str(error.code()).rpartition(".")[2], error.node()
    said, advice = _meaning(error.desc(), code)
    if node < 0:
        return EngineError(f"{name} is not an ONNX model that {api} can read: {said}. {advice}")
    title = f"node {node} ({error.node_operator()} {error.node_name()!r})"
    return EngineError(f"{api} does not support {title} of {name}: {said}. {advice}")


def silent_error(api: TensorRT, name: str) -> EngineError | None:
    """What the parser accepts with only a warning although it changes the results."""
    if not any(_SILENT in warning for warning in api.log.warnings):
        return None
    return EngineError(
        f"{name} is quantised to uint8, which {api} would silently treat as int8. {_SYMMETRIC}"
    )


def builder_error(api: TensorRT, name: str, *, needs_gpu: tuple[str, ...] = ()) -> EngineError:
    """Translate why nothing was built.

    Args:
        api: whose log holds the reason.
        name: of the graph.
        needs_gpu: the options set that need a GPU, if there is none.
    """
    said = api.log.first_error or "no reason given"
    if needs_gpu:
        options = " and ".join(needs_gpu)
        return EngineError(
            f"{api} needs a GPU to build with {options}, and none was found here. Omit it, or "
            "build on the device"
        )
    if any(word in " ".join(api.log.errors).lower() for word in ("out of memory", "outofmemory")):
        return EngineError(
            f"{api} ran out of memory while building {name}. Close other programs on the GPU, "
            "use a smaller workspace, or build for smaller batches"
        )
    return EngineError(f"{api} cannot build an engine from {name}: {said}. Run edgecat doctor")


def _meaning(desc: str, code: str) -> tuple[str, str]:
    """The problem in plain words, if known, and the fix."""
    for phrase, meaning, advice in _KNOWN:
        if phrase in f"{desc} {code}":
            return meaning or plainly(desc), advice
    return plainly(desc) or code, _OTHER_OPERATOR
