"""Foreign models of every kind seen in the field, drawn here: served with their own answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from edgecat_export.graph.foreign import Wrapped, card_for_foreign, onnx_from_foreign
from edgecat_export.graph.foreign_file import class_names, names_in_text, read_foreign
from edgecat_export.publish import save_onnx
from edgecat_runtime import Classifier, GateError, UserError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import CardError

HALVES = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
Node = onnx.NodeProto


def node(kind: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> Node:
    return helper.make_node(kind, [*inputs], [*(outputs or ("y",))], **attributes)


def net(
    *last: Node,
    shape: Sequence[str | int] = ("n", 3, 32, 32),
    classes: int = 3,
    opset: int = 17,
    kind: int = T.FLOAT,
    z: str = "z",
    first: Sequence[Node] = (),
    outputs: Sequence[tuple[str, int]] = (("y", T.FLOAT),),
    constants: dict[str, Any] | None = None,
    imports: Sequence[Any] = (),
) -> onnx.ModelProto:
    """A small classifier: `z` are its logits, `f` its features, `last` what comes behind."""
    rng = np.random.default_rng(1)
    channels = 1 if 1 in (shape[1], shape[3]) else 3
    values = {
        "w0": rng.normal(size=(8, channels, 3, 3)).astype(np.float32),
        "b0": rng.normal(size=8).astype(np.float32),
        "w1": rng.normal(size=(8, classes)).astype(np.float32),
        "b1": rng.normal(size=classes).astype(np.float32),
        **(constants or {}),
    }
    nodes = [
        *first,
        node("Conv", ["i" if first else "x", "w0", "b0"], "c", strides=[2, 2]),
        node("Relu", ["c"], "r"),
        node("GlobalAveragePool", ["r"], "p"),
        node("Flatten", ["p"], "f"),
        node("Gemm", ["f", "w1", "b1"], z),
        *(last or (node("Identity", [z]),)),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(name, of, None) for name, of in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), *imports], ir_version=8
    )


SHARED = (
    node("ReduceMax", ["z"], "m", axes=[1]),
    node("Mul", ["m", "k"], "u"),
    node("Softmax", ["u"], axis=1),
)


def times(factor: str) -> onnx.ModelProto:
    """A classifier whose logits are multiplied by a number."""
    return net(node("Mul", ["z", "factor"]), constants={"factor": np.float32(factor)})


def wrapped(model: onnx.ModelProto, labels: Sequence[str] = "abc", **options: Any) -> Wrapped:
    """Wrap as `edgecat export` does, at 32 x 32."""
    colour = options.pop("colour", None)
    options = {"size": (32, 32), **HALVES, **options}
    data = model.SerializeToString()
    card = card_for_foreign(data, name="net", labels=tuple(labels), **options)
    return onnx_from_foreign(data, card, colour=colour)


FRAME = np.random.default_rng(5).integers(0, 256, (32, 32, 3), np.uint8)


def own(model: onnx.ModelProto, image: np.ndarray | None = None) -> np.ndarray:
    """The model's own first output for FRAME, or for the image as it takes it."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for axis, dim in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
        if not dim.dim_param and dim.dim_value <= 0:
            dim.dim_param = f"d{axis}"
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    if image is None:
        image = ((FRAME[..., ::-1] / 255 - 0.5) / 0.5).astype(np.float32).transpose(2, 0, 1)
    return np.asarray(session.run(None, {"x": image[None]})[0], np.float64).reshape(-1)


def served(found: Wrapped, folder: Path) -> np.ndarray:
    """What the wrapped model answers to FRAME, once saved and opened from elsewhere."""
    path = folder / "served.onnx"
    pairs = save_onnx(found.payload, found.card, path)
    assert "onnxruntime" in [pair.backend for pair in pairs]
    with Classifier.open(path, backend="onnxruntime") as classifier:
        assert read_card(path).golden
        return np.array([*classifier.classify(FRAME).probabilities.values()])


def soft(values: np.ndarray) -> np.ndarray:
    exponents = np.exp(values - values.max())
    return exponents / exponents.sum()


