"""Requests and responses of the Open Inference Protocol, version 2, over HTTP.

A request carries one input tensor: `frames`, UINT8 [n, height, width, 3], BGR and fitted to the
network's input; or `images`, BYTES [n], whole image files (JPEG, PNG, WebP, BMP, TIFF), which are
decoded and fitted here. The tensor is JSON, or bytes behind the JSON (the binary extension of
Triton). In JSON, image files are base64.

Sources: the Open Inference Protocol's REST specification (KServe), and Triton's binary tensor data
extension: https://github.com/kserve/open-inference-protocol,
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.prediction import Prediction

FRAMES, IMAGES = "frames", "images"
OUTPUTS = {"logits": "FP32", "probabilities": "FP32", "label": "BYTES", "energy": "FP32"}
"""The output tensors and their types; those whose shape is [n, classes] are the first two."""

_ID_LENGTH = 200
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class BadRequest(UserError):
    """A request that is not valid: the client gets status 400 and the sentence."""


@dataclass(frozen=True)
class InferRequest:
    """A request, read and checked.

    Attributes:
        frames: uint8 (n, height, width, 3), if frames were sent.
        images: the image files, if these were sent.
        id: that the response repeats.
        outputs: names of the requested outputs.
        binary: those that are wanted as bytes behind the JSON.
    """

    frames: NDArray[np.uint8] | None
    images: tuple[bytes, ...]
    id: str = ""
    outputs: tuple[str, ...] = tuple(OUTPUTS)
    binary: frozenset[str] = field(default_factory=frozenset)

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.images) if self.frames is None else len(self.frames)

    @property
    def logits_only(self) -> bool:
        """Whether the response needs no predictions."""
        return set(self.outputs) <= {"logits"}


def metadata(name: str, card: ModelCard) -> dict[str, Any]:
    """The response about a model: its tensors, and its card."""
    shapes = {"logits": [-1, card.classes], "probabilities": [-1, card.classes]}
    return {
        "name": name,
        "versions": ["1"],
        "platform": f"edgecat_{card.precision}",
        "inputs": [
            {"name": FRAMES, "datatype": "UINT8", "shape": [-1, card.height, card.width, 3]},
            {"name": IMAGES, "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": output, "datatype": kind, "shape": shapes.get(output, [-1])}
            for output, kind in OUTPUTS.items()
        ],
        "card": card.to_dict(),
    }


def read_request(
    body: bytes, json_length: int | None, card: ModelCard, *, most: int
) -> InferRequest:
    """Read the body of an inference request.

    Args:
        body: JSON, with the bytes of tensors behind it.
        json_length: length of the JSON, from the header Inference-Header-Content-Length; None: all.
        card: of the model.
        most: maximum number of images in a request.

    Raises:
        BadRequest: it is not valid; the sentence says what was got and expected.
    """
    length = len(body) if json_length is None else json_length
    if not 0 <= length <= len(body):
        raise BadRequest(f"the JSON is said to have {length} bytes; the request has {len(body)}")
    request = _json(body[:length])
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadRequest(f"expected one input, {FRAMES} or {IMAGES}")
    tensor = inputs[0]
    name = tensor.get("name")
    data = _binary(tensor, memoryview(body)[length:])
    frames: NDArray[np.uint8] | None = None
    images: tuple[bytes, ...] = ()
    if name == FRAMES:
        frames = _frames(tensor, data, card, most)
    elif name == IMAGES:
        images = _images(tensor, data, most)
    else:
        raise BadRequest(f"the input is called {str(name)[:40]!r}; expected {FRAMES} or {IMAGES}")
    given = request.get("id", "")
    if not isinstance(given, str) or len(given) > _ID_LENGTH:
        raise BadRequest(f"the id is not text of at most {_ID_LENGTH} characters")
    return InferRequest(frames, images, given, *_outputs(request))


def response(
    name: str, request: InferRequest, logits: NDArray[np.float32], found: Sequence[Prediction]
) -> tuple[bytes, int | None]:
    """The body of the response, and the length of its JSON if bytes follow it.

    Args:
        name: of the model.
        request: that is answered.
        logits: float32 (n, classes).
        found: the predictions, in the same order; unused if only logits were requested.
    """
    outputs, tail = [], b""
    for output in request.outputs:
        values = _values(output, logits, found)
        shape = list(values.shape) if isinstance(values, np.ndarray) else [len(values)]
        tensor: dict[str, Any] = {"name": output, "datatype": OUTPUTS[output], "shape": shape}
        if output in request.binary:
            data = _encoded(values)
            tensor["parameters"] = {"binary_data_size": len(data)}
            tail += data
        elif isinstance(values, np.ndarray):
            tensor["data"] = [_number(value) for value in values.ravel().tolist()]
        else:
            tensor["data"] = values
        outputs.append(tensor)
    said: dict[str, Any] = {"model_name": name, "model_version": "1", "outputs": outputs}
    if request.id:
        said["id"] = request.id
    head = _ENCODER.encode(said).encode()
    return head + tail, len(head) if request.binary else None


def _values(
    output: str, logits: NDArray[np.float32], found: Sequence[Prediction]
) -> NDArray[np.float32] | list[str]:
    if output == "logits":
        return logits
    if output == "label":
        return [prediction.displayed for prediction in found]
    if output == "energy":
        return np.array([prediction.energy for prediction in found], np.float32)
    rows = [list(prediction.probabilities.values()) for prediction in found]
    return np.array(rows, np.float32).reshape(logits.shape)


def _encoded(values: NDArray[np.float32] | list[str]) -> bytes:
    if isinstance(values, np.ndarray):
        return values.astype("<f4").tobytes()
    parts = [text.encode() for text in values]
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the request is not JSON: {str(error)[:100]}") from error
    if not isinstance(found, dict):
        raise BadRequest("the request is not a JSON object")
    return found


def _binary(tensor: dict[str, Any], tail: memoryview) -> memoryview | None:
    """The tensor's bytes behind the JSON; None if its data is in the JSON."""
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        if tail:
            raise BadRequest(f"{len(tail)} bytes follow the JSON, but no binary_data_size")
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size != len(tail):
        raise BadRequest(f"binary_data_size is {str(size)[:20]}; {len(tail)} bytes follow the JSON")
    return tail


