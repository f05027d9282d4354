"""What TensorRT says of a graph, as a sentence: which ONNX node, what is wrong, what to do."""

from __future__ import annotations

from typing import Any

from edgecat_runtime.errors import UserError
from edgecat_runtime.tensorrt_api import TensorRT, plainly

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

# The first phrase found in TensorRT's words decides; the words of its enumeration come last.
_ADVICE = (
    ("zero point", _SYMMETRIC),
    ("UINT8 zero_point", _SYMMETRIC),
    ("has type Int32 but must have type FP8", _SYMMETRIC),
    ("has type UInt8", _CAST_FIRST),
    ("same input types", _ONE_TYPE),
    ("Failed to parse the ONNX model", _WHOLE),
    ("Node input was not registered", _WHOLE),
    ("Unsupported ONNX data type", _OTHER_OPERATOR),
    ("Plugin not found", _OTHER_OPERATOR),
    ("plugin registry", _OTHER_OPERATOR),
    ("but must match", _WHOLE),
    ("UNSUPPORTED_NODE_DYNAMIC", "Give that axis a fixed size; only the batch may vary"),
    ("UNSUPPORTED", _OTHER_OPERATOR),
)
_SILENT = "UINT8 zero_point"  # imported as int8, with a warning alone
_MEANINGS = {
    "UNSUPPORTED_NODE": "the operator is not supported",
    "UNSUPPORTED_NODE_ATTR": "an attribute of it is not supported",
    "UNSUPPORTED_NODE_INPUT": "an input of it is not supported",
    "UNSUPPORTED_NODE_DATATYPE": "a data type of it is not supported",
    "UNSUPPORTED_NODE_DYNAMIC": "a varying shape is not supported there",
    "UNSUPPORTED_NODE_SHAPE": "a shape of it is not supported",
}


class EngineError(UserError):
    """TensorRT cannot make an engine of this graph, or not with these options."""


def parser_error(api: TensorRT, parser: Any, name: str) -> EngineError:
    """Translate the first thing that the parser holds against a graph."""
    if not parser.num_errors:
        return EngineError(f"{api} cannot read {name} ({api.log.first_error}). {_WHOLE}")
    error = parser.get_error(0)
    code, node = str(error.code()).rpartition(".")[2], error.node()
    said = plainly(error.desc())
    if said in ("", "false"):  # an assertion without words
        said = _MEANINGS.get(code, code)
    if node < 0:
        return EngineError(f"{name} is no ONNX model that {api} can read: {said}. {_WHOLE}")
    title = f"node {node} ({error.node_operator()} {error.node_name()!r})"
    advice = _advice(f"{said} {error.desc()} {code}")
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


def _advice(said: str) -> str:
    return next((advice for phrase, advice in _ADVICE if phrase in said), _OTHER_OPERATOR)