HALF = ("y", T.FLOAT16)
RESHAPED = {"k": np.array([-1, 3])}
SOFTMAX = node("Softmax", ["z"], "s", axis=1)
SAME = (SOFTMAX, node("Identity", ["s"]))
WRITTEN_OUT = (
    node("Exp", ["z"], "e"),
    node("ReduceSum", ["e", "one"], "t", keepdims=1),
    node("Div", ["e", "t"]),
)


@pytest.mark.parametrize(
    "model",
    [
        net(node("Softmax", ["z"], axis=1)),
        net(SOFTMAX, node("Cast", ["s"], to=T.FLOAT)),
        net(SOFTMAX, node("Reshape", ["s", "k"]), constants=RESHAPED),
        net(SOFTMAX, node("Identity", ["s"], "i1"), node("Identity", ["i1"])),
        net(SOFTMAX, node("Cast", ["s"], to=T.FLOAT16), outputs=[HALF]),
        net(SOFTMAX, node("Cast", ["s"], to=T.DOUBLE), outputs=[("y", T.DOUBLE)]),
        net(*WRITTEN_OUT, constants={"one": np.array([1])}),
        net(node("LogSoftmax", ["z"], "l", axis=1), node("Exp", ["l"])),
        net(SOFTMAX, node("Mul", ["s", "hundred"]), constants={"hundred": np.float32(100)}),
        net(
            SOFTMAX,
            node("Clip", ["s", "low", "high"]),
            constants={"low": np.float32(0), "high": np.float32(1)},
        ),
        net(SOFTMAX, node("Unsqueeze", ["s", "one"]), constants={"one": np.array([1])}),
    ],
    ids=[
        "last",
        "cast",
        "reshape",
        "identity",
        "half",
        "double",
        "exp",
        "log",
        "percent",
        "clip",
        "unsqueeze",
    ],
)
def test_probabilities_are_not_put_through_a_second_softmax(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    found = wrapped(model)
    assert "returns probabilities" in found.notes[0]
    expected = own(model)
    expected = expected / expected.sum()
    assert expected.max() - expected.min() > 0.1
    np.testing.assert_allclose(served(found, tmp_path), expected, atol=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        net(),
        net(node("LogSoftmax", ["z"], axis=1)),
        net(node("Mul", ["z", "tenth"]), constants={"tenth": np.float32(0.1)}),
        net(node("Cast", ["z"], to=T.FLOAT16), outputs=[HALF]),
        net(shape=("b", "c", "h", "w")),
        net(shape=(-1, 3, 32, 32)),
        net(shape=(0, 3, 32, 32)),
        net(shape=(1, 3, 32, 32)),
        net(shape=("n", 3, 0, -1)),
        net(node("LeakyRelu", ["logits"]), z="logits"),
        net(node("LeakyRelu", ["frames"]), z="frames"),
        net(node("LeakyRelu", ["edgecat_mean"]), z="edgecat_mean"),
        net(node("Add", ["z", "ten"], "t"), node("Relu", ["t"]), constants={"ten": np.float32(10)}),
        net(
            node("Mul", ["z", "tiny"], "t"),
            node("Relu", ["t"]),
            constants={"tiny": np.float32(-1e-2)},
        ),
        net(opset=11),
        net(opset=21),
        net(
            node("SequenceConstruct", ["z", "z"], "q"),
            node("SequenceAt", ["q", "at"]),
            constants={"at": np.int64(0)},
        ),
        net(
            node("Reshape", ["scale", "k"], "k4"),
            node("Reshape", ["z", "k5"], "z4"),
            node("Mul", ["z4", "k4"], "m"),
            node("Flatten", ["m"]),
            constants={
                "scale": np.array([1, 2, 3], np.float32),
                "k": np.array([1, -1, 1, 1]),
                "k5": np.array([-1, 3, 1, 1]),
            },
            shape=(1, 3, 32, 32),
        ),
        net(
            node("Flatten", ["z"]),
            node("Identity", ["f"], "features"),
            outputs=[("features", T.FLOAT), ("y", T.FLOAT)],
        ),
    ],
    ids=lambda model: "",
)
def test_logits_are_served_as_they_are(model: onnx.ModelProto, tmp_path: Path) -> None:
    expected = own(model) if len(model.graph.output) == 1 else own(net(node("Flatten", ["z"])))
    np.testing.assert_allclose(served(wrapped(model), tmp_path), soft(expected), atol=2e-3)


