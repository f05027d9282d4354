"""`benchmarks/gpu.py`, as far as it can be shown without a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from edgecat.models import architecture, build_model
from edgecat.models.backend import TorchBackend
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.models.cost import Cost, cost_of
from edgecat_export.graph.deployed import card_for_onnx, onnx_from_model
from edgecat_export.publish import save_onnx
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.nvidia.driver import Limits, driver

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def on_gpu() -> Any:
    """The modules of `benchmarks/on_gpu`, which lie beside the script."""
    from on_gpu import ceilings, measure, parts, report, session, suite, ways

    return SimpleNamespace(
        **vars(ceilings), measure=measure, parts=parts, report=report, session=session,
        suite=suite, ways=ways,
    )  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, ModelCard]:
    """A small network, and its card with golden logits."""
    torch.manual_seed(0)
    card = _card(0.02, head="gap", height=32, width=32)
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    save_checkpoint(path, build_model(card).eval(), card)
    return load_checkpoint(path)


def _card(factor: float = 1.0, **values: object) -> ModelCard:
    head = str(values.get("head", "dense"))
    layers = architecture("vgg16").widths(head=head, factor=factor)
    card = ModelCard("vgg16", ("cat", "dog"), 224, 224, layers=layers, head=head)
    return replace(card, **values)


def test_without_a_gpu_it_says_so_and_ends_with_4() -> None:
    if driver().devices:
        pytest.skip("there is a GPU here")
    ran = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (4, "")
    assert ran.stderr.count("\n") == 1
    assert "No working NVIDIA GPU" in ran.stderr


def test_the_cost_of_vgg16_is_the_published_one() -> None:
    cost = cost_of(_card(labels=tuple(map(str, range(1000)))))
    assert cost is not None
    assert cost.weights == 138_344_128  # 138,357,544 parameters, less 13,416 biases
    assert cost.macs == pytest.approx(15.47e9, rel=1e-3)
    assert cost_of(replace(_card(), layers=())) is None


@pytest.mark.parametrize("head", ["dense", "gap"])
def test_the_cost_is_that_of_the_module(head: str) -> None:
    card = _card(0.125, head=head, height=64, width=96)
    weights = [p.numel() for n, p in build_model(card).named_parameters() if n.endswith("weight")]
    cost = cost_of(card)
    assert cost is not None
    assert cost.weights == sum(weights)


CEILINGS = {"memory_gb_s": 1000.0, "fp32_tflop_s": 20.0, "fp16_tflop_s": 200.0}


@pytest.mark.parametrize(
    ("precision", "batch", "reading", "counting"),
    [
        ("fp32", 1, 4.0, 1.0),
        ("fp32", 8, 4.0, 8.0),
        ("fp16", 8, 2.0, 0.8),
        ("int8", 8, 1.0, 0.0),  # the rate is not known
    ],
)
def test_the_floor_is_the_larger_of_reading_and_counting(
    on_gpu: Any, precision: str, batch: int, reading: float, counting: float
) -> None:
    cost = Cost(weights=10**9, macs=10**10)
    floor = on_gpu.Ceilings("measured", **CEILINGS).floor(cost, precision, batch)
    assert (floor.reading_ms, floor.counting_ms) == pytest.approx((reading, counting))
    assert floor.ms == max(floor.reading_ms, floor.counting_ms)
    assert on_gpu.Ceilings("driver").floor(cost, precision, batch).ms == 0


@pytest.mark.parametrize(
    ("floor", "gpu", "latency", "share"),
    [(2.0, 4.0, 8.0, 0.5), (2.0, None, 8.0, 0.25), (0.0, 4.0, 8.0, None)],
)
def test_the_share_is_of_the_time_on_the_gpu(
    on_gpu: Any, floor: float, gpu: float | None, latency: float, share: float | None
) -> None:
    assert on_gpu.measure.share(floor, on_gpu.ways.Stages(gpu=gpu), latency) == share


def test_without_pytorch_on_the_gpu_the_driver_tells_the_ceilings(on_gpu: Any) -> None:
    if torch.cuda.is_available():
        pytest.skip("PyTorch measures them here")
    limits = Limits(bytes_per_s=1e12, fp32_per_s=1e13, fp16_per_s=1e14, int8_per_s=2e14)
    found = on_gpu.ceilings_of(torch.device("cuda"), limits)
    assert (found.source, found.memory_gb_s, found.up_gb_s) == ("driver", 1000.0, 0.0)
    assert (found.fp32_tflop_s, found.fp16_tflop_s, found.int8_tflop_s) == (20.0, 200.0, 400.0)
    assert on_gpu.ceilings_of(torch.device("cuda"), None) == on_gpu.Ceilings("driver")


def test_ceilings_are_measured(on_gpu: Any) -> None:
    found = on_gpu.ceilings_of(torch.device("cpu"), None, small=True)
    assert found.source == "measured"
    for name in ("memory_gb_s", "up_gb_s", "down_gb_s", "fp32_tflop_s", "bf16_tflop_s"):
        assert getattr(found, name) > 0, name


class Remembering:
    """A way that answers rightly and remembers what it was asked."""

    label, precision, device = "remembering", "fp32", "cpu"

    def __init__(self, infer: Any, off: float = 0.0) -> None:
        self.asked: list[bytes] = []
        self._infer, self._off, self.prepared = infer, off, 0

    def prepare(self, batch: int) -> None:
        self.prepared = batch

    def infer(self, frames: np.ndarray) -> np.ndarray:
        self.asked.append(frames.tobytes())
        return self._infer(frames) + np.float32(self._off)

    def stages(self) -> Any:
        return SimpleNamespace(up=None, gpu=None, down=None)


@pytest.mark.parametrize("batch", [1, 3])
def test_inputs_rotate_and_errors_are_relative_to_the_spread(
    on_gpu: Any, small: tuple[torch.nn.Module, ModelCard], batch: int
) -> None:
    infer = TorchBackend(*small).infer
    inputs = on_gpu.measure.Inputs(small[1], infer)
    options: Any = {"cost": None, "ceilings": on_gpu.Ceilings("driver"), "seconds": 0.0}
    way = Remembering(infer)
    row = on_gpu.measure.measured(way, batch, inputs, **options)
    assert (way.prepared, row.batch, row.n, row.share) == (batch, batch, 20, None)
    assert len(set(way.asked)) == on_gpu.measure.INPUTS
    assert all(one != two for one, two in zip(way.asked, way.asked[1:], strict=False))
    assert row.logit_error < 1e-4
    spread = np.ptp(infer(np.concatenate([inputs.batch(k, 1) for k in range(8)])))
    row = on_gpu.measure.measured(Remembering(infer, off=spread / 4), batch, inputs, **options)
    assert row.logit_error == pytest.approx(0.25, rel=1e-3)
    assert row.to_dict()["logit_error"] == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize("kind", ["eager", "channels last", "bound"])
def test_the_peers_answer_as_pytorch_does(
    on_gpu: Any, small: tuple[torch.nn.Module, ModelCard], tmp_path: Path, kind: str
) -> None:
    """On the CPU, where they are rehearsed; tests/gpu has them on a GPU."""
    (model, card), cpu = small, torch.device("cpu")
    if kind == "bound":
        path, deployed = tmp_path / "small.onnx", card_for_onnx(card)
        save_onnx(onnx_from_model(model, card), deployed, path)
        way = on_gpu.ways.Bound(kind, path, deployed, device=cpu)
    else:
        last = kind == "channels last"
        way = on_gpu.ways.Eager(kind, model, card, device=cpu, channels_last=last)
    inputs = on_gpu.measure.Inputs(card, TorchBackend(model, card).infer)
    for batch in (1, 3):
        way.prepare(batch)
        for number in range(3):
            logits = way.infer(inputs.batch(number, batch))
            assert logits.shape == (batch, 2)
            assert inputs.error(number, logits) < 1e-3
        assert way.stages().gpu > 0


def test_tests_are_counted_from_pytests_report(on_gpu: Any, tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 0\n"
        "@pytest.mark.skip(reason='no GPU')\ndef test_left(): pass\n"
    )
    xml = tmp_path / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir"]
    subprocess.run([*command, tmp_path, tmp_path, f"--junitxml={xml}"], capture_output=True)
    counts = on_gpu.suite.counted(xml)
    assert [counts[key] for key in ("passed", "skipped", "failed")] == [1, 1, 1]
    assert counts["names"][0].endswith("::test_bad")
    assert counts["reasons"] == ["no GPU"]


@pytest.fixture
def report(on_gpu: Any) -> Any:
    found = on_gpu.report.Report("NVIDIA Orin", "a board", "12.6", model="vgg16")
    found.asked = ("tests", "ceilings", "exports", "parity", "latency", "peers")
    found.photographs = "photographs"
    found.tests = {"passed": 3, "skipped": 0, "failed": 0}
    found.ceilings = asdict(on_gpu.Ceilings("measured", **CEILINGS))
    pair = {"candidate": "a.trt", "backend": "tensorrt", "device": "cuda", "n": 200}
    found.parity = [{**pair, "max_logit_error": 1e-3, "agreement": 1.0, "passed": True}]
    times = {"p50_ms": 1.5, "p99_ms": 2.5, "up_ms": 0.25, "gpu_ms": 1.25, "down_ms": 0.0625}
    row = {"way": "edgecat: a.trt", "precision": "fp16", "batch": 8, "fps": 123.4, **times}
    found.rows = [{**row, "floor_ms": 0.5, "share": 0.4, "logit_error": 1e-3}]
    found.left_out = ["b.trt: too old"]
    return found


def test_the_report_shows_every_figure(on_gpu: Any, report: Any, tmp_path: Path) -> None:
    path = report.save(tmp_path)
    assert path.name == "gpu-nvidia-orin.md"
    text = path.read_text()
    assert "| a.trt | tensorrt | cuda | 1.0e-03 | 100.00% | 200 | pass |" in text
    row = "| edgecat: a.trt | fp16 | 8 | 123 | 1.500 | 2.500 | 0.250 | 1.250 | 0.062 | 0.500 | 40% "
    assert row in text
    assert "memory 1000 GB/s, fp32 20.0, fp16 200" in text
    assert "- b.trt: too old" in text
    assert json.loads(path.with_suffix(".json").read_text())["rows"] == report.rows
    dash = {"up_ms": None, "gpu_ms": None, "down_ms": None, "share": None, "floor_ms": 0.0}
    assert "| - | - | - | - | - |" in on_gpu.report.markdown(
        replace(report, rows=[{**report.rows[0], **dash}])
    )


@pytest.mark.parametrize(
    ("changed", "failures"),
    [
        ({}, []),
        ({"tests": {}}, ["a test failed"]),
        ({"tests": {"failed": 1}}, ["a test failed"]),
        ({"parity": []}, ["no engine ran"]),
        ({"parity": [{"backend": "onnxruntime", "passed": True}]}, ["no engine ran"]),
        (
            {"parity": [{"backend": "tensorrt-rtx", "passed": False}]},
            ["a model does not match PyTorch"],
        ),
        ({"rows": []}, ["nothing was measured"]),
        ({"asked": ("ceilings", "peers"), "tests": {}, "parity": []}, []),
        ({"rehearsal": True, "parity": []}, []),
    ],
)
def test_what_fails_a_run(report: Any, changed: dict[str, Any], failures: list[str]) -> None:
    assert replace(report, **changed).failures == failures


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_rehearsal_goes_to_its_end(tmp_path: Path) -> None:
    ran = _run("--rehearse", "--seconds", 40, "--output", tmp_path, "--parts", "ceilings,peers")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads((tmp_path / "rehearsal.json").read_text())
    assert list(found["done"]) == ["ceilings", "peers"]
    assert {row["way"] for row in found["rows"]} >= {"PyTorch eager"}
    assert {row["batch"] for row in found["rows"]} == {1, 8}
    assert "all figures are meaningless" in (tmp_path / "rehearsal.md").read_text()


def test_without_time_every_part_is_left_out_and_said(tmp_path: Path) -> None:
    ran = _run("--rehearse", "--seconds", 1, "--output", tmp_path, "--parts", "parity,peers")
    assert ran.returncode == 3
    assert json.loads((tmp_path / "rehearsal.json").read_text())["left_out"] == [
        "parity: no time left",
        "peers: no time left",
    ]


def test_a_part_that_breaks_leaves_what_was_known(on_gpu: Any, tmp_path: Path) -> None:
    checkpoint = on_gpu.session.drawn_checkpoint("vgg16-tiny-64", tmp_path)
    found = on_gpu.report.Report("CPU", "this", "", rehearsal=True)
    options = (found, tmp_path, tmp_path, checkpoint, torch.device("cpu"), None, 10)
    session = on_gpu.session.Session(*options)
    with pytest.raises(ZeroDivisionError), session.timed("peers"):
        session.add({"way": "x", "batch": 1, "p50_ms": 1.0, "gpu_ms": None} | ROW)
        raise ZeroDivisionError
    written = json.loads((tmp_path / "rehearsal.json").read_text())
    assert (written["rows"][0]["way"], list(written["done"])) == ("x", ["peers"])


ROW = {"precision": "fp32", "fps": 1.0, "p99_ms": 1.0, "up_ms": None, "down_ms": None}
ROW |= {"floor_ms": 0.0, "share": None, "logit_error": 0.0}


def test_an_unknown_part_is_refused() -> None:
    ran = _run("--parts", "ceilings,cellars")
    assert ran.returncode == 2
    assert "expected some of tests, ceilings, exports" in ran.stderr
