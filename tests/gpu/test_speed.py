"""The doctor and the benchmark, where there is a GPU to look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecat_runtime.doctor import diagnose
from edgecat_runtime.nvidia.driver import driver
from edgecat_runtime.nvidia.tensorrt import KINDS

pytestmark = pytest.mark.skipif(not driver().devices, reason="there is no NVIDIA GPU here")


def test_the_driver_tells_the_gpus_limits() -> None:
    (gpu, *_) = driver().devices
    assert gpu.name
    assert gpu.capability >= 70
    assert gpu.memory > 1e9
    assert gpu.limits.bytes_per_s > 2e10
    assert gpu.limits.fp16_per_s > gpu.limits.fp32_per_s > 1e11


def test_the_doctor_finds_the_gpu() -> None:
    found = {finding.name: finding for finding in diagnose()}
    assert driver().devices[0].name in found["GPU"].value
    assert found["NVIDIA driver"].ok
    assert found["CUDA runtime"].ok, found["CUDA runtime"]
    assert "GPU 0 copies a tensor" in found["CUDA runtime"].value
    assert found["serves"].ok
    torch = pytest.importorskip("torch", reason="needs torch")
    if torch.cuda.is_available():
        assert "GPU 0 computes" in found["torch"].value


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.title)
def test_an_engines_own_time_is_a_stage(
    cli: Callable[..., object], tiny_onnx: Path, tmp_path: Path, kind: object
) -> None:
    engine = tmp_path / f"tiny{kind.suffix}"
    built = cli("export", tiny_onnx, "--to", kind.target, "--output", engine)
    if not engine.is_file():
        pytest.skip(built.err.strip())
    ran = cli("benchmark", engine, "--seconds", 0.2, "--json")
    if "is not served by" in ran.err:
        pytest.skip(ran.err.strip())
    (row,) = json.loads(ran.out)
    assert row["backend"] == kind.backend
    assert row["device"].startswith("cuda (")
    assert 0 < row["stages_ms"]["gpu"] < row["stages_ms"]["infer"]
    assert row["memory_mb"] > 0