def test_what_the_shape_leaves_open_is_tried(tmp_path: Path) -> None:
    last = [node("Transpose", ["x"], "i", perm=[0, 3, 1, 2])]
    for shape in (("n", "h", "w", "c"), ("n", 32, 32, 3)):
        model = net(first=last, shape=shape)
        image = ((FRAME[..., ::-1] / 255 - 0.5) / 0.5).astype(np.float32)
        np.testing.assert_allclose(
            served(wrapped(model), tmp_path), soft(own(model, image)), atol=1e-4
        )


@pytest.mark.parametrize(
    ("outputs", "last"),
    [
        ([("y", T.FLOAT), ("k", T.INT64)], [*SAME, node("ArgMax", ["s"], "k", axis=1)]),
        ([("k", T.INT64), ("y", T.FLOAT)], [*SAME, node("ArgMax", ["s"], "k", axis=1)]),
        ([("f1", T.FLOAT), ("y", T.FLOAT)], [*SAME, node("Identity", ["f"], "f1")]),
        ([("s", T.FLOAT), ("y", T.FLOAT)], [SOFTMAX, node("Identity", ["z"])]),
    ],
)
def test_of_several_outputs_the_scores_are_served(
    outputs: list[tuple[str, int]], last: list[Node], tmp_path: Path
) -> None:
    found = wrapped(net(*last, outputs=outputs))
    assert "output 'y' is served" in found.notes[0]
    assert [item.name for item in onnx.load_from_string(found.payload).graph.output] == ["logits"]
    np.testing.assert_allclose(served(found, tmp_path), soft(own(net())), atol=1e-4)


@pytest.mark.parametrize(
    "last",
    [
        [node("Sigmoid", ["z"])],
        [node("Sigmoid", ["z"], "s"), node("Cast", ["s"], to=T.FLOAT)],
        [
            node("Neg", ["z"], "n"),
            node("Exp", ["n"], "e"),
            node("Add", ["e", "one"], "a"),
            node("Reciprocal", ["a"]),
        ],
        [node("Sigmoid", ["z"], "s"), node("Reshape", ["s", "flat"])],
    ],
    ids=["last", "cast", "written out", "one axis"],
)
def test_one_sigmoid_is_the_second_of_two_classes(last: list[Node], tmp_path: Path) -> None:
    constants = {"one": np.float32(1), "flat": np.array([-1])}
    model = net(*last, classes=1, constants=constants)
    (second,) = own(model)
    found = wrapped(model, ("cat", "dog"))
    np.testing.assert_allclose(served(found, tmp_path), [1 - second, second], atol=1e-4)
    with pytest.raises(CardError, match="Give two labels"):
        wrapped(model, ("dog",))


def test_one_logit_is_the_second_of_two_classes(tmp_path: Path) -> None:
    model = net(classes=1)
    (second,) = 1 / (1 + np.exp(-own(model)))
    found = served(wrapped(model, ("cat", "dog")), tmp_path)
    np.testing.assert_allclose(found, [1 - second, second], atol=1e-4)


@pytest.mark.parametrize(
    "last",
    [
        [node("Sigmoid", ["z"])],
        [node("Sigmoid", ["z"], "s"), node("Identity", ["s"])],
        [
            node("Mul", ["z", "half"], "h"),
            node("Tanh", ["h"], "t"),
            node("Mul", ["t", "half"], "m"),
            node("Add", ["m", "half"]),
        ],
    ],
    ids=["last", "identity", "tanh"],
)
def test_a_sigmoid_per_class_is_told_as_it_is(last: list[Node], tmp_path: Path) -> None:
    model = net(*last, constants={"half": np.float32(0.5)})
    found = wrapped(model)
    assert "do not sum to 1" in found.notes[0]
    assert found.card.scores == "sigmoid"
    np.testing.assert_allclose(served(found, tmp_path), own(model), atol=1e-4)


