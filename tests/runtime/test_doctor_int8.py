"""What the doctor says of int8: the processor's instructions, and what each backend answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from edgecat_runtime.backends import available_backends, base
from edgecat_runtime.doctor.int8 import check_int8
from edgecat_runtime.doctor.probes import in_child, run_int8
from edgecat_runtime.doctor.tiny import int8_graph, int8_logits
from edgecat_runtime.system import machine

FRAMES = np.full((2, 4, 4, 3), 255, np.uint8)
INSTRUMENT = Path(__file__).with_name("saturating.py")


@pytest.fixture
def instrument() -> Any:
    spec = spec_from_file_location("saturating", INSTRUMENT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def registered(
    instrument: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., None]:
    """Let some of the instrument's backends be known, here and in children; `only` those."""

    def register(*names: str, only: bool = False) -> None:
        monkeypatch.setattr(base, "_REGISTRY", {} if only else dict(base._REGISTRY))
        instrument.register(*names)
        (tmp_path / "sitecustomize.py").write_text(
            "import importlib.util as util\n"
            f"spec = util.spec_from_file_location('saturating', {str(INSTRUMENT)!r})\n"
            "spec.loader.exec_module(util.module_from_spec(spec))\n"
        )
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        monkeypatch.setenv("PYTHONPATH", path.strip(os.pathsep))
        monkeypatch.setenv("SATURATING", " ".join(names))

    return register


@pytest.mark.parametrize("weight", [1, 63, 64, 127])
def test_the_int8_graph_is_whole_and_its_answer_exact(weight: int) -> None:
    model = onnx.load_from_string(int8_graph(weight))
    onnx.checker.check_model(model, full_check=True)
    assert int8_logits(weight) == (255, -255, 0)
    model.opset_import[0].version = 19  # the oldest whose Q/DQ the evaluator knows
    evaluator = ReferenceEvaluator(model)  # in float, whatever the processor
    (logits,) = evaluator.run(None, {"frames": FRAMES})
    assert np.allclose(logits, int8_logits(weight), atol=1e-3)


def test_onnx_runtime_runs_it_in_int8(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(int8_graph(63), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("QLinearConv") == 2
    assert "MatMulIntegerToFloat" in kinds
    assert not {"Conv", "MatMul"} & set(kinds)


@pytest.mark.parametrize("name", available_backends("model.onnx"))
def test_every_backend_here_is_right_with_the_weights_that_edgecat_writes(name: str) -> None:
    seven, _ = in_child("run_int8", name, "auto")
    assert seven


@pytest.mark.parametrize(
    ("weight", "limit", "right"),
    [
        (63, 32767, True),
        (64, 32767, True),
        (65, 32767, False),
        (127, 32767, False),
        (31, 16383, True),
        (63, 16383, False),
    ],
)
def test_it_reveals_saturation(
    instrument: Any, tmp_path: Path, weight: int, limit: int, right: bool
) -> None:
    (tmp_path / "int8.onnx").write_bytes(int8_graph(weight))
    logits = instrument.Saturating(tmp_path / "int8.onnx", "x", limit).infer(FRAMES)
    assert logits.shape == (2, 3)
    assert bool(np.abs(logits - int8_logits(weight)).max() < 0.5) is right


def test_a_backend_that_saturates_is_a_note(registered: Callable[..., None]) -> None:
    registered("saturating")
    assert run_int8("saturating", "cpu") == [True, False]
    found = check_int8()
    assert (found.ok, found.fix) == (True, "")
    assert "onnxruntime" in found.value.split("correct with ")[1].split(";")[0]
    assert "8-bit weights saturate on " in found.value
    assert "saturating here" in found.value


def test_a_backend_that_is_wrong_with_7_bits_is_a_fault(registered: Callable[..., None]) -> None:
    registered("saturating", "broken", only=True)
    found = check_int8()
    assert not found.ok
    assert found.value.endswith(
        "correct with saturating; wrong with broken; 8-bit weights saturate on saturating here"
    )
    assert found.fix == "Serve int8 models with saturating, as auto does"
    registered("broken", only=True)
    assert check_int8().fix == "Serve models in fp16 or fp32: edgecat export --precision fp16"


def test_a_backend_that_takes_no_int8_graph_is_named(
    registered: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    registered("saturating", only=True)
    monkeypatch.setenv("SATURATING", "")  # in the child it is not known
    found = check_int8()
    assert not found.ok
    assert "saturating cannot run it (backend 'saturating' cannot open" in found.value


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("sse2 avx2 avx512_vnni", "VNNI"),
        ("sse2 avx2", "AVX2 without VNNI"),
        ("sse2", "no int8 instructions"),
        ("", "int8 instructions unknown on this system"),
    ],
)
def test_the_processors_path_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    registered: Callable[..., None],
    flags: str,
    said: str,
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    registered("saturating", only=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"flags\t: {flags}\n")
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert check_int8().value.startswith(f"{said}; correct with saturating; ")


def test_without_a_backend_it_says_what_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {
        key: replace(entry, module="no_such_library") for key, entry in base._REGISTRY.items()
    }
    monkeypatch.setattr(base, "_REGISTRY", missing)
    found = check_int8()
    assert found.ok
    assert ";" not in found.value
