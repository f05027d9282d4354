"""Hostile ONNX files, all self-consistent and sealed again: refused before a native parser."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecat_runtime import Classifier
from edgecat_runtime.backends.self_test import check_answers
from edgecat_runtime.errors import GateError, InvalidModel
from edgecat_runtime.model.artifact import KEY, read_card, seal_onnx
from edgecat_runtime.model.card import CardError, ModelCard
from edgecat_runtime.model.golden import golden_frames, golden_rows
from edgecat_runtime.model.inflation import check_sizes
from edgecat_runtime.model.protobuf import delimited
from edgecat_runtime.model.structure import check_structure

Spoil = Callable[[onnx.ModelProto], None]


def _sealed(model: onnx.ModelProto, card: ModelCard) -> bytes:
    """Seal without the checks of `seal_onnx`, as whoever means harm would."""
    del model.metadata_props[:]
    return _sealed_bytes(model.SerializeToString(), card)


def _sealed_bytes(data: bytes, card: ModelCard) -> bytes:
    card = replace(card, payload_bytes=len(data), payload_sha256=hashlib.sha256(data).hexdigest())
    entry = delimited(1, KEY.encode()) + delimited(2, card.to_json().encode())
    return data + delimited(14, entry)


def _dims(factor: int) -> Spoil:
    def spoil(model: onnx.ModelProto) -> None:
        model.graph.initializer[1].dims[0] *= factor

    return spoil


def _negative(model: onnx.ModelProto) -> None:
    model.graph.initializer[1].dims[0] = -8


def _short(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[1]
    tensor.raw_data = tensor.raw_data[:-4]


def _typed(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[1]
    values = numpy_helper.to_array(tensor).ravel()[:-1]
    tensor.ClearField("raw_data")
    tensor.float_data.extend(values.tolist())


def _other_type(model: onnx.ModelProto) -> None:
    model.graph.initializer[1].data_type = TensorProto.DOUBLE


def _attribute(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "c")
    tensor.dims[0] = 1 << 20
    model.graph.node.append(helper.make_node("Constant", [], ["spare"], value=tensor))


def _branch(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "c")
    tensor.dims[0] = 1 << 20
    branch = helper.make_graph([], "b", [], [], [tensor])
    model.graph.node.append(helper.make_node("If", ["no"], ["spare"], then_branch=branch))


def _sparse(model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(3, np.float32), "s")
    values.dims[0] = 1 << 30
    indices = numpy_helper.from_array(np.arange(3), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [9]))


def _external(location: str) -> Spoil:
    def spoil(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[1]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return spoil


def _opset(version: int) -> Spoil:
    def spoil(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = version

    return spoil


def _size(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4096


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_dims(2), r"tensor of 16x3x3x3 \(1728 bytes\) with 864 bytes"),
        (_dims(1 << 40), "bytes"),
        (_negative, "negative size"),
        (_short, "with 860 bytes"),
        (_typed, "with 215 values"),
        (_other_type, r"\(1728 bytes\) with 864"),
        (_attribute, "1048576"),
        (_branch, "1048576"),
        (_sparse, "1073741824"),
        (_external("../secret"), "keeps weights in another file"),
        (_external("/etc/passwd"), "keeps weights in another file"),
        (_external("fifo"), "keeps weights in another file"),
        (_opset(1 << 31), r"operator set outside 1\.\.100"),
        (_opset(0), r"operator set outside 1\.\.100"),
        (_opset(-1), r"operator set outside 1\.\.100"),
        (_size, "its card says"),
    ],
)
def test_a_sealed_file_that_lies_is_refused_before_any_backend(
    tmp_path: Path, make_tiny: Callable[..., bytes], spoil: Spoil, sentence: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(make_tiny())
    os.mkfifo(tmp_path / "fifo")
    card, model = read_card(path), onnx.load(path)
    path.write_bytes(_sealed(model, card))
    assert read_card(path).labels == card.labels  # the sealing itself is right
    spoil(model)
    path.write_bytes(_sealed(model, card))
    for attempt in (read_card, Classifier.open):
        with pytest.raises(CardError, match=sentence):
            attempt(path)
    if spoil is not _size:
        with pytest.raises(CardError, match=sentence):
            seal_onnx(model.SerializeToString(), card)


def _constant(model: onnx.ModelProto, name: str, values: list[int] | list[float]) -> None:
    kind = np.int64 if all(isinstance(value, int) for value in values) else np.float32
    model.graph.initializer.append(numpy_helper.from_array(np.array(values, kind), name))


def _inflating(operator: str, operands: list[str], values: list[Any], **attributes: Any) -> Spoil:
    """Add a node whose size is in a constant `k`, or in an attribute."""

    def spoil(model: onnx.ModelProto) -> None:
        if values:
            _constant(model, "k", values)
        model.graph.node.append(helper.make_node(operator, operands, ["spare"], **attributes))

    return spoil


def _constant_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["k"], value_ints=[1 << 20, 1 << 20]))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["k"], ["spare"]))


def _in_a_branch(model: onnx.ModelProto) -> None:
    node = helper.make_node("ConstantOfShape", ["k"], ["spare"])
    _constant(model, "k", [1 << 40])
    branch = helper.make_graph([node], "b", [], [])
    model.graph.node.append(helper.make_node("If", ["no"], ["other"], then_branch=branch))


def _again_and_again(model: onnx.ModelProto) -> None:
    _constant(model, "k", [1, 16, 16, 1])
    for step in range(5):
        names = [f"t{step}", "k"] if step else [model.graph.input[0].name, "k"]
        model.graph.node.append(helper.make_node("Tile", names, [f"t{step + 1}"]))


def _many(model: onnx.ModelProto) -> None:
    _constant(model, "k", [333_000])
    for step in range(1000):
        model.graph.node.append(helper.make_node("ConstantOfShape", ["k"], [f"spare{step}"]))


def _functions(depth: int) -> Spoil:
    """Functions that call the next one twice, or one that calls itself."""

    def spoil(model: onnx.ModelProto) -> None:
        opsets = [*model.opset_import, helper.make_opsetid("pkg", 1)]
        for step in range(depth or 1):
            follower = f"f{step + 1}" if depth else "f0"
            body = [
                helper.make_node(follower, ["a"], ["m"], domain="pkg"),
                helper.make_node(follower, ["m"], ["b"], domain="pkg"),
            ]
            if step and step == depth - 1:
                body = [helper.make_node("Relu", ["a"], ["b"])]
            model.functions.append(
                helper.make_function("pkg", f"f{step}", ["a"], ["b"], body, opsets)
            )
        model.graph.node.append(helper.make_node("f0", ["x"], ["spare"], domain="pkg"))

    return spoil


def _range(model: onnx.ModelProto) -> None:
    for name, value in {"from": 0, "to": 1 << 40, "step": 1}.items():
        _constant(model, name, [value])
    model.graph.node.append(helper.make_node("Range", ["from", "to", "step"], ["spare"]))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_inflating("ConstantOfShape", ["k"], [1 << 20, 1 << 20]), "asks for 1.1e.12 values"),
        (_constant_node, "asks for 1.1e.12 values in one ConstantOfShape"),
        (_in_a_branch, "asks for 1.1e.12 values in one ConstantOfShape"),
        (_inflating("Expand", ["x", "k"], [1 << 30]), "values in one Expand"),
        (_inflating("Tile", ["x", "k"], [1, 1 << 20, 1, 1]), "enlarges its image 1.05e.06 times"),
        (_inflating("Tile", ["k", "k"], [1 << 30]), "values in one Tile"),
        (_inflating("Resize", ["x", "", "k"], [1.0, 1.0, 1e4, 1e4]), "enlarges .* in Resize"),
        (_inflating("Resize", ["x", "", "", "k"], [1, 3, 1 << 20, 1 << 20]), "in one Resize"),
        (_inflating("Upsample", ["x"], [], scales=[1.0, 1.0, 1e5, 1.0]), "enlarges .* in Upsample"),
        (_inflating("Pad", ["x", "k"], [0, 0, 1 << 20, 0, 0, 0, 0, 1 << 20]), "values in one Pad"),
        (_inflating("MaxPool", ["x"], [], pads=[1 << 20] * 4), "values in one MaxPool"),
        (_inflating("ConvTranspose", ["x", "w"], [], strides=[99, 99]), "enlarges .* 9.8e.03"),
        (_inflating("RandomNormal", [], [], shape=[1 << 30]), "values in one RandomNormal"),
        (_range, "asks for 1.1e.12 values in one Range"),
        (_inflating("Loop", ["k", ""], [1 << 62]), "repeats a loop 4.61e.18 times"),
        (_again_and_again, "enlarges its image 6.55e.04 times"),
        (_many, "asks for 2.69e.08 values; expected at most 268435456"),
        (_functions(40), "has 5.5e.11 nodes with its functions expanded"),
        (_functions(0), "functions that call themselves"),
        (_functions(3000), "or one another too deeply"),
    ],
)
def test_a_size_that_no_memory_holds_is_refused_before_any_backend(
    tmp_path: Path, make_tiny: Callable[..., bytes], spoil: Spoil, sentence: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(make_tiny())
    card, model = read_card(path), onnx.load(path)
    spoil(model)
    path.write_bytes(_sealed(model, card))
    for attempt in (read_card, Classifier.open):
        with pytest.raises(CardError, match=sentence):
            attempt(path)
    with pytest.raises(CardError, match=sentence):
        seal_onnx(model.SerializeToString(), card)


def test_ordinary_sizes_are_not_refused() -> None:
    """A network that goes down and up again as often as it likes, and a table that is tiled."""
    nodes, name = [], "x"
    for step in range(40):
        nodes.append(helper.make_node("Conv", [name, "w"], [f"c{step}"], strides=[8, 8]))
        nodes.append(helper.make_node("Resize", [f"c{step}", "", "up"], [f"r{step}"]))
        name = f"r{step}"
    nodes.append(helper.make_node("Tile", ["table", "many"], ["t"]))
    constants = [
        numpy_helper.from_array(np.array([1, 1, 8, 8], np.float32), "up"),
        numpy_helper.from_array(np.array([5000, 2], np.int64), "many"),
        numpy_helper.from_array(np.zeros((1, 100), np.float32), "table"),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [], [], constants))
    check_sizes(model.SerializeToString(), "model")


def test_a_message_that_a_parser_would_merge_is_refused(make_tiny: Callable[..., bytes]) -> None:
    graph = onnx.load_from_string(make_tiny()).graph.SerializeToString()
    check_structure(delimited(7, graph), "model")
    with pytest.raises(CardError, match="second graph"):
        check_structure(delimited(7, graph) + delimited(7, graph), "model")


def test_every_type_of_tensor_is_measured_right() -> None:
    for kind in range(1, 25):
        if kind == TensorProto.STRING:
            tensor = helper.make_tensor("t", kind, [3], ["a", "b", "c"])
        else:
            tensor = helper.make_tensor("t", kind, [3], [1, 0, 1])
        model = helper.make_model(helper.make_graph([], "g", [], [], [tensor]))
        check_structure(model.SerializeToString(), str(kind))
        tensor.dims[0] = 9
        model = helper.make_model(helper.make_graph([], "g", [], [], [tensor]))
        with pytest.raises(CardError):
            check_structure(model.SerializeToString(), str(kind))


def test_the_self_test_runs_one_frame_alone_and_predicts(tiny_card: ModelCard) -> None:
    logits = np.arange(8, dtype=np.float32).reshape(4, 2) ** 2
    card = replace(tiny_card, golden=golden_rows(logits))
    check = {"name": "m", "backend": "b", "device": "cpu"}
    check_answers(lambda frames: logits[: len(frames)], card, **check)
    with pytest.raises(CardError, match=r"shape \(4, 2\).*\(1, 2\) was expected"):
        check_answers(lambda frames: logits, card, **check)
    with pytest.raises(GateError, match="differ by"):
        check_answers(lambda frames: logits[-len(frames) :], card, **check)
    assert golden_frames(8, 8).shape[0] == len(logits)


def test_bytes_changed_anywhere_and_sealed_again_are_a_sentence(
    tmp_path: Path, make_tiny: Callable[..., bytes]
) -> None:
    """What remains is for the backends: here no parser but this one has seen the file."""
    path, rng = tmp_path / "model.onnx", random.Random(0)
    path.write_bytes(make_tiny())
    card = read_card(path)
    payload = path.read_bytes()[: card.payload_bytes]
    refused = 0
    for position in rng.sample(range(len(payload)), 400):
        data = bytearray(payload)
        data[position] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        path.write_bytes(_sealed_bytes(bytes(data), card))
        try:
            read_card(path)
        except CardError:
            refused += 1
    assert refused > 20


def test_what_onnx_runtime_calls_invalid_no_other_parser_sees(
    tmp_path: Path, make_tiny: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgecat_runtime.backends import opencv, openvino

    path = tmp_path / "model.onnx"
    path.write_bytes(make_tiny())
    card, model = read_card(path), onnx.load(path)
    model.graph.node[3].input[1] = "nowhere"
    path.write_bytes(_sealed(model, card))
    seen: list[str] = []
    for kind in (opencv.OpenCVBackend, openvino.OpenVINOBackend):
        monkeypatch.setattr(kind, "__init__", lambda self, path, **_: seen.append(self.name))
    with pytest.raises(InvalidModel, match="nowhere"):
        Classifier.open(path)
    assert seen == []