@pytest.mark.parametrize(
    ("model", "labels", "sentence"),
    [
        (net(node("Tanh", ["z"])), "abc", "ends in Tanh"),
        (net(node("ArgMax", ["z"], axis=1), outputs=[("y", T.INT64)]), "abc", "ArgMax"),
        (net(node("TopK", ["z", "k"], "y", "i"), constants={"k": np.array([3])}), "abc", "TopK"),
        (net(classes=5), "abc", "has 5 classes; got 3 labels"),
        (net(classes=1), "abc", "has 1 class; got 3 labels"),
        (net(node("Softmax", ["z"], axis=1), classes=1), "ab", "over a single value"),
        (times("nan"), "abc", "returns NaN"),
        (times("inf"), "abc", "infinity"),
        (times("0"), "abc", "the same output"),
        (
            net(*SHARED, constants={"k": np.array([[1, 1, 1]], np.float32)}),
            "abc",
            "the same output",
        ),
        (net(node("Softmax", ["z"], axis=0)), "abc", "on the others in the batch"),
        (
            net(node("LogSoftmax", ["z"], "l", axis=1), node("Neg", ["l"])),
            "abc",
            "negative logarithms of probabilities",
        ),
    ],
)
def test_what_cannot_be_served_is_a_sentence(
    model: onnx.ModelProto, labels: str, sentence: str
) -> None:
    with pytest.raises((UserError, GateError), match=sentence):
        wrapped(model, labels)


@pytest.mark.parametrize("kind", [T.FLOAT16, T.DOUBLE, T.UINT8, T.INT32])
def test_other_types_of_input(kind: int, tmp_path: Path) -> None:
    scale = [node("Cast", ["x"], "i0", to=T.FLOAT), node("Mul", ["i0", "s"], "i")]
    raw = kind in (T.UINT8, T.INT32)
    model = net(first=scale, kind=kind, constants={"s": np.float32(1 / 255 if raw else 1)})
    colours = {"mean": None, "std": None} if raw else HALVES
    image = FRAME[..., ::-1].transpose(2, 0, 1)
    if not raw:
        image = (image / 255 - 0.5) / 0.5
    image = image.astype(helper.tensor_dtype_to_np_dtype(kind))
    found = served(wrapped(model, **colours), tmp_path)
    np.testing.assert_allclose(found, soft(own(model, image)), atol=2e-3)
    if raw:
        with pytest.raises(UserError, match="leave out --mean and --std"):
            wrapped(model)


@pytest.mark.parametrize("last", [False, True])
def test_bgr_and_grey(last: bool, tmp_path: Path) -> None:
    first = [node("Transpose", ["x"], "i", perm=[0, 3, 1, 2])] if last else []
    turned = (0, 1, 2) if last else (2, 0, 1)
    colours = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    model = net(first=first, shape=("n", 32, 32, 3) if last else ("n", 3, 32, 32))
    image = (FRAME / 255 - np.array(colours["mean"])[::-1]) / np.array(colours["std"])[::-1]
    found = served(wrapped(model, colour="bgr", **colours), tmp_path)
    expected = own(model, image.transpose(turned).astype(np.float32))
    np.testing.assert_allclose(found, soft(expected), atol=1e-4)
    model = net(first=first, shape=("n", 32, 32, 1) if last else ("n", 1, 32, 32))
    image = (FRAME @ [[0.114], [0.587], [0.299]] / 255 - 0.5) / 0.5
    expected = own(model, image.transpose(turned).astype(np.float32))
    np.testing.assert_allclose(served(wrapped(model), tmp_path), soft(expected), atol=1e-4)
    with pytest.raises(UserError, match="takes 1 channels; --colour asks for bgr"):
        wrapped(model, colour="bgr")
    with pytest.raises(UserError, match="Give the same number three times"):
        wrapped(model, **colours)


def test_a_branch_that_reads_the_image(tmp_path: Path) -> None:
    flag = helper.make_tensor_value_info("o", T.FLOAT, None)
    branches = {
        f"{name}_branch": helper.make_graph([node(kind, ["x"], "o")], name, [], [flag])
        for name, kind in (("then", "Identity"), ("else", "Neg"))
    }
    constants = {"yes": np.array(True)}
    model = net(first=[node("If", ["yes"], "i", **branches)], constants=constants)
    np.testing.assert_allclose(served(wrapped(model), tmp_path), soft(own(net())), atol=1e-4)


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_local_functions_are_inlined(opset: int, tmp_path: Path) -> None:
    model = net(
        node("Act", ["z"], domain="pkg"), opset=opset, imports=[helper.make_opsetid("pkg", 1)]
    )
    body = [node("LeakyRelu", ["a"], "b")]
    opsets = [helper.make_opsetid("", opset)]
    model.functions.append(helper.make_function("pkg", "Act", ["a"], ["b"], body, opsets))
    expected = soft(own(net(node("LeakyRelu", ["z"]))))
    np.testing.assert_allclose(served(wrapped(model), tmp_path), expected, atol=1e-4)


