"""What TensorRT says of a graph, as a sentence: which ONNX node, what is wrong, what to do."""

from __future__ import annotations

from typing import Any

from edgecat_runtime.errors import UserError
from edgecat_runtime.nvidia.tensorrt import TensorRT, plainly

_OTHER_OPERATOR = (
    "Express it with operators that TensorRT has, or serve the .onnx file with --backend "
    "onnxruntime"
)
_SYMMETRIC = (
    "Quantise in the form that TensorRT takes: edgecat export MODEL --to trt --precision int8 "
    "--calibrate photos/"
)
_CAST_FIRST = "Cast the frames to float before anything else, as edgecat's own export does"
_ONE_TYPE = "Convert the whole graph at once: edgecat export MODEL --precision fp16"
_WHOLE = "Copy the file again or export it again"

# What TensorRT's words hold, what they mean (empty: they say it), what to do. The first that is
# found decides; the names of the parser's error codes come last.
_KNOWN = (
    ("zero point", "it has a zero point other than 0 (asymmetric quantisation)", _SYMMETRIC),
    (
        "has type Int32 but must have type FP8",
        "it dequantises int32 (a quantised bias)",
        _SYMMETRIC,
    ),
    ("has type UInt8", "it gets uint8, which only a cast may", _CAST_FIRST),
    ("same input types", "it mixes float types", _ONE_TYPE),
    ("Failed to parse the ONNX model", "it is damaged or a part only", _WHOLE),
    ("Node input was not registered", "nothing in the graph makes one of its inputs", _WHOLE),
    ("Unsupported data type", "it uses a data type that is not supported", _OTHER_OPERATOR),
    ("Plugin not found", "the operator is unknown, or a plugin's", _OTHER_OPERATOR),
    ("plugin registry", "the operator needs a plugin that is not there", _OTHER_OPERATOR),
    ("must match", "", _WHOLE),
    ("UNSUPPORTED_NODE_DYNAMIC", "its shape varies", "Give that axis a fixed size, but the batch"),
    ("UNSUPPORTED_NODE_ATTR", "an attribute of it is not supported", _OTHER_OPERATOR),
    ("UNSUPPORTED_NODE_INPUT", "an input of it is not supported", _OTHER_OPERATOR),
    ("UNSUPPORTED_NODE_DATATYPE", "a data type of it is not supported", _OTHER_OPERATOR),
    ("UNSUPPORTED_NODE_SHAPE", "a shape of it is not supported", _OTHER_OPERATOR),
    ("UNSUPPORTED_NODE", "the operator is not supported", _OTHER_OPERATOR),
)
_SILENT = "UINT8 zero_point"  # imported as int8, with a warning alone


class EngineError(UserError):
    """TensorRT cannot make an engine of this graph, or not with these options."""


def parser_error(api: TensorRT, parser: Any, name: str) -> EngineError:
    """Translate the first thing that the parser holds against a graph."""
    if not parser.num_errors:
        said = api.log.first_error or "it holds no input or no output"
        return EngineError(f"{api} cannot read {name}: {said}. {_WHOLE}")
    error = parser.get_error(0)
    code, node = str(error.code()).rpartition(".")[2], error.node()
    said, advice = _meaning(error.desc(), code)
    if node < 0:
        return EngineError(f"{name} is no ONNX model that {api} can read: {said}. {advice}")
    title = f"node {node} ({error.node_operator()} {error.node_name()!r})"
    return EngineError(f"{api} does not take {title} of {name}: {said}. {advice}")


def silent_error(api: TensorRT, name: str) -> EngineError | None:
    """What the parser let pass with a warning although it changes the answers."""
    if not any(_SILENT in warning for warning in api.log.warnings):
        return None
    return EngineError(
        f"{name} is quantised to uint8, which {api} would take for int8 without a word. "
        f"{_SYMMETRIC}"
    )


def builder_error(api: TensorRT, name: str, *, needs_gpu: tuple[str, ...] = ()) -> EngineError:
    """Translate why nothing was built.

    Args:
        api: whose log says it.
        name: of the graph.
        needs_gpu: options set that only work beside a GPU, where there is none.
    """
    said = api.log.first_error or "it gives no reason"
    if needs_gpu:
        options = " and ".join(needs_gpu)
        return EngineError(
            f"{api} needs a GPU to build with {options}, and none was found here. Leave it out, or "
            "build on the device"
        )
    if any(word in " ".join(api.log.errors).lower() for word in ("out of memory", "outofmemory")):
        return EngineError(
            f"{api} ran out of memory while building {name}. Close what else uses the GPU, give a "
            "smaller workspace, or build for smaller batches"
        )
    return EngineError(f"{api} cannot build an engine of {name}: {said}. Run edgecat doctor")


def _meaning(desc: str, code: str) -> tuple[str, str]:
    """What is wrong, in people's words where they are known, and what to do."""
    for phrase, meaning, advice in _KNOWN:
        if phrase in f"{desc} {code}":
            return meaning or plainly(desc), advice
    return plainly(desc) or code, _OTHER_OPERATOR
