"""ONNX Runtime where a device fails: no silent CPU, nothing on standard output."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from edgecat_runtime import DeviceError, UserError
from edgecat_runtime.backends import onnxruntime as module
from edgecat_runtime.backends.onnxruntime import OnnxRuntimeBackend

FRAMES = np.zeros((1, 32, 32, 3), np.uint8)


class Lost:
    """A native session whose device has gone."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        raise errors.EPFail("CUDA failure 999: unknown error")


@pytest.mark.parametrize(("device", "raised"), [("cpu", errors.EPFail), ("cuda", DeviceError)])
def test_a_device_that_fails_later_is_not_replaced_by_the_cpu(
    tiny_onnx: Path,
    capsys: pytest.CaptureFixture[str],
    device: str,
    raised: type[Exception],
) -> None:
    backend = OnnxRuntimeBackend(tiny_onnx)
    backend.device, backend._session._sess = device, Lost(backend._session._sess)
    for _ in range(2):
        with pytest.raises(raised, match="CUDA failure 999"):
            backend.infer(FRAMES)
    assert capsys.readouterr().out == ""


def test_its_threads_sleep_between_frames(tiny_onnx: Path) -> None:
    backend = OnnxRuntimeBackend(tiny_onnx, threads=4)
    worked = waited = 0.0
    for _ in range(20):
        backend.infer(FRAMES)
        processor, clock = time.process_time(), time.perf_counter()
        time.sleep(0.02)  # until a camera's next frame; threads that spin work all the while
        worked += time.process_time() - processor
        waited += time.perf_counter() - clock
    assert worked < 0.3 * waited


def test_what_the_gpu_libraries_print_stays_off_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded: list[bool] = []

    def preload_dlls() -> None:
        loaded.append(True)
        sys.stdout.write("Failed to load libcudnn.so.9\n")

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload_dlls, raising=False)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    module._preload.cache_clear()
    assert module.has_provider("cuda")
    assert module.has_provider("cuda")
    module._preload.cache_clear()
    assert loaded == [True], "once for each process"
    assert capsys.readouterr() == ("", "Failed to load libcudnn.so.9\n")


@pytest.mark.parametrize(
    ("error", "on_gpu"),
    [
        (errors.InvalidProtobuf("x"), UserError),
        (errors.InvalidGraph("x"), UserError),
        (errors.NoSuchFile("x"), UserError),
        (errors.EPFail("x"), DeviceError),
        (errors.Fail("CUDA failure 2: out of memory"), DeviceError),
        (RuntimeError("cudaErrorNoDevice"), DeviceError),
    ],
)
def test_who_is_at_fault_where_a_session_does_not_open(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, on_gpu: type[Exception]
) -> None:
    def session(*arguments: Any, **options: Any) -> Any:
        raise error

    ort = SimpleNamespace(SessionOptions=onnxruntime.SessionOptions, InferenceSession=session)
    monkeypatch.setattr(module, "_module", lambda device: ort)
    for device, raised in (("cpu", UserError), ("cuda", on_gpu)):
        with pytest.raises(raised, match="onnxruntime cannot open"):
            OnnxRuntimeBackend(tiny_onnx, device=device)