def quantised(
    *last: Node, outputs: Sequence[tuple[str, int]] = (("y", T.FLOAT),)
) -> onnx.ModelProto:
    """A classifier whose logits go through int8."""
    return net(
        node("QuantizeLinear", ["z", "step", "zero"], "q"),
        node("DequantizeLinear", ["q", "step", "zero"], "d"),
        *(last or (node("Identity", ["d"]),)),
        outputs=outputs,
        constants={
            "step": np.float32(0.05),
            "zero": np.int8(0),
            "small": np.float32(1 / 255),
            "low": np.uint8(0),
        },
    )


@pytest.mark.parametrize(
    "model",
    [
        quantised(),
        quantised(node("Softmax", ["d"], axis=1)),
        quantised(node("QuantizeLinear", ["d", "step", "zero"]), outputs=[("y", T.INT8)]),
        quantised(
            node("Softmax", ["d"], "s", axis=1),
            node("QuantizeLinear", ["s", "small", "low"]),
            outputs=[("y", T.UINT8)],
        ),
    ],
    ids=["logits", "softmax", "integers", "bytes"],
)
def test_a_model_that_is_int8_already_is_judged_as_such(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    found = wrapped(model)
    assert found.card.precision == "int8"
    np.testing.assert_allclose(served(found, tmp_path), soft(own(net())), atol=0.03)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_external_data_is_pulled_in(
    elsewhere: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "m.onnx"
    onnx.save(net(), path, save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    monkeypatch.chdir(tmp_path if elsewhere else tmp_path / "a")
    payload = read_foreign(Path("a/m.onnx" if elsewhere else "m.onnx"))
    (tmp_path / "a" / "m.onnx.data").unlink()
    found = wrapped(onnx.load_from_string(payload))
    np.testing.assert_allclose(served(found, tmp_path), soft(own(net())), atol=1e-4)
    with pytest.raises(
        UserError, match=r"keeps its weights in m.onnx.data, which is not beside it"
    ):
        read_foreign(path)


@pytest.mark.parametrize(
    "location", ["../m.data", "/etc/hostname", "C:\\m.data", "sub/../../m.data", "", "fifo"]
)
def test_external_data_of_other_folders_is_not_read(location: str, tmp_path: Path) -> None:
    import os

    model = net()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = T.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (tmp_path / "m.data").write_bytes(bytes(864))
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "fifo")
    (tmp_path / "a" / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(
        UserError, match=r"expected a file in its own folder|which is not beside it"
    ):
        read_foreign(tmp_path / "a" / "m.onnx")


def test_external_data_that_is_cut_short_is_named(tmp_path: Path) -> None:
    onnx.save(
        net(), tmp_path / "m.onnx", save_as_external_data=True, location="d", size_threshold=0
    )
    (tmp_path / "d").write_bytes((tmp_path / "d").read_bytes()[:200])
    with pytest.raises(UserError, match=r"d has 200 bytes; m.onnx expects more"):
        read_foreign(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"mean": (123.675, 116.28, 103.53)}, r"Divide by 255: --mean 0.485,0.456,0.406"),
        ({"std": (58.395, 57.12, 57.375)}, r"Divide by 255: --std 0.229,0.224,0.225"),
        ({"mean": (float("nan"), 0, 0)}, "three finite numbers"),
        ({"std": (float("inf"), 1, 1)}, "three finite numbers"),
        ({"mean": (-0.5, 0, 0)}, "below 0"),
        ({"std": (0, 1, 1)}, "above 0"),
        ({"mean": None}, "--mean is missing"),
        ({"labels": ("a", "a", "b")}, "the same name 'a'"),
        ({"labels": ("a", "\x1b[31m", "b")}, "control character"),
        ({"labels": ("a", "unsure", "b")}, "reserved word"),
    ],
)
def test_options_that_cannot_be_right(option: dict[str, Any], sentence: str) -> None:
    options = {"labels": ("a", "b", "c"), **option}
    with pytest.raises(UserError, match=sentence):
        wrapped(net(), options.pop("labels"), **options)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'cat', 1: 'dog'}", ("cat", "dog")),
        ('{"0": "cat", "1": "dog"}', ("cat", "dog")),
        ('{"dog": 1, "cat": 0}', ("cat", "dog")),
        ('["cat", "dog"]', ("cat", "dog")),
        ("('cat', 'dog')", ("cat", "dog")),
        ("cat\ndog\n", ("cat", "dog")),
        ("{1: 'cat', 2: 'dog'}", None),
        ("[1, 2]", None),
        ("", None),
        ("cat", None),
        ("(" * 5000, None),
    ],
)
def test_the_model_s_own_class_names(text: str, names: tuple[str, ...] | None) -> None:
    assert names_in_text(text) == names
    model = net()
    model.metadata_props.add(key="names", value=text)
    assert class_names(model) == names


