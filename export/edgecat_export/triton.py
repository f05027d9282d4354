"""A model repository for NVIDIA's Triton Inference Server.

    REPOSITORY/
      vgg16/
        config.pbtxt      tensors, dynamic batching, instances, the card
        labels.txt
        1/model.onnx      or model.plan, an engine

The deployed graph takes uint8 frames and returns logits, so the server needs no other code. Clients
fit frames as `edgecat_runtime.model.preprocess` does; softmax(logits / temperature) and the labels
are in the card, which is a parameter of the configuration.

Sources: https://github.com/triton-inference-server/server/blob/main/docs/user_guide, files
model_repository.md and model_configuration.md; for ONNX on OpenVINO,
https://github.com/triton-inference-server/openvino_backend.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system.atomic import atomic_folder

Platform = Literal["onnxruntime", "openvino", "tensorrt"]
PLATFORMS: tuple[Platform, ...] = ("onnxruntime", "openvino", "tensorrt")
CONFIG, LABELS = "config.pbtxt", "labels.txt"

_FILES = {"onnxruntime": "model.onnx", "openvino": "model.onnx", "tensorrt": "model.plan"}
_SUFFIXES = {"onnxruntime": ".onnx", "openvino": ".onnx", "tensorrt": ".trt"}


@dataclass(frozen=True)
class TritonOptions:
    """How Triton serves a model.

    Attributes:
        platform: Triton's backend: `onnxruntime`, `openvino`, or `tensorrt` for an engine.
        max_batch: maximum frames per batch; of an engine, at most what it was built for.
        delay: longest time for which requests wait for one another, in seconds.
        instances: number of copies of the model that run at the same time.

    Raises:
        UserError: one of them is out of range.
    """

    platform: Platform = "onnxruntime"
    max_batch: int = 8
    delay: float = 0.002
    instances: int = 1

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            raise UserError(
                f"the platform is {self.platform!r}; expected one of {', '.join(PLATFORMS)}"
            )
        if not 1 <= self.max_batch <= 4096:
            raise UserError(f"the maximum batch is {self.max_batch}; expected 1 to 4096")
        if not 0 <= self.delay <= 10:
            raise UserError(f"the delay is {self.delay} s; expected 0 to 10")
        if not 1 <= self.instances <= 64:
            raise UserError(f"got {self.instances} instances; expected 1 to 64")


def write_repository(
    model: str | Path, output: str | Path, *, name: str = "", options: TritonOptions | None = None
) -> Path:
    """Write a model repository with one model, complete or not at all.

    Args:
        model: a deployed `.onnx` file, or an engine (`.trt`) built on the GPU that serves it.
        output: the repository; a folder in it that has the model's name is not replaced.
        name: of the model; empty: the file's name up to its first dot.
        options: platform, batches, instances.

    Returns:
        The model's folder.

    Raises:
        CardError: the file has no card.
        CardDamaged: it was modified after it was written.
        UserError: the file does not suit the platform, or the folder exists or cannot be written.
    """
    path, options = Path(model), options or TritonOptions()
    if path.suffix != _SUFFIXES[options.platform]:
        raise UserError(
            f"{path} cannot be served by Triton's {options.platform}; expected a "
            f"{_SUFFIXES[options.platform]} file. Choose another --platform, or export it first"
        )
    card = read_card(path)
    folder = Path(output) / (name or path.name.partition(".")[0])
    if folder.exists():
        raise UserError(f"{folder} exists. Choose another --output or delete it")
    with atomic_folder(folder) as temporary:
        (temporary / "1").mkdir()
        shutil.copyfile(path, temporary / "1" / _FILES[options.platform])
        (temporary / LABELS).write_text("\n".join(card.labels) + "\n", encoding="utf-8")
        text = triton_config(folder.name, card, options)
        (temporary / CONFIG).write_text(text, encoding="utf-8")
    return folder


def triton_config(name: str, card: ModelCard, options: TritonOptions) -> str:
    """The text of `config.pbtxt`.

    Args:
        name: of the model.
        card: of the model.
        options: platform, batches, instances.
    """
    card_text = card.to_json(labels=card.fits)
    microseconds = round(options.delay * 1e6)
    return f"""\
name: {_quoted(name)}
backend: {_quoted(options.platform)}
default_model_filename: {_quoted(_FILES[options.platform])}
max_batch_size: {options.max_batch}
input [
  {{ name: "frames" data_type: TYPE_UINT8 dims: [ {card.height}, {card.width}, 3 ] }}
]
output [
  {{ name: "logits" data_type: TYPE_FP32 dims: [ {card.classes} ] label_filename: "{LABELS}" }}
]
dynamic_batching {{ max_queue_delay_microseconds: {microseconds} }}
instance_group [ {{ count: {options.instances} kind: KIND_AUTO }} ]
parameters {{ key: "edgecat_card" value: {{ string_value: {_quoted(card_text)} }} }}
"""


def _quoted(text: str) -> str:
    """A string of protobuf's text format, which escapes as C does, in UTF-8."""
    return json.dumps(text, ensure_ascii=False)
