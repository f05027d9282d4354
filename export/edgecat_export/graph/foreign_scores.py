"""What a foreign classifier returns: logits, probabilities or one sigmoid, judged by its values.

A softmax may be the last node, hidden behind a Cast or a Reshape, or written out as Exp and Div; a
second softmax over its result would still look plausible. So the values decide, and the graph only
says where a softmax or sigmoid can be left out instead of undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgecat_export.graph.foreign_graph import keep_output
from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.model.card import CardError
from edgecat_runtime.types import Logits

Kind = Literal["logits", "probabilities", "sigmoids", "one logit", "one probability"]

# What only moves or retypes values, and what a linear layer may still be followed by.
_MOVES = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout")
_LINEAR = ("Gemm", "MatMul", "Conv")
_UNBOUNDED = ("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Softplus", "Sum")
_AFTER_LINEAR = (
    *_MOVES,
    *("Add", "GlobalAveragePool", "AveragePool", "ReduceMean", "BatchNormalization", "Transpose"),
    *("QuantizeLinear", "DequantizeLinear"),
)
_ROUNDED = ("QuantizeLinear", "DequantizeLinear")
_SQUASHED = "the model ends in {}: its values in -1..1 are neither logits nor probabilities. "
_REFUSED = {
    kind: _SQUASHED.format(kind) + "Export it without its last activation, or with a sigmoid"
    for kind in ("Tanh", "Softsign")
} | {
    "TopK": "the model returns only its best scores, sorted, not one score per class. "
    "Export it without its TopK"
}
_SUMS = ((1.0, 0.01), (100.0, 1.0), (255.0, 4.0))
"""Sums of a row of probabilities, as fractions, per cent or bytes, and how far rounding goes."""

_LEAST = 1e-7
"""A probability below counts as this: the logarithm stays finite, also in half precision."""


@dataclass(frozen=True)
class Scores:
    """What a model's output means.

    Attributes:
        kind: of the values.
        coarse: whether they are rounded to integers.
        bypassed: the softmax or sigmoid that can be left out; None: undo it by a logarithm.
        note: for people; empty if the values are logits.
    """

    kind: Kind
    coarse: bool = False
    bypassed: Any = None
    note: str = ""


def judged(graph: Any, values: Logits, classes: int, *, coarse: bool) -> Scores:
    """Find out what a model's values are.

    Args:
        graph: with one output.
        values: (n, classes) or (n, 1), its output for several different frames.
        classes: number of labels.
        coarse: whether the values are integers.

    Raises:
        GateError: they contain NaN or infinity.
        CardError: another number of values than labels.
        UserError: values that are neither logits nor probabilities.
    """
    if not np.isfinite(values).all():
        what = "NaN" if np.isnan(values).any() else "infinity"
        raise GateError(
            f"the model returns {what} for ordinary frames: its weights are damaged or overflow. "
            "Train or export it again"
        )
    if values.shape[1] == 1 and classes == 2:
        return _one(graph, values, coarse)
    if values.shape[1] != classes:
        raise wrong_count(values.shape[1], classes)
    last = _behind(graph, graph.output[0].name, (*_MOVES, *_ROUNDED))
    kind = last.op_type if last is not None else ""
    if kind in _REFUSED:
        raise UserError(_REFUSED[kind])
    coarse = coarse or _is_rounded(graph)
    if _are_probabilities(values):
        bypassed = last if kind == "Softmax" else None
        how = "its softmax is left out" if bypassed else "their logarithm is taken"
        note = f"the model returns probabilities: {how}, as edgecat computes the softmax itself"
        return Scores("probabilities", coarse, bypassed, note)
    inside = values.min() >= 0 and values.max() <= 1
    if kind == "Sigmoid" or (inside and not _is_linear(graph)):
        note = (
            "the model scores each class independently, with a sigmoid: its probabilities are "
            "served unchanged and do not sum to 1"
        )
        return Scores("sigmoids", coarse, last if kind == "Sigmoid" else None, note)
    if coarse and not _is_rounded(graph):
        raise UserError(
            "the model returns integers, and their scale is not in its graph. Export it with float "
            "outputs"
        )
    return Scores("logits", coarse)


def wrong_count(found: int, classes: int) -> CardError:
    """The error for another number of classes than labels."""
    if classes == 1:
        return CardError(
            "one label was given; with one class, every prediction is the same. Give two labels: "
            "what the model's 0 means, then what its 1 means"
        )
    return CardError(
        f"the model has {found} classes and {classes} labels were given. "
        "Give one label per line, in the order of its output"
    )


def bypass(graph: Any, node: Any) -> None:
    """Take a softmax or sigmoid out of the way to the graph's only output.

    A rounding behind it goes too: its steps were those of probabilities.
    """
    path, name = [], graph.output[0].name
    while name not in node.output:
        path.append(_producer(graph, name))
        name = path[-1].input[0]
    name = node.input[0]
    for step in reversed(path):
        if step.op_type not in _ROUNDED:
            step.input[0], name = name, step.output[0]
    graph.output[0].name = name
    keep_output(graph, name)


def head(scores: Scores, total: float) -> tuple[list[Any], dict[str, NDArray[Any]]]:
    """Nodes from the output, (n, classes) or (n, 1) and float32, to logits; and their constants.

    Args:
        scores: what the output means.
        total: of a row of probabilities.
    """
    from onnx import helper

    least = total * (1 / 512 if scores.coarse else _LEAST)
    constants: dict[str, NDArray[Any]] = {"edgecat_least": np.array(least, np.float32)}
    steps: list[tuple[str, list[str], str]] = []
    source = "foreign_output"
    if scores.kind == "probabilities" and scores.bypassed is None:
        steps = [
            ("Max", [source, "edgecat_least"], "edgecat_likely"),
            ("Log", ["edgecat_likely"], "logits"),
        ]
    elif scores.kind in ("one probability", "one logit", "sigmoids"):
        several = scores.kind == "sigmoids"
        logit = source
        if scores.kind != "one logit" and scores.bypassed is None:
            constants["edgecat_one"] = np.array(total, np.float32)
            steps = [
                ("Max", [source, "edgecat_least"], "edgecat_likely"),
                ("Log", ["edgecat_likely"], "edgecat_log"),
                ("Sub", ["edgecat_one", source], "edgecat_rest"),
                ("Max", ["edgecat_rest", "edgecat_least"], "edgecat_unlikely"),
                ("Log", ["edgecat_unlikely"], "edgecat_log_rest"),
            ]
            logit = "logits" if several else "edgecat_logit"
            steps.append(("Sub", ["edgecat_log", "edgecat_log_rest"], logit))
        if not several:
            constants["edgecat_pad"] = np.array([0, 1, 0, 0], np.int64)
            steps.append(("Pad", [logit, "edgecat_pad"], "logits"))
    nodes = [
        helper.make_node(kind, inputs, [output], name=f"edgecat_head_{index}")
        for index, (kind, inputs, output) in enumerate(steps)
    ]
    used = {name for node in nodes for name in node.input}
    return nodes, {name: value for name, value in constants.items() if name in used}


def as_answered(logits: Logits, values: Logits, scores: Scores) -> Logits:
    """Logits turned back into what the foreign model returns."""
    if scores.kind == "logits":
        return logits
    if scores.kind == "one logit":
        return logits[:, 1:]
    if scores.kind == "sigmoids":
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
    shares = _softmax(logits) * total_of(values)
    return shares if scores.kind == "probabilities" else shares[:, 1:]


def _one(graph: Any, values: Logits, coarse: bool) -> Scores:
    """One value for two classes: a sigmoid's probability of the second, or its logit."""
    last = _behind(graph, graph.output[0].name, (*_MOVES, *_ROUNDED))
    kind = last.op_type if last is not None else ""
    coarse = coarse or _is_rounded(graph)
    second = "the model returns one value: the {} of the second label"
    if kind == "Sigmoid":
        return Scores("one probability", coarse, last, second.format("probability"))
    if kind in _REFUSED:
        raise UserError(_REFUSED[kind])
    if kind == "Softmax" or (np.ptp(values) == 0 and values.flat[0] == 1):
        raise UserError(
            "the model's softmax is over a single value, which is 1 for every image. Export it "
            "without the softmax"
        )
    inside = values.min() >= 0 and values.max() <= 1
    if inside and not _is_linear(graph):
        return Scores("one probability", coarse, None, second.format("probability"))
    return Scores("one logit", coarse, None, second.format("logit"))