def test_a_backend_that_breaks_is_named_and_the_others_prove_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV raises `cv2.error` out of `infer` for an operator that it does not know."""
    import edgecat_runtime.backends.openvino as backend

    def infer(self: Any, frames: np.ndarray) -> np.ndarray:
        raise RuntimeError("no such layer\nat 0x1")

    pytest.importorskip("openvino")
    monkeypatch.setattr(backend.OpenVINOBackend, "infer", infer)
    found, refused = wrapped(net()), []
    pairs = save_onnx(found.payload, found.card, tmp_path / "m.onnx", refused=refused.append)
    assert "onnxruntime" in [pair.backend for pair in pairs]
    assert refused == ["openvino does not run it: no such layer"]
    with pytest.raises(UserError, match=r"was not written: openvino does not run it"):
        save_onnx(found.payload, found.card, tmp_path / "n.onnx", backends=["openvino"])
    assert not (tmp_path / "n.onnx").exists()
    with pytest.raises(UserError, match="expected one of auto"):
        save_onnx(found.payload, found.card, tmp_path / "n.onnx", backends=["tflite"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--labels", "labels.txt", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"],
        ["--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--backend", "onnxruntime"],
        ["--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--colour", "rgb", "--fit", "stretch"],
    ],
)
def test_a_foreign_model_on_the_command_line(
    arguments: list[str], cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    monkeypatch.chdir(tmp_path)
    model = net(node("Softmax", ["z"], axis=1), shape=(-1, 3, 0, 0))
    model.metadata_props.add(key="names", value="{0: 'a', 1: 'b', 2: 'c'}")
    expected = own(model)
    onnx.save(model, "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\nc\r\n")
    cv2.imwrite("frame.png", FRAME)
    ran = cli("export", "m.onnx", *arguments, "--size", "32", "--output", "served.onnx")
    assert ran.code == 0, ran.err
    assert "returns probabilities" in ran.out
    assert ("openvino" in ran.out) <= ("--backend" not in arguments)
    Path("m.onnx.data").unlink()
    ran = cli("classify", "frame.png", "--engine", "served.onnx", "--json")
    found = json.loads(ran.out)[0]["probabilities"]
    assert [*found] == ["a", "b", "c"]
    np.testing.assert_allclose([*found.values()], expected, atol=1e-3)
    for wrong, sentence in {"m.onnx": "keeps its weights in m.onnx.data", "x": "expected"}.items():
        ran = cli("export", wrong, *arguments, "--size", "32")
        assert (ran.code, sentence in ran.err) == (1, True), ran.err


def test_a_model_that_does_not_name_its_classes_asks_for_labels(cli: Any, tmp_path: Path) -> None:
    onnx.save(net(), tmp_path / "m.onnx")
    ran = cli(
        "export",
        tmp_path / "m.onnx",
        "--mean",
        "0.5,0.5,0.5",
        "--std",
        "0.5,0.5,0.5",
        "--size",
        "32",
    )
    assert ran.code == 1
    assert "does not say what its classes are called" in ran.err
