"""Models whose every answer names its version: the probability of `cat` is the version's own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgecat_runtime.model.artifact import seal_onnx
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.golden import golden_frames, golden_rows, preprocess_fingerprint

SIZE = 32
TOLERANCE = 0.004
_HIDDEN = 384
_SPREAD = 1e-4


def model_bytes(probability: float, *, seed: int = 0, broken: bool = False) -> bytes:
    """A sealed network of 0.6 MB that answers every image with almost the same probability.

    Args:
        probability: of `cat`, to within `TOLERANCE`.
        seed: of its weights.
        broken: whether it computes something else than its golden logits say.
    """
    good = _payload(probability, seed)
    card = ModelCard(
        architecture="tiny",
        labels=("cat", "dog"),
        height=SIZE,
        width=SIZE,
        preprocess_golden=preprocess_fingerprint(SIZE, SIZE, "crop"),
    )
    card = replace(card, golden=golden_rows(_answers(good)))
    return seal_onnx(_payload(1 - probability, seed) if broken else good, card)


def _payload(probability: float, seed: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    constants = {
        "scale": np.float32(1 / 255),
        "kernel": rng.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32),
        "widen": rng.normal(0, 0.3, (_HIDDEN, 8)).astype(np.float32),
        "dense": rng.normal(0, 0.05, (_HIDDEN, _HIDDEN)).astype(np.float32),
        "last": rng.normal(0, _SPREAD, (2, _HIDDEN)).astype(np.float32),
        "bias": np.array([math.log(probability / (1 - probability)), 0], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["frames"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "kernel"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "widen"], ["wide"], transB=1),
        helper.make_node("Gemm", ["wide", "dense"], ["mixed"], transB=1),
        helper.make_node("Gemm", ["mixed", "last", "bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _answers(payload: bytes) -> np.ndarray:
    from edgecat_runtime.system.telemetry import import_onnxruntime

    session = import_onnxruntime().InferenceSession(payload, providers=["CPUExecutionProvider"])
    answers: np.ndarray = session.run(None, {"frames": golden_frames(SIZE, SIZE)})[0]
    return answers
