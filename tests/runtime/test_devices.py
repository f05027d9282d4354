"""`cuda:1` is GPU 1 wherever a device is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime import Classifier, ModelCard, UserError
from edgecat_runtime.backends import backend_entries, base, register_backend
from edgecat_runtime.backends import tensorrt as tensorrt_module
from edgecat_runtime.backends.base import available_backends, gpu_number, split_device
from edgecat_runtime.backends.onnxruntime import _providers
from edgecat_runtime.benchmark import measuring
from edgecat_runtime.nvidia.driver import Device, Driver, Limits


class Answering:
    name = "answering"

    def __init__(self, gpu: int) -> None:
        self.gpu = gpu

    def infer(self, frames: np.ndarray) -> np.ndarray:
        return np.full((len(frames), 2), self.gpu, np.float32)

    def close(self) -> None: ...


@pytest.fixture
def answering() -> Iterator[str]:
    """A backend for several GPUs, which answers with the number of the one that it was given."""

    def opener(path: Path, card: ModelCard, threads: int | None, *, gpu: int = 0) -> Answering:
        return Answering(gpu)

    register_backend("answering", (".onnx",), "numpy", opener, device="cuda", numbered=True)
    yield "answering"
    del base._REGISTRY["answering", "cuda"]


@pytest.mark.parametrize(("device", "gpu"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_numbered_device_is_that_gpu(
    answering: str, tiny_onnx: Path, device: str, gpu: int
) -> None:
    options: Any = {"backend": answering, "device": device, "verify": False}
    with Classifier.open(tiny_onnx, **options) as classifier:
        assert classifier.device == device
        assert classifier.infer(np.zeros((1, 32, 32, 3), np.uint8))[0, 0] == gpu


def test_opening_again_stays_on_the_gpu(answering: str, tiny_onnx: Path) -> None:
    classifier = Classifier.open(tiny_onnx, backend=answering, device="cuda:1", verify=False)
    assert classifier.opened_with is not None
    assert classifier.opened_with["device"] == "cuda:1"


@pytest.mark.parametrize("suffix", [".trt", ".rtx"])
def test_an_engine_is_opened_on_the_gpu_that_was_named(
    suffix: str, tiny_card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def backend(path: Path, card: ModelCard, *, flavour: str, device: int) -> None:
        seen.append(device)

    monkeypatch.setattr(tensorrt_module, "TensorRTBackend", backend)
    for device in ("cuda", "cuda:3"):
        (entry,) = backend_entries(f"model{suffix}", device=device)
        assert entry.device == device
        entry.open(Path(f"model{suffix}"), tiny_card, None)
    assert seen == [0, 3]


def test_onnx_runtimes_providers_get_the_number() -> None:
    assert _providers("cpu", 0) == [("CPUExecutionProvider", {})]
    cuda = ("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"})
    assert _providers("cuda", 1) == [cuda]
    assert _providers("tensorrt", 1) == [("TensorrtExecutionProvider", {"device_id": "1"}), cuda]


@pytest.mark.parametrize("device", ["cpu:1", "cuda:x", "cuda:-1", "cuda:", "cuda:1:2", ":1"])
def test_devices_that_cannot_be(device: str, tiny_onnx: Path) -> None:
    with pytest.raises(UserError, match=r"cannot run .*cuda \(or cuda:1, \.\.\.\)"):
        Classifier.open(tiny_onnx, device=device)
    assert available_backends(tiny_onnx, device=device) == ()


def test_a_backend_for_the_cpu_has_no_numbers(tiny_onnx: Path) -> None:
    with pytest.raises(UserError, match="with backend 'opencv'; expected one of auto, cpu"):
        Classifier.open(tiny_onnx, backend="opencv", device="cuda:1")


@pytest.mark.parametrize(
    ("device", "split", "number"),
    [("cpu", ("cpu", None), 0), ("cuda:12", ("cuda", 12), 12), ("cuda:x", ("cuda:x", None), 0)],
)
def test_a_device_is_a_kind_and_a_number(
    device: str, split: tuple[str, int | None], number: int
) -> None:
    assert split_device(device) == split
    assert gpu_number(device) == number


def test_the_benchmark_names_the_gpu_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = tuple(Device(name, 89, 1, Limits(1, 1, 1, 1)) for name in ("first", "second"))
    monkeypatch.setattr(measuring, "driver", lambda: Driver("13.0", gpus))
    assert measuring._device("cuda:1", None).startswith("cuda:1 (second")
    assert measuring._device("cuda", None).startswith("cuda (first")
    assert measuring._device("cuda:7", None) == "cuda:7 (None)"
