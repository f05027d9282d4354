"""Fp16 and int8: the graphs that come out, and the gate that they pass."""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecat_export.precision.conversion import convert
from edgecat_export.precision.distribution import METHODS, Distribution
from edgecat_export.precision.fp16 import fp16_from_onnx
from edgecat_export.precision.gate import Gate, GateReport, Photographs
from edgecat_export.precision.int8 import Form, int8_from_onnx, int8_layers, layers
from edgecat_export.precision.scan import answer, scan
from edgecat_export.publish import read_onnx, save_onnx
from edgecat_runtime import Classifier, GateError, ModelCard, UserError, read_card
from edgecat_runtime.model.card import Precision
from edgecat_runtime.model.golden import golden_frames, golden_rows, preprocess_fingerprint

SIZE = 32
WIDTHS = (8, 8, 48, 48)


def network(
    *, peaks: tuple[float, ...] = (1, 1, 1, 1), outlier: float = 1.0, seed: int = 1
) -> bytes:
    """Four convolutions, a mean and a dense layer.

    `peaks` scales what each convolution gives; `outlier` scales one channel of the first, which the
    second takes back.
    """
    rng = np.random.default_rng(seed)
    constants = {"scale": np.float32(1 / 255), "axes": np.array([2, 3], np.int64)}
    nodes = [
        helper.make_node("Cast", ["frames"], ["float"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], "transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "scale"], ["x0"], "normalise"),
    ]
    inputs, before = 3, 1.0
    for i, (width, peak) in enumerate(zip(WIDTHS, peaks, strict=True)):
        kernel = rng.normal(0, (2 / 9 / inputs) ** 0.5, (width, inputs, 3, 3))
        bias = rng.normal(0, 0.1, width)
        if i == 0:
            kernel[0], bias[0] = np.abs(kernel[0]) * outlier, 0
        if i == 1:
            kernel[:, 0] /= outlier
        constants[f"k{i}"] = (kernel * peak / before).astype(np.float32)
        constants[f"b{i}"] = (bias * peak).astype(np.float32)
        nodes += [
            helper.make_node(
                "Conv", [f"x{i}", f"k{i}", f"b{i}"], [f"c{i}"], f"conv{i}", pads=[1] * 4
            ),
            helper.make_node("Relu", [f"c{i}"], [f"r{i}" if i == 1 else f"x{i + 1}"], f"relu{i}"),
        ]
        if i == 1:
            pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
            nodes.append(helper.make_node("MaxPool", ["r1"], ["x2"], "pool", **pool))
        inputs, before = width, peak
    constants["dense"] = (rng.normal(0, 1, (2, inputs)) / before).astype(np.float32)
    constants["bias"] = np.zeros(2, np.float32)
    nodes += [
        helper.make_node("ReduceMean", ["x4", "axes"], ["mean"], "mean", keepdims=0),
        helper.make_node("Gemm", ["mean", "dense", "bias"], ["logits"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """Coloured stripes and noise, uint8 (count, 32, 32, 3), over all grey levels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    frames = []
    for _ in range(count):
        a, b, phase = rng.uniform(-0.6, 0.6, 3)
        wave = np.sin(a * x + b * y + phase)[..., None] * rng.uniform(40, 127, 3)
        frames.append(rng.uniform(60, 196, 3) + wave + rng.normal(0, 8, (SIZE, SIZE, 3)))
    return np.clip(frames, 0, 255).astype(np.uint8)


def balanced(payload: bytes) -> bytes:
    """The network with its dense bias set so that either class wins half of the pictures."""
    model = onnx.load_from_string(payload)
    logits = answer(payload, pictures(200, seed=9))
    shift = np.array([0, -np.median(logits[:, 1] - logits[:, 0])], np.float32)
    bias = next(item for item in model.graph.initializer if item.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(shift, "bias"))
    return model.SerializeToString()


def labelled(payload: bytes, seed: int = 5) -> Photographs:
    """Pictures that the network decides clearly, labelled with its decision."""
    frames = pictures(300, seed)
    logits = answer(payload, frames)
    margin = np.abs(logits[:, 1] - logits[:, 0])
    clear = margin > np.quantile(margin, 0.2)
    return Photographs(frames[clear], logits[clear].argmax(1).astype(np.int64))


def card_of(payload: bytes) -> ModelCard:
    return ModelCard(
        architecture="net",
        labels=("cat", "dog"),
        height=SIZE,
        width=SIZE,
        golden=golden_rows(answer(payload, golden_frames(SIZE, SIZE))),
        preprocess_golden=preprocess_fingerprint(SIZE, SIZE, "crop"),
    )


def error(payload: bytes, candidate: bytes, frames: np.ndarray) -> float:
    expected = answer(payload, frames)
    return float(
        np.abs(answer(candidate, frames, literal=True) - expected).max() / np.ptp(expected)
    )


@pytest.fixture(scope="module")
def net() -> bytes:
    return balanced(network())


@pytest.fixture(scope="module")
def seen() -> np.ndarray:
    return pictures(64)


# What a scan gathers


def test_a_distribution_keeps_every_value_as_it_widens() -> None:
    seen, rng = Distribution(), np.random.default_rng(0)
    for scale in (1, 30, 2, 500):
        seen.add((rng.normal(0, scale, 1000)).astype(np.float32))
    assert seen.counts.sum() == 4000
    assert seen.limit >= seen.peak > 500
    assert seen.range("minmax") == (seen.lowest, seen.highest)


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_an_outlier_is_clipped(method: str) -> None:
    seen = Distribution()
    values = np.random.default_rng(0).normal(0, 1, 200_000).astype(np.float32)
    values[7] = 100
    seen.add(values)
    low, high = seen.range(method)  # type: ignore[arg-type]
    assert -6 < low < -2
    assert 2 < high < 6


@pytest.mark.parametrize("method", METHODS)
def test_a_range_holds_zero_and_stays_within_what_was_seen(method: str) -> None:
    seen = Distribution()
    seen.add(np.linspace(3, 5, 1000, dtype=np.float32))
    low, high = seen.range(method)  # type: ignore[arg-type]
    assert low == 0
    assert 4 < high <= 5


def test_a_value_that_is_not_finite_is_an_infinite_peak() -> None:
    seen = Distribution()
    seen.add(np.array([1, np.inf], np.float32))
    assert seen.peak == np.inf


# The int8 graph


@pytest.mark.parametrize(
    ("form", "kind", "levels", "limit"),
    [("cpu", "uint8", 63, 0.08), ("tensorrt", "int8", 127, 0.06)],
)
def test_every_layer_is_int8_and_answers_nearly_the_same(
    net: bytes, seen: np.ndarray, form: Form, kind: str, levels: int, limit: float
) -> None:
    quantised = int8_from_onnx(net, scan(net, seen).ranges("minmax"), form=form)
    assert 0 < error(net, quantised, seen) < limit
    graph = onnx.load_from_string(quantised).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            read, weights = makers[node.input[0]], makers[node.input[1]]
            assert read.op_type == weights.op_type == "DequantizeLinear"
            assert constants[read.input[2]].dtype == kind
            assert constants[weights.input[0]].dtype == np.int8
            assert np.abs(constants[weights.input[0]]).max() == levels
            assert constants[weights.input[1]].shape == constants[weights.input[0]].shape[:1]
            bias_is_int32 = node.input[2] in makers
            assert bias_is_int32 == (form == "cpu")  # TensorRT refuses an int32 bias
        if node.op_type == "QuantizeLinear" and form == "tensorrt":
            assert constants[node.input[2]] == 0
        if node.op_type == "Relu":  # nothing may stand between a layer and its activation
            assert makers[node.input[0]].op_type == "Conv"
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert makers["logits"].op_type == "Gemm"


def test_onnxruntime_runs_the_cpu_form_in_int8(net: bytes, seen: np.ndarray, tmp_path) -> None:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    quantised = int8_from_onnx(net, scan(net, seen).ranges("minmax"))
    ort.InferenceSession(quantised, options, providers=["CPUExecutionProvider"])
    kinds = Counter(n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node)
    assert kinds["QLinearConv"] == 4
    assert kinds["QGemm"] == 1
    assert kinds["Conv"] == kinds["Gemm"] == kinds["Relu"] == 0


def test_multiply_adds_are_counted(net: bytes, seen: np.ndarray) -> None:
    counted = layers(net, scan(net, seen[:1]).shapes)
    assert counted == {
        "conv0": 32 * 32 * 8 * 3 * 9,
        "conv1": 32 * 32 * 8 * 8 * 9,
        "conv2": 16 * 16 * 48 * 8 * 9,
        "conv3": 16 * 16 * 48 * 48 * 9,
        "head": 48 * 2,
    }


def test_a_kept_layer_reads_float_and_takes_its_maker_along(net: bytes, seen: np.ndarray) -> None:
    every = {"conv0", "conv1", "conv2", "conv3", "head"}
    assert int8_layers(net) == every
    assert int8_layers(net, keep=["conv2"]) == every - {"conv1", "conv2"}  # past the pool
    assert int8_layers(net, keep=["conv2"], form="tensorrt") == every - {"conv2"}
    quantised = int8_from_onnx(net, scan(net, seen).ranges("minmax"), keep=["conv2"])
    graph = onnx.load_from_string(quantised).graph
    assert next(node for node in graph.node if node.name == "conv2").input[0] == "x2"
    assert error(net, quantised, seen) < 0.06


# The fp16 graph


def test_fp16_keeps_uint8_in_and_float32_out(net: bytes, seen: np.ndarray) -> None:
    half, report = fp16_from_onnx(net, frames=seen)
    graph = onnx.load_from_string(half).graph
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    kinds = {item.name: item.data_type for item in graph.initializer}
    assert {kinds[f"k{i}_half"] for i in range(4)} == {TensorProto.FLOAT16}
    assert report.kept == ()
    assert 0 < error(net, half, seen) < 5e-3


def test_a_node_may_be_named_like_the_output(net: bytes, seen: np.ndarray) -> None:
    model = onnx.load_from_string(net)
    model.graph.node[-1].name = "logits"
    half, _ = fp16_from_onnx(model.SerializeToString(), frames=seen)
    assert 0 < error(net, half, seen) < 5e-3


def test_layers_that_would_overflow_stay_in_float32(seen: np.ndarray) -> None:
    loud = network(peaks=(1, 1e6, 1e6, 1))
    unsafe, _ = fp16_from_onnx(loud)
    assert not np.isfinite(answer(unsafe, seen, literal=True)).all()
    half, report = fp16_from_onnx(loud, frames=seen)
    assert {kept.name for kept in report.kept} == {
        *("conv1", "relu1", "pool", "conv2", "relu2", "conv3")
    }
    assert "stays fp32: values up to" in str(report.kept[0])
    assert error(loud, half, seen) < 5e-3


def test_fp16_around_int8_answers_as_int8_does(net: bytes, seen: np.ndarray) -> None:
    quantised = int8_from_onnx(net, scan(net, seen).ranges("minmax"), form="tensorrt")
    half, _ = fp16_from_onnx(quantised, frames=seen)
    assert error(quantised, half, seen) < 0.02
    types = {item.data_type for item in onnx.load_from_string(half).graph.initializer}
    assert TensorProto.FLOAT not in types


# The gate


def test_the_report_holds_every_limit() -> None:
    good = GateReport("int8", 0.02, 1000, 0.995, 0.92, 0.916)
    assert good.passed
    for change in ({"golden_error": 0.5}, {"agreement": 0.98}, {"accuracy": 0.91}):
        assert not replace(good, **change).passed
    assert not replace(good, golden_error=float("nan")).passed
    assert "accuracy lost 0.40 points" in str(good)
    alone = GateReport("fp16", 1e-3)
    assert (alone.passed, alone.loss, "only the golden frames" in str(alone)) == (True, None, True)
    assert not replace(alone, golden_error=0.5).passed


@pytest.mark.parametrize(
    ("precision", "golden", "agreement", "lost"),
    [("fp32", 1e-4, 1.0, 0.0), ("fp16", 5e-3, 0.999, 0.001), ("int8", 0.3, 0.99, 0.005)],
)
def test_the_gate_passes_at_each_limit_and_fails_beyond(
    precision: Precision, golden: float, agreement: float, lost: float
) -> None:
    at = GateReport(precision, golden, 10_000, agreement, 0.92, 0.92 - lost)
    assert at.passed
    assert replace(at, accuracy=0.93).passed, "a gain"
    assert not replace(at, golden_error=1.01 * golden).passed
    assert not replace(at, agreement=agreement - 0.0001).passed
    assert not replace(at, accuracy=0.92 - lost - 0.0001).passed


def test_a_graph_that_is_not_its_card_s_is_no_reference(net: bytes) -> None:
    with pytest.raises(GateError, match="fp32 graph's logits for its golden frames"):
        Gate(network(), card_of(net))


@pytest.mark.parametrize("form", ["cpu", "tensorrt"])
def test_int8_passes_its_gate_and_is_served(net: bytes, tmp_path, form: Form) -> None:
    judged = labelled(net)
    done = convert(
        net, card_of(net), "int8", form=form, calibration=pictures(64), photographs=judged
    )
    assert done.gate.passed
    assert done.gate.n == len(judged) == done.card.accuracy_n
    assert done.int8_share == 1
    assert "calibrated by" in done.notes[0]
    assert done.card.precision == "int8"
    assert done.card.golden != card_of(net).golden
    pairs = save_onnx(done.payload, done.card, tmp_path / "net.int8.onnx", served=form == "cpu")
    assert read_onnx(tmp_path / "net.int8.onnx")[0] == done.payload
    assert read_card(tmp_path / "net.int8.onnx").precision == "int8"
    if form == "tensorrt":
        assert pairs == []  # judged when it was converted; no backend here will serve it
    else:
        assert all(pair.passed for pair in pairs)
        Classifier.open(tmp_path / "net.int8.onnx").close()


@pytest.mark.parametrize("seed", range(3))
def test_no_two_products_of_the_cpu_form_exceed_sixteen_bits(seed: int) -> None:
    net = network(seed=seed)
    graph = onnx.load_from_string(
        int8_from_onnx(net, scan(net, pictures(8)).ranges("minmax"))
    ).graph
    weights = [numpy_helper.to_array(item) for item in graph.initializer if item.data_type == 3]
    weights = [item.astype(np.int32) for item in weights if item.ndim > 1]
    assert len(weights) == 5
    for item in weights:
        largest = np.sort(np.abs(item).reshape(-1))[-2:].sum()
        assert 255 * largest <= np.iinfo(np.int16).max


@pytest.mark.parametrize("form", ["cpu", "tensorrt"])
def test_the_same_bytes_whatever_the_kernels_round(
    net: bytes, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fused and unfused float32 kernels differ in the last bits, as those of two processors do."""
    module = importlib.import_module(scan.__module__)
    opened = module.session_from_onnx
    seen, card = pictures(40), card_of(net)
    fused = convert(net, card, "int8", form=form, calibration=seen)
    logits = answer(net, seen)
    monkeypatch.setattr(
        module, "session_from_onnx", lambda payload, literal=False: opened(payload, literal=True)
    )
    assert not np.array_equal(answer(net, seen), logits)
    unfused = convert(net, card, "int8", form=form, calibration=seen)
    assert unfused.payload == fused.payload
    assert unfused.card == fused.card


def test_a_measured_accuracy_outlives_the_conversion(net: bytes) -> None:
    judged = labelled(net)
    card = replace(card_of(net), accuracy=0.9, accuracy_n=70)
    done = convert(net, card, "int8", calibration=pictures(64), photographs=judged)
    assert (done.card.accuracy, done.card.accuracy_n) == (0.9, 70)


def test_the_layer_that_the_energy_rests_on_stays_in_float(net: bytes) -> None:
    card = replace(card_of(net), energy_limit=-1.0, temperature=0.8)
    done = convert(net, card, "int8", calibration=pictures(64))
    assert "head stays in higher precision: the energy depends on it" in done.notes
    assert (done.card.energy_limit, done.card.temperature) == (-1.0, 0.8)
    assert 0.99 < done.int8_share < 1


def test_fp16_passes_its_gate_with_golden_frames_alone(net: bytes) -> None:
    done = convert(net, card_of(net), "fp16")
    assert done.gate.passed
    assert (done.gate.n, done.card.precision) == (0, "fp16")
    assert done.card.golden == card_of(net).golden


def test_the_layer_that_int8_cannot_hold_stays_in_float() -> None:
    hard = balanced(network(outlier=300))
    judged = labelled(hard)
    plain = int8_from_onnx(hard, scan(hard, pictures(64)).ranges("minmax"))
    assert not Gate(hard, card_of(hard), judged).judge(plain, "int8").passed
    done = convert(hard, card_of(hard), "int8", calibration=pictures(64), photographs=judged)
    assert done.gate.passed
    assert 0.8 <= done.int8_share < 1
    assert any(note.startswith("conv1 stays in higher precision") for note in done.notes)


def test_fp16_that_overflows_on_photographs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loud = balanced(network(peaks=(1, 1e6, 1e6, 1)))
    monkeypatch.setattr("edgecat_export.precision.fp16.LARGEST", np.inf)
    with pytest.raises(GateError, match="fp16 drifts beyond the limit"):
        convert(loud, card_of(loud), "fp16", photographs=labelled(loud))


def test_too_much_in_float_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hard = balanced(network(outlier=300))
    monkeypatch.setattr("edgecat_export.precision.conversion.INT8_SHARE", 0.99)
    with pytest.raises(GateError, match=r"even with \d layers in higher precision: FAIL"):
        convert(hard, card_of(hard), "int8", calibration=pictures(64), photographs=labelled(hard))


def test_dull_grey_pictures_are_refused(net: bytes) -> None:
    grey = pictures(64).mean(-1, keepdims=True).repeat(3, -1) * 0.2 + 100
    with pytest.raises(GateError, match="span .* of 255 pixel values"):
        convert(net, card_of(net), "int8", calibration=grey.astype(np.uint8))


@pytest.mark.parametrize(
    ("card", "precision", "sentence"),
    [
        ({}, "int8", "int8 needs photographs"),
        ({"precision": "fp16"}, "int8", "is already fp16"),
        ({"precision": "int8"}, "fp16", "is already int8"),
    ],
)
def test_what_cannot_be_converted_is_a_sentence(
    net: bytes, card: dict, precision: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        convert(net, replace(card_of(net), **card), precision)  # type: ignore[arg-type]
