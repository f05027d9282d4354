"""`benchmarks/gpu.py`, as far as it can be shown without a GPU."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from edgecat.models import architecture, build_model
from edgecat.models import cost as cost_module
from edgecat.models.cost import Cost, cost_of
from edgecat_runtime.benchmark.measuring import Result
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.nvidia.driver import Limits, driver

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_gpu", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


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
    assert "no NVIDIA GPU" in ran.stderr


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


def test_fractions_are_of_the_gpus_own_time(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost_module, "cost_of", lambda card: Cost(weights=10**9, macs=10**10))
    limits = Limits(bytes_per_s=1e12, fp32_per_s=1e13, fp16_per_s=1e14, int8_per_s=0.0)
    stages = {"preprocess": 1.0, "infer": 20.0, "gpu": 10.0}
    latency = {"mean": 20.0, "p50": 20.0, "p90": 20.0, "p99": 20.0}
    result = Result("m", "b", "cuda (x)", "fp16", 8, 9, 400.0, latency, stages, 9, 1.0)
    table = [
        (result, "fp16", {"of_bandwidth": 0.2, "of_arithmetic": 0.08}),
        (replace(result, stages_ms={}), "fp16", {"of_bandwidth": 0.1, "of_arithmetic": 0.04}),
        (result, "fp32", {"of_bandwidth": 0.4, "of_arithmetic": 0.8}),
        (result, "int8", {"of_bandwidth": 0.1, "of_arithmetic": None}),
        (replace(result, device="cpu (x)"), "fp16", {"of_bandwidth": None, "of_arithmetic": None}),
    ]
    for measured, precision, expected in table:
        card = replace(_card(), precision=precision)
        assert gpu.fractions(measured, card, limits) == pytest.approx(expected)


def test_tests_are_counted_from_pytests_report(gpu: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 0\n"
        "@pytest.mark.skip(reason='no GPU')\ndef test_left(): pass\n"
    )
    xml = tmp_path / "tests.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        tmp_path,
    ]
    subprocess.run([*command, tmp_path, f"--junitxml={xml}"], capture_output=True)
    counts = gpu.counted(xml)
    assert {key: counts[key] for key in ("passed", "skipped", "failed")} == {
        "passed": 1,
        "skipped": 1,
        "failed": 1,
    }
    assert counts["names"][0].endswith("::test_bad")
    assert counts["reasons"] == ["no GPU"]


def test_the_report_shows_every_figure(gpu: ModuleType) -> None:
    report = gpu.Report("Orin", "a board", "12.6", model="vgg16", pictures="photographs")
    report.tests = {"passed": 3, "skipped": 0, "failed": 0}
    pair = {"candidate": "a.trt", "backend": "tensorrt", "device": "cuda", "n": 200}
    report.parity = [{**pair, "max_logit_error": 1e-3, "agreement": 1.0, "passed": True}]
    row = {"model": "x/a.trt", "backend": "tensorrt", "device": "cuda (Orin)", "batch": 8}
    row |= {"fps": 123.4, "latency_ms": {"p50": 1.5, "p99": 2.5}, "stages_ms": {"gpu": 1.25}}
    report.latency = [{**row, "of_bandwidth": 0.5, "of_arithmetic": None}]
    report.left_out = ["b.trt: too old"]
    assert report.passed
    text = gpu.markdown(report)
    assert "| a.trt | tensorrt | cuda | 1.0e-03 | 100.00% | 200 | pass |" in text
    assert "| a.trt | tensorrt | cuda | 8 | 123 | 1.50 | 2.50 | 1.25 | 50% | - |" in text
    assert "- b.trt: too old" in text
    for broken in (
        {"parity": [{**report.parity[0], "passed": False}]},
        {"tests": {"failed": 1}},
        {"tests": {}},
    ):
        assert not replace(report, **broken).passed
