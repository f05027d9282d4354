"""From a PyTorch module and its card to a deployed ONNX graph, with a parity gate."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgecat_export.graph.foreign import normalised
from edgecat_export.graph.given import check_logits, check_module, check_normalisation
from edgecat_export.parity.comparison import Pair
from edgecat_export.publish import save_onnx
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.golden import golden_frames, golden_rows, preprocess_fingerprint
from edgecat_runtime.system.foreign_text import one_line

OPSET = 20
IR_VERSION = 10


class DeployedModel(nn.Module):
    """A classifier with the deployed interface: uint8 frames in, logits out.

    Args:
        model: takes float32 (n, 3, h, w), normalised; its first convolution's input channels are
                already in BGR order.
            card: provides the mean and standard deviation (RGB, of values in 0..1).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, model: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.model = model
        mean = torch.tensor(card.mean[::-1]).view(1, 3, 1, 1) * 255
        scale = 1 / (torch.tensor(card.std[::-1]).view(1, 3, 1, 1) * 255)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, frames: Tensor) -> Tensor:
        """Compute float32 logits (n, classes) from uint8 (n, h, w, 3) BGR.

        The cast comes before the transpose: TensorRT does not support uint8 in a shuffle.
        """
        pixels = frames.float().permute(0, 3, 1, 2)
        logits: Tensor = self.model((pixels - self.mean) * self.scale)
        return logits


def onnx_from_model(model: nn.Module, card: ModelCard) -> bytes:
    """Export a module to a deployed graph.

    Input `frames`: uint8 (batch, height, width, 3), BGR. Output `logits`: float32 (batch, classes).
    The batch is dynamic, normalisation and colour order are included, batch norm is folded.

    Args:
        model: takes float32 (n, 3, height, width), normalised RGB, and returns logits. Its state is
            restored afterwards.
        card: provides the input size, mean and standard deviation.

    Returns:
        A serialised ONNX model (opset 20, IR 10), not yet sealed with its card.

    Raises:
        onnx.checker.ValidationError: the graph is not valid ONNX.
    """
    import onnx

    training = model.training
    deployed = DeployedModel(model, card).eval()
    frames = torch.zeros(2, card.height, card.width, 3, dtype=torch.uint8)  # 1 would specialise
    try:
        with _interrupted_afterwards(), _bgr(model), _quiet():
            program = torch.onnx.export(
                deployed,
                (frames,),
                dynamo=True,
                input_names=["frames"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=OPSET,
                verbose=False,
            )
            assert program is not None
            proto = program.model_proto  # reads the weights lazily
    finally:
        model.train(training)
    _clean(proto, card)
    payload: bytes = proto.SerializeToString()
    del program, proto
    onnx.checker.check_model(payload)
    return payload


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Defer Ctrl-C to the end: torch's exporter swallows it or reports it as its own error.

    A second Ctrl-C is raised at once.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came.is_set():
        raise KeyboardInterrupt


def export_onnx(model: nn.Module, card: ModelCard, path: str | Path) -> list[Pair]:
    """Export, seal and verify an ONNX file, and only then rename it.

    Args:
        model: as for `onnx_from_model`: any module, edgecat's or your own.
        card: its labels, input size, mean and standard deviation. Golden logits that it lacks are
            those that the module computes here.
        path: the `.onnx` file to write.

    Returns:
        Each installed backend's result on the golden frames.

    Raises:
        GateError: a backend returns different logits; nothing is written.
        BackendMissing: no backend is installed to verify the file with.
        UserError: the file cannot be written, it is not a module, the card's mean or standard
            deviation are not those of values in 0..1, or the module does not return a logit for
            each label.
    """
    check_module(model)
    check_normalisation(card.mean, card.std)
    card = _with_golden(model, card)
    return save_onnx(onnx_from_model(model, card), card_for_onnx(card), path)


def _with_golden(model: nn.Module, card: ModelCard) -> ModelCard:
    """Fill in the golden logits, and the preprocessed golden scene, that a card lacks."""
    size = (card.height, card.width)
    scene = card.preprocess_golden or preprocess_fingerprint(*size, card.fit)
    golden = card.golden or golden_rows(_logits(model, card))
    return replace(card, golden=golden, preprocess_golden=scene)


def _logits(model: nn.Module, card: ModelCard) -> NDArray[np.float32]:
    """A module's float32 logits (4, classes) for the golden frames, in evaluation mode."""
    weights = next(model.parameters(), None)
    frames = torch.from_numpy(normalised(golden_frames(card.height, card.width), card))
    training = model.training
    try:
        with torch.inference_mode():
            logits = model.eval()(frames if weights is None else frames.to(weights.device))
    except RuntimeError as error:  # of torch: shapes that do not fit
        raise UserError(
            f"the module fails on images of the card's size, {card.height}x{card.width}: "
            f"{one_line(str(error))}. Give the card the size that the module was made for"
        ) from error
    finally:
        model.train(training)
    shape = tuple(getattr(logits, "shape", ()))
    if shape != (len(frames), card.classes):
        raise UserError(
            f"the module returns {shape or type(logits).__name__} for {len(frames)} images; "
            f"expected ({len(frames)}, {card.classes}): one logit for each of the labels "
            f"{', '.join(card.labels[:5])}"
        )
    values: NDArray[np.float32] = logits.float().cpu().numpy()
    check_logits(values)
    return values


def card_for_onnx(card: ModelCard) -> ModelCard:
    """The ONNX file's card: the checkpoint's, with torch's version and the checkpoint's hash."""
    return replace(
        card,
        tools={**card.tools, "torch": torch.__version__},
        checkpoint_sha256=card.checkpoint_sha256 or card.payload_sha256,
    )


@contextmanager
def _bgr(model: nn.Module) -> Iterator[None]:
    """Make the first convolution accept BGR: permuting its weights costs nothing at run time."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.in_channels != 3:
        raise UserError("the model has no first convolution over three colour channels")
    original = first.weight.data
    first.weight.data = original[:, [2, 1, 0]].contiguous()
    try:
        yield
    finally:
        first.weight.data = original


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's messages about packages that edgecat does not use."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _clean(proto: Any, card: ModelCard) -> None:
    """Remove the exporter's notes about the machine it ran on, and pin the versions."""
    graph = proto.graph
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, graph, proto):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")

    proto.ir_version = IR_VERSION
    proto.producer_name = "edgecat"
    proto.producer_version = ""
    graph.name = card.architecture
