from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecat_export.parity.layers import Drift, Layer, find_drift, relative_error
from edgecat_export.parity.segment_backends import SEGMENT_BACKENDS
from edgecat_export.parity.segments import Cut, Graph, _scope
from edgecat_export.precision.fp16 import fp16_from_onnx
from edgecat_export.precision.int8 import int8_from_onnx
from edgecat_export.precision.scan import scan
from edgecat_runtime import UserError

FRAMES = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), np.uint8)
LAYERS = ["features.0", "features.2", "features.4 + shortcut.0", "classifier.1"]


def net(*, broken: str = "", rename: str = "") -> bytes:
    """A residual net.

    `broken` adds 0.2 to the weights of one output of a layer, `rename` prefixes all tensors.
    """
    rng = np.random.default_rng(0)
    weights = {
        "features.0": rng.normal(0, 0.3, (8, 3, 3, 3)),
        "features.2": rng.normal(0, 0.2, (8, 8, 3, 3)),
        "features.4": rng.normal(0, 0.2, (8, 8, 3, 3)),
        "shortcut.0": rng.normal(0, 0.3, (8, 8, 1, 1)),
        "classifier.1": rng.normal(0, 0.5, (4, 8)),
    }
    if broken:
        weights[broken][0] += 0.2
    constants = {f"model.{name}.weight": w.astype(np.float32) for name, w in weights.items()}
    constants["scale"] = np.float32(1 / 255)

    def conv(name: str, source: str, output: str, pad: int = 1) -> onnx.NodeProto:
        inputs = [source, f"model.{name}.weight"]
        return helper.make_node("Conv", inputs, [output], pads=[pad] * 4)

    nodes = [
        helper.make_node("Cast", ["frames"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "scale"], ["scaled"]),
        conv("features.0", "scaled", "c0"),
        helper.make_node("Relu", ["c0"], ["r0"]),
        helper.make_node("MaxPool", ["r0"], ["p0"], kernel_shape=[2, 2], strides=[2, 2]),
        conv("features.2", "p0", "c2"),
        helper.make_node("Relu", ["c2"], ["r2"]),
        conv("features.4", "r2", "c4"),
        conv("shortcut.0", "p0", "s0", pad=0),
        helper.make_node("Add", ["c4", "s0"], ["joined"]),
        helper.make_node("Relu", ["joined"], ["r4"]),
        helper.make_node("GlobalAveragePool", ["r4"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "model.classifier.1.weight"], ["logits"], transB=1),
    ]
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [n if n in ("frames", "logits", *constants) else rename + n for n in names]
        node.name = f"node_{node.output[0]}"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", 16, 16, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def half(payload: bytes) -> bytes:
    return fp16_from_onnx(payload, frames=FRAMES)[0]


def quantised(payload: bytes, form: str = "cpu") -> bytes:
    ranges = scan(net(), FRAMES).ranges("minmax")
    return int8_from_onnx(payload, ranges, form=form)  # type: ignore[arg-type]


def names(drift: Drift) -> list[str]:
    return [layer.name for layer in drift.layers]


def test_a_graph_is_cut_behind_each_layer() -> None:
    cuts = Graph(net()).cuts()
    assert [(cut.tensor, cut.layer, cut.operator) for cut in cuts] == [
        ("r0", LAYERS[0], "Conv"),
        ("r2", LAYERS[1], "Conv"),
        ("r4", LAYERS[2], "Conv"),
        ("logits", LAYERS[3], "Gemm"),
    ]


def test_a_quantised_graph_is_cut_at_its_integers() -> None:
    cuts = Graph(quantised(net())).cuts()
    assert [cut.tensor for cut in cuts[:2]] == ["r0_quantized", "r2_quantized"]
    assert all(cut.kind == np.uint8 and cut.scale is not None for cut in cuts[:2])
    assert cuts[-1].kind == np.float32


def test_a_segment_is_fused_as_the_whole_is(tmp_path) -> None:
    graph = Graph(quantised(net()))
    segment = graph.segment("r2_quantized", ["r0_quantized"])
    assert segment.inputs == ("r0_quantized",)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(segment.payload, options, providers=["CPUExecutionProvider"])
    fused = {node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node}
    assert "QLinearConv" in fused
    assert not fused & {"Conv", "FusedConv", "QuantizeLinear", "DequantizeLinear"}


def test_the_same_graph_does_not_drift() -> None:
    drift = find_drift(net(), net(), FRAMES)
    assert names(drift) == LAYERS
    assert drift.first is None
    assert [(layer.own, layer.accumulated) for layer in drift.layers] == [(0, 0)] * 4
    assert drift.split < 1e-6
    assert "every layer" in drift.verdict