def _shape(tensor: dict[str, Any], most: int) -> tuple[int, ...]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise BadRequest("the shape is not a list of whole numbers from 0 on")
    if not shape or not 1 <= shape[0] <= most:
        count = shape[0] if shape else "no"
        raise BadRequest(f"the request holds {count} images; expected 1 to {most}")
    return tuple(shape)


def _frames(
    tensor: dict[str, Any], data: memoryview | None, card: ModelCard, most: int
) -> NDArray[np.uint8]:
    shape = _shape(tensor, most)
    expected = (card.height, card.width, 3)
    if tensor.get("datatype") != "UINT8" or shape[1:] != expected:
        got = f"{str(tensor.get('datatype'))[:10]} {list(shape)[:8]}"
        raise BadRequest(
            f"{FRAMES} is {got}; expected UINT8 [n, {card.height}, {card.width}, 3], BGR"
        )
    if data is not None:
        if len(data) != math.prod(shape):
            raise BadRequest(
                f"{FRAMES} has {len(data)} bytes; expected {math.prod(shape)} of its shape"
            )
        return np.frombuffer(data, np.uint8).reshape(shape)
    try:
        values = np.asarray(tensor.get("data"))
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"the data of {FRAMES} is ragged; expected one number a value") from error
    whole = values.dtype.kind in "iu" and values.size == math.prod(shape)
    if not whole or values.min(initial=0) < 0 or values.max(initial=0) > 255:
        raise BadRequest(
            f"the data of {FRAMES} is not {math.prod(shape)} whole numbers from 0 to 255"
        )
    return cast("NDArray[np.uint8]", values.astype(np.uint8).reshape(shape))


def _images(tensor: dict[str, Any], data: memoryview | None, most: int) -> tuple[bytes, ...]:
    shape = _shape(tensor, most)
    if tensor.get("datatype") != "BYTES" or len(shape) != 1:
        got = f"{str(tensor.get('datatype'))[:10]} {list(shape)[:8]}"
        raise BadRequest(f"{IMAGES} is {got}; expected BYTES [n], image files")
    found = _split(bytes(data)) if data is not None else _decoded(tensor.get("data"))
    if len(found) != shape[0]:
        raise BadRequest(f"{IMAGES} holds {len(found)} image files; its shape says {shape[0]}")
    return tuple(found)


def _split(data: bytes) -> list[bytes]:
    """Elements of a BYTES tensor: each behind its length, four bytes, little-endian."""
    found, position = [], 0
    while position < len(data):
        start = position + 4
        length = int.from_bytes(data[position:start], "little")
        position = start + length
        if position > len(data):
            raise BadRequest(f"{IMAGES} is truncated: an element ends behind the request")
        found.append(data[start:position])
    return found


def _decoded(values: Any) -> list[bytes]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BadRequest(f"the data of {IMAGES} is not a list of base64 texts")
    try:
        return [base64.b64decode(value, validate=True) for value in values]
    except (ValueError, binascii.Error) as error:
        raise BadRequest(f"the data of {IMAGES} is not base64: {error}") from error


def _outputs(request: dict[str, Any]) -> tuple[tuple[str, ...], frozenset[str]]:
    asked = request.get("outputs")
    parameters = request.get("parameters")
    everything = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    if asked is None or asked == []:
        return tuple(OUTPUTS), frozenset(OUTPUTS if everything else ())
    if not isinstance(asked, list) or not all(isinstance(output, dict) for output in asked):
        raise BadRequest("outputs is not a list of objects")
    names = tuple(str(output.get("name"))[:40] for output in asked)
    if unknown := [name for name in names if name not in OUTPUTS]:
        raise BadRequest(f"there is no output {unknown[0]!r}; expected {', '.join(OUTPUTS)}")
    binary = frozenset(
        name
        for name, output in zip(names, asked, strict=True)
        if isinstance(wants := output.get("parameters", {}), dict)
        and wants.get("binary_data", everything) is True
    )
    return tuple(dict.fromkeys(names)), binary
