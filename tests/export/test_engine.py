"""The real TensorRT-RTX builder: it parses and builds without a GPU."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecat_export.engine.builder import Build, EngineOptions
from edgecat_export.engine.errors import EngineError
from edgecat_export.engine.export import (
    engine_from_onnx,
    export_engine,
    rebuild_engine,
    save_engine,
)
from edgecat_export.engine.timings import cache_path, timing_folder
from edgecat_export.precision.fp16 import fp16_from_onnx
from edgecat_export.precision.int8 import int8_from_onnx
from edgecat_export.precision.prepare import prepared
from edgecat_export.precision.scan import scan
from edgecat_runtime import CardDamaged, CardError, GateError, ModelCard, UserError, read_card
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.artifact import seal_onnx
from edgecat_runtime.model.card import MAX_BYTES
from edgecat_runtime.model.engine_card import card_in_plan
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.nvidia.cuda import Gpu, open_gpu
from edgecat_runtime.nvidia.tensorrt import tensorrt

pytest.importorskip(
    "tensorrt_rtx_bindings", reason="needs TensorRT-RTX: pip install '.[tensorrt-rtx]'"
)
onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SIZE = 8
PIXELS = SIZE * SIZE * 3


def rtx(source: Path | bytes, card: ModelCard | None = None, **options: object) -> memoryview:
    return engine_from_onnx(
        source,
        card,
        flavour="tensorrt_rtx",
        options=EngineOptions(**options),  # type: ignore[arg-type]
    )


@pytest.fixture
def payload(tiny_onnx: Path) -> bytes:
    return tiny_onnx.read_bytes()[: read_card(tiny_onnx).payload_bytes]


def quantised(payload: bytes, card: ModelCard) -> bytes:
    payload = prepared(payload)
    ranges = scan(payload, golden_frames(card.height, card.width)).ranges("minmax")
    return fp16_from_onnx(int8_from_onnx(payload, ranges, form="tensorrt"))[0]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_precision_builds_with_a_dynamic_batch(
    precision: str, payload: bytes, tiny_card: ModelCard, tmp_path: Path
) -> None:
    convert: dict[str, Callable[[], bytes]] = {
        "fp32": lambda: payload,
        "fp16": lambda: fp16_from_onnx(payload)[0],
        "int8": lambda: quantised(payload, tiny_card),
    }
    card = replace(tiny_card, precision=precision)
    plan = rtx(convert[precision](), card, min_batch=1, opt_batch=2, max_batch=16)
    save_engine(plan, tmp_path / "tiny.rtx")
    found = read_card(tmp_path / "tiny.rtx")
    assert found == card_in_plan(plan)
    assert found.tools["tensorrt-rtx"] == tensorrt("tensorrt_rtx").version
    assert len(found.payload_sha256) == 64
    same = {"tools": {}, "golden": (), "payload_sha256": ""}
    assert replace(found, **same) == replace(card, **same)


def test_a_card_of_the_greatest_length_in_any_script_comes_back(
    payload: bytes, tiny_card: ModelCard
) -> None:
    card = replace(tiny_card, labels=("猫 ☃ Kätzchen", "собака"))
    found = card_in_plan(rtx(payload, card))
    assert found is not None
    tools = dict(found.tools)
    while (room := MAX_BYTES - len(replace(found, tools=tools).to_json().encode())) > 200:
        tools[f"tool {len(tools):03}"] = "ж" * 20
    tools[f"tool {len(tools) - 1:03}"] += "x" * room
    longest = replace(card, tools=tools)
    found = card_in_plan(rtx(payload, longest))
    assert found is not None
    assert len(found.to_json().encode()) == MAX_BYTES
    assert (found.labels, found.tools) == (longest.labels, tools)


def test_a_flipped_bit_and_a_third_cut_off_are_refused(tiny_onnx: Path, tmp_path: Path) -> None:
    plan, path = bytes(rtx(tiny_onnx)), tmp_path / "tiny.rtx"
    path.write_bytes(plan)
    assert read_card(path).payload_sha256
    for position in (0, len(plan) // 2, len(plan) - 1):
        changed = bytearray(plan)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CardDamaged, match="modified after it was written"):
            read_card(path)
    path.write_bytes(plan[: len(plan) * 2 // 3])
    with pytest.raises(CardDamaged, match="truncated"):
        read_card(path)


def test_the_hash_is_all_that_sealing_changes(tiny_onnx: Path) -> None:
    """TensorRT-RTX keeps no checksum: plans of two names differ in the name and nowhere else."""
    card = read_card(tiny_onnx)
    plans = [
        np.frombuffer(bytes(rtx(tiny_onnx, replace(card, architecture=name))), np.uint8)
        for name in ("net1", "net2")
    ]
    assert plans[0].size == plans[1].size
    changed = np.flatnonzero(plans[0] != plans[1])
    start = bytes(plans[0]).find(b'{"architecture":')
    end = bytes(plans[0]).find(b'"}', bytes(plans[0]).find(b',"digest":"'))
    assert start <= changed.min()
    assert changed.max() < end


def test_labels_that_do_not_fit_become_class_numbers(
    make_tiny: Callable[..., bytes], tiny_card: ModelCard, tmp_path: Path
) -> None:
    labels = tuple(f"Klasse {index} mit Umlaut ä" for index in range(300))
    source = tmp_path / "many.onnx"
    source.write_bytes(make_tiny(card=replace(tiny_card, labels=labels)))
    save_engine(rtx(source), tmp_path / "many.rtx")
    found = read_card(tmp_path / "many.rtx")
    assert found.labels == tuple(str(index) for index in range(300))
    assert found.with_labels(labels).labels == labels


def test_a_changed_card_is_refused(tiny_onnx: Path, tmp_path: Path) -> None:
    plan = bytes(rtx(tiny_onnx))
    cases = {
        "changed": (plan.replace(b'"cat"', b'"cow"'), CardDamaged, "damaged"),
        "bad utf-8": (plan.replace(b'"cat"', b'"c\xfft"'), CardDamaged, "damaged"),
        "none": (plan.replace(b'{"architecture"', b'{"architexture"'), CardError, "no model card"),
        "empty": (b"", CardError, "--to trt-rtx"),
    }
    for name, (data, error, match) in cases.items():
        path = tmp_path / f"{name}.rtx"
        path.write_bytes(data)
        with pytest.raises(error, match=match):
            read_card(path)


CAST = helper.make_node("Cast", ["frames"], ["float"], "cast", to=TensorProto.FLOAT)
FLAT = helper.make_node("Flatten", ["float"], ["flat"], "flat")
DENSE = helper.make_node("Gemm", ["flat", "w"], ["logits"], "dense")
W = numpy_helper.from_array(np.ones((PIXELS, 2), np.float32), "w")
SCALE = numpy_helper.from_array(np.float32(0.1), "s")


def graph(*nodes: object, constants: tuple[object, ...] = (W,), **changes: object) -> bytes:
    shape = changes.get("shape", ["batch", SIZE, SIZE, 3])
    model = helper.make_model(
        helper.make_graph(
            list(nodes),
            "g",
            [helper.make_tensor_value_info("frames", TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], 2])],  # type: ignore[index]
            list(constants),
        ),
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("acme", 1)],
        ir_version=10,
    )
    return model.SerializeToString()  # type: ignore[no-any-return]


def through_qdq(kind: type, zero: int) -> bytes:
    point = numpy_helper.from_array(np.array(zero, kind), "z")
    quantise = helper.make_node("QuantizeLinear", ["float", "s", "z"], ["q"], "quantise")
    restore = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["restored"], "restore")
    flat = helper.make_node("Flatten", ["restored"], ["flat"])
    return graph(CAST, quantise, restore, flat, DENSE, constants=(W, SCALE, point))


def with_operator(operator: str, domain: str = "") -> bytes:
    return graph(
        CAST, FLAT, helper.make_node(operator, ["flat"], ["y"], "odd", domain=domain), DENSE
    )


def with_int32_bias() -> bytes:
    bias = numpy_helper.from_array(np.array([1, 2], np.int32), "b")
    restore = helper.make_node("DequantizeLinear", ["b", "s"], ["bias"], "bias_dq")
    dense = helper.make_node("Gemm", ["flat", "w", "bias"], ["logits"], "dense")
    return graph(CAST, FLAT, restore, dense, constants=(W, SCALE, bias))


WRONG = {
    "unknown operator": (with_operator("Wobble", "acme"), r"node 2 \(Wobble 'odd'\).*unknown"),
    "unsupported": (
        with_operator("Unique"),
        r"node 2 \(Unique 'odd'\).*not supported.*onnxruntime",
    ),
    "uint8 moved": (
        graph(helper.make_node("Flatten", ["frames"], ["x"], "early"), DENSE),
        r"node 0 \(Flatten 'early'\).*uint8.*Cast the frames",
    ),
    "asymmetric": (through_qdq(np.int8, 3), r"'quantise'.*zero point.*--precision int8"),
    "silently int8": (through_qdq(np.uint8, 0), "quantised to uint8.*--precision int8"),
    "int32 bias": (with_int32_bias(), r"'bias_dq'.*int32.*--precision int8"),
    "mixed floats": (
        graph(
            CAST,
            FLAT,
            DENSE,
            constants=(numpy_helper.from_array(np.ones((PIXELS, 2), np.float16), "w"),),
        ),
        r"'dense'.*mixes float types.*--precision fp16",
    ),
    "dangling": (graph(CAST, DENSE), r"'dense'.*one of its inputs is not produced"),
    "wrong shape": (
        graph(
            CAST,
            FLAT,
            DENSE,
            constants=(numpy_helper.from_array(np.ones((7, 2), np.float32), "w"),),
        ),
        r"'dense'.*192.*7.*must match",
    ),
    "fixed batch": (graph(CAST, FLAT, DENSE, shape=[1, SIZE, SIZE, 3]), "fixed batch of 1"),
    "free size": (graph(CAST, FLAT, DENSE, shape=["n", "h", "w", 3]), "expected one input, uint8"),
    "cut off": (graph(CAST, FLAT, DENSE)[:-100], "damaged or truncated.*Copy the file again"),
    "nothing": (b"", "no input or no output"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_built_is_explained(name: str, tiny_card: ModelCard) -> None:
    payload, message = WRONG[name]
    with pytest.raises(EngineError, match=f"(?s){message}"):
        rtx(payload, replace(tiny_card, height=SIZE, width=SIZE))


def test_a_fixed_batch_builds_when_asked_for(tiny_card: ModelCard) -> None:
    payload = graph(CAST, FLAT, DENSE, shape=[2, SIZE, SIZE, 3])
    card = replace(tiny_card, height=SIZE, width=SIZE)
    assert rtx(payload, card, min_batch=2, opt_batch=2, max_batch=2).nbytes


@pytest.mark.parametrize(
    "options", [{"min_batch": 0}, {"opt_batch": 9}, {"max_batch": 0}, {"workspace": 0}]
)
def test_options_that_cannot_be(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="expected"):
        EngineOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"version_compatible": True}, {"hardware_compatible": True}, {"workspace": 1 << 28}]
)
def test_options_that_need_no_gpu(options: dict[str, object], tiny_onnx: Path) -> None:
    assert card_in_plan(rtx(tiny_onnx, **options)) is not None


@pytest.mark.parametrize("option", ["refit", "strip"])
def test_options_that_need_a_gpu_say_so(option: str, tiny_onnx: Path) -> None:
    try:
        open_gpu()
    except EdgecatError:
        with pytest.raises(EngineError, match=f"needs a GPU to build with {option}"):
            rtx(tiny_onnx, **{option: True})
    else:
        assert rtx(tiny_onnx, **{option: True}).nbytes


def test_an_engine_can_be_recorded_as_a_cuda_graph(tiny_card: ModelCard) -> None:
    api = tensorrt("tensorrt_rtx")
    builder = api.trt.Builder(api.logger)
    config = builder.create_builder_config()
    flag = api.trt.BuilderFlag.REQUIRE_USER_ALLOCATION
    assert not config.get_flag(flag)
    Build(api, None, EngineOptions(), None, "tiny")._configure(config, tiny_card)
    assert config.get_flag(flag)


def test_progress_is_told_and_may_stop_the_build(tiny_onnx: Path) -> None:
    told: list[str] = []
    engine_from_onnx(tiny_onnx, flavour="tensorrt_rtx", progress=told.append)
    assert len(told) > 10
    assert all(line.rpartition(" ")[2].count("/") == 1 for line in told)
    with pytest.raises(ZeroDivisionError):
        engine_from_onnx(tiny_onnx, flavour="tensorrt_rtx", progress=lambda _: 1 // 0)  # type: ignore[arg-type]


def test_ctrl_c_cancels_the_build(tiny_onnx: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)

    def interrupt(_: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        engine_from_onnx(tiny_onnx, flavour="tensorrt_rtx", progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is handler


def test_export_gates_by_the_onnx_file(tiny_onnx: Path, tmp_path: Path) -> None:
    report = export_engine(tiny_onnx, tmp_path / "tiny.rtx", flavour="tensorrt_rtx")
    assert report.onnx is not None
    assert report.onnx.passed
    assert (report.engine is None) == bool(report.unrun)
    assert report.bytes == (tmp_path / "tiny.rtx").stat().st_size
    assert ("not run" in str(report)) == (report.engine is None)


def test_export_writes_nothing_that_answers_differently(
    make_tiny: Callable[..., bytes], tiny_onnx: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(make_tiny(negate=True))
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(tiny_onnx.read_bytes()[: read_card(tiny_onnx).payload_bytes])
    cases = [
        (wrong, "wrong.rtx", GateError, "no engine was built"),
        (bare, "bare.rtx", CardError, "no model card"),
        (tiny_onnx, "tiny.trt", UserError, r"does not end in \.rtx"),
        (tmp_path / "absent.onnx", "absent.rtx", CardError, "does not exist"),
        (tmp_path / "photo.jpg", "photo.rtx", CardError, "not an ONNX file"),
        (tiny_onnx, "bare.onnx/tiny.rtx", UserError, "parent of the path is a file"),
    ]
    before = sorted(tmp_path.iterdir())
    for source, output, error, match in cases:
        with pytest.raises(error, match=match):
            export_engine(source, tmp_path / output, flavour="tensorrt_rtx")
    assert sorted(tmp_path.iterdir()) == before


def test_rebuilding_from_the_onnx_file_beside(
    tiny_onnx: Path, make_tiny: Callable[..., bytes], tiny_card: ModelCard, tmp_path: Path
) -> None:
    source, engine = tmp_path / "tiny.onnx", tmp_path / "tiny.rtx"
    source.write_bytes(tiny_onnx.read_bytes())
    export_engine(source, engine, flavour="tensorrt_rtx")
    assert rebuild_engine(engine).path == str(engine)
    source.write_bytes(make_tiny(card=replace(tiny_card, checkpoint_sha256="0" * 64)))
    with pytest.raises(UserError, match="checkpoint 000000000000"):
        rebuild_engine(engine)
    source.unlink()
    with pytest.raises(UserError, match="tiny.onnx, which is not next to it"):
        rebuild_engine(engine)


def test_sealed_bytes_and_a_card_build_too(payload: bytes, tiny_card: ModelCard) -> None:
    assert rtx(seal_onnx(payload, tiny_card), tiny_card).nbytes
    with pytest.raises(UserError, match="has no card"):
        rtx(payload)


def test_timings_are_kept_for_each_version_and_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECAT_CACHE", str(tmp_path))
    api = tensorrt("tensorrt_rtx")
    gpus = [Gpu(0, "Orin (nvgpu)", 87), Gpu(0, "Orin (nvgpu)", 89), Gpu(0, "Thor", 87)]
    paths = {cache_path(timing_folder(), api, gpu) for gpu in gpus}
    assert len(paths) == 3
    assert all(api.version in path.name for path in paths)
    assert {path.parent for path in paths} == {tmp_path / "timing"}