@pytest.mark.parametrize("rename", ["", "x_"])
@pytest.mark.parametrize("place", range(4))
def test_a_planted_error_is_named(place: int, rename: str) -> None:
    layer = LAYERS[place]
    candidate = net(broken=layer.split(" ")[0], rename=rename)
    drift = find_drift(net(), candidate, FRAMES, names=("good", "bad"))
    assert drift.first is not None
    assert drift.first.name == layer
    assert [item.name for item in drift.layers if item.own > 1e-6] == [layer]
    assert [item.name for item in drift.layers if item.accumulated > 1e-6] == LAYERS[place:]
    assert f"bad on onnxruntime starts to drift from good on onnxruntime at {layer}" in (
        drift.verdict
    )


@pytest.mark.parametrize(
    ("make", "precision"),
    [(half, "fp16"), (quantised, "int8"), (lambda p: quantised(p, "tensorrt"), "int8")],
    ids=["fp16", "int8 cpu", "int8 tensorrt"],
)
def test_other_precisions_drift_only_where_they_are_broken(make, precision: str) -> None:
    healthy = find_drift(net(), make(net()), FRAMES, precision=precision)
    assert healthy.first is None, healthy
    assert all(layer.own > 0 for layer in healthy.layers[:2])
    assert healthy.split < (1e-3 if precision == "fp16" else 1e-6)
    broken = find_drift(net(), make(net(broken="features.2")), FRAMES, precision=precision)
    assert broken.first is not None
    assert broken.first.name == "features.2"


@pytest.mark.parametrize("backend", sorted(set(SEGMENT_BACKENDS) - {"onnxruntime:cuda"}))
def test_backends_are_compared_layer_by_layer(backend: str) -> None:
    pytest.importorskip({"opencv": "cv2"}.get(backend, backend))
    drift = find_drift(net(), net(), FRAMES, backends=("onnxruntime", backend))
    assert drift.first is None
    assert drift.split < 1e-5
    broken = find_drift(net(), net(broken="features.2"), FRAMES, backends=("onnxruntime", backend))
    assert broken.first is not None
    assert broken.first.name == "features.2"


def test_errors_that_build_up_are_told_from_one_layers() -> None:
    layers = tuple(Layer(f"l{i}", "Conv", 6e-5, 6e-5 * (i + 1)) for i in range(3))
    drift = Drift("a", "b", "opencv", 1e-4, layers, 0.0)
    assert drift.first is None
    assert "accumulates and exceeds it at l1" in drift.verdict


def test_what_cannot_be_compared_is_refused() -> None:
    model = onnx.load_from_string(net(rename="y_"))
    model.graph.node[10].op_type = "Mul"  # the join becomes no layer's end
    with pytest.raises(UserError, match="no names in common"):
        find_drift(net(), model.SerializeToString(), FRAMES)
    with pytest.raises(UserError, match="tensorrt cannot run a network in segments"):
        find_drift(net(), net(), FRAMES, backends=("onnxruntime", "tensorrt"))
    with pytest.raises(UserError, match="cannot be read as ONNX"):
        find_drift(net(), b"no graph", FRAMES)


@pytest.mark.parametrize(
    ("cut", "values", "inside"),
    [
        (Cut("x", "x", "", "", np.dtype(np.float16)), [1.0, 70000.0], [1.0, np.inf]),
        (Cut("x", "q", "", "", np.dtype(np.uint8), np.float32(0.5), 10), [-9, 0, 1, 999], None),
        (Cut("x", "q", "", "", np.dtype(np.int8), np.float32(0.5), 0), [-999, 0, 1, 999], None),
    ],
)
def test_values_go_in_and_out_of_a_cut(cut: Cut, values: list[float], inside) -> None:
    encoded = cut.encode(np.array(values, np.float32))
    assert encoded.dtype == cut.kind
    if inside is not None:
        assert encoded.tolist() == inside
    decoded = cut.decode(encoded)
    assert decoded.dtype == np.float32
    assert np.array_equal(cut.encode(decoded), encoded)


@pytest.mark.parametrize(
    ("found", "error"),
    [([3.0, 4.0], 0.0), ([3.0, 5.0], 0.2), ([3.0, np.inf], np.inf), ([3.0, np.nan], np.inf)],
)
def test_relative_error(found: list[float], error: float) -> None:
    assert relative_error(np.array([3.0, 4.0]), np.array(found)) == pytest.approx(error)


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("/features/features.0/Conv", "features.0"),
        ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
        ("node_conv2d", ""),
        ("/Gemm", ""),
    ],
)
def test_older_exporters_name_the_module_in_the_node(name: str, scope: str) -> None:
    assert _scope(name) == scope


@pytest.mark.parametrize(("later", "advised"), [(1e-6, True), (1e-2, False)])
def test_a_first_layer_that_drifts_alone_points_to_the_preprocessing(
    later: float, advised: bool
) -> None:
    layers = (Layer("l0", "Conv", 1.4, 1.4), Layer("l1", "Conv", later, 1.4))
    drift = Drift("a", "b", "opencv", 1e-4, layers, 0.0)
    assert ("compare the means, standard deviations and colour orders" in drift.verdict) == advised