def total_of(values: Logits) -> float:
    """What a row of probabilities sums to: 1, 100 or 255."""
    mean = float(values.sum(1).mean())
    return next((total for total, away in _SUMS if abs(mean - total) <= away), 1.0)


def _are_probabilities(values: Logits) -> bool:
    """Whether every row is at least 0 and sums to the same: 1, 100 (per cent) or 255 (bytes)."""
    if values.shape[1] < 2 or values.min() < 0:
        return False
    sums = values.sum(1)
    return any(bool((np.abs(sums - total) <= away).all()) for total, away in _SUMS)


def _is_rounded(graph: Any) -> bool:
    """Whether the output was rounded to integers and made float again."""
    last = _behind(graph, graph.output[0].name, _MOVES)
    return last is not None and last.op_type in _ROUNDED


def _is_linear(graph: Any) -> bool:
    """Whether the output comes from a layer of weights, so that values above 1 can occur."""
    last = _behind(graph, graph.output[0].name, _AFTER_LINEAR)
    return last is not None and last.op_type in (*_LINEAR, *_UNBOUNDED)


def _behind(graph: Any, name: str, passed: tuple[str, ...]) -> Any:
    """The node that computes a tensor, behind those of the given types; None if there is none."""
    node = _producer(graph, name)
    while node is not None and node.op_type in passed:
        node = _producer(graph, node.input[0])
    return node


def _producer(graph: Any, name: str) -> Any:
    return next((node for node in graph.node if name in node.output), None)


def _softmax(logits: Logits) -> Logits:
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: Logits = exponents / exponents.sum(1, keepdims=True)
    return probabilities
