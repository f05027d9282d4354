"""OpenVINO, ONNX Runtime's devices, and which backend `auto` takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecat_runtime import BackendMissing, Classifier, DeviceError, GateError, UserError
from edgecat_runtime.backends import available_backends, backend_entries, base
from edgecat_runtime.backends.onnxruntime import OnnxRuntimeBackend
from edgecat_runtime.model.golden import golden_frames


def test_openvino_gives_the_golden_logits_in_any_batch(tiny_onnx: Path) -> None:
    pytest.importorskip("openvino")
    with Classifier.open(tiny_onnx, backend="openvino") as classifier:
        assert (classifier.backend, classifier.device) == ("openvino", "cpu")
        frames = golden_frames(32, 32)
        golden = np.asarray(classifier.card.golden)
        np.testing.assert_allclose(classifier.infer(frames), golden, atol=1e-4)
        np.testing.assert_allclose(classifier.infer(frames[1:2]), golden[1:2], atol=1e-4)
        first = classifier.infer(frames[:1])
        classifier.infer(frames[1:2])
        np.testing.assert_allclose(first, golden[:1], atol=1e-4)  # not overwritten


def test_openvino_computes_in_float32(tiny_onnx: Path) -> None:
    pytest.importorskip("openvino")
    from edgecat_runtime.backends.openvino import OpenVINOBackend

    backend = OpenVINOBackend(tiny_onnx, threads=1)
    assert backend._model.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert backend._model.get_property("INFERENCE_NUM_THREADS") == 1
    backend.close()
    backend.close()


def test_openvino_refuses_what_is_no_model(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from edgecat_runtime.backends.openvino import OpenVINOBackend

    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"OpenVINO cannot open .*no\.onnx"):
        OpenVINOBackend(tmp_path / "no.onnx")


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_gpu_that_is_not_there_is_a_sentence(tiny_onnx: Path, device: str) -> None:
    import onnxruntime as ort

    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has GPU providers")
    with pytest.raises(BackendMissing, match=r"edgecat-runtime\[onnx-gpu\]"):
        Classifier.open(tiny_onnx, device=device)


def test_a_provider_that_falls_back_to_the_cpu_is_an_error(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime as ort

    known = ["CUDAExecutionProvider", *ort.get_available_providers()]
    monkeypatch.setattr(ort, "get_available_providers", lambda: known)
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)
    with (
        pytest.warns(UserWarning, match="provider"),
        pytest.raises(DeviceError, match="started CPUExecution"),
    ):
        OnnxRuntimeBackend(tiny_onnx, device="cuda")


def test_an_unknown_device_is_refused(tiny_onnx: Path) -> None:
    with pytest.raises(UserError, match="'tpu' is none that runs .* expected one of auto, cuda"):
        Classifier.open(tiny_onnx, device="tpu")
    with pytest.raises(UserError, match="with backend 'opencv'; expected one of auto, cpu"):
        Classifier.open(tiny_onnx, backend="opencv", device="cuda")


class Paced:
    """A backend that answers rightly, as fast as it is told."""

    def __init__(self, name: str, seconds: float, answer: np.ndarray, clock: list[float]) -> None:
        self.name = name
        self.closed = 0
        self._seconds, self._answer, self._clock = seconds, answer, clock

    def infer(self, frames: np.ndarray) -> np.ndarray:
        self._clock[0] += self._seconds
        return self._answer[: len(frames)]

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def paced(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Classifier, list[Paced]]]:
    """Open `auto` with backends of the given seconds a frame; a negative one answers wrongly."""

    def open_paced(*seconds: float) -> tuple[Classifier, list[Paced]]:
        with Classifier.open(tiny_onnx, backend="onnxruntime") as classifier:
            golden = np.asarray(classifier.card.golden, np.float32)
        clock = [0.0]
        made = [
            Paced(f"b{i}", abs(s), golden if s > 0 else -golden, clock)
            for i, s in enumerate(seconds)
        ]
        entry = backend_entries(tiny_onnx, name="onnxruntime", device="cpu")[0]
        registry = {
            (backend.name, "cpu"): replace(
                entry, name=backend.name, open=lambda path, card, threads, b=backend: b
            )
            for backend in made
        }
        monkeypatch.setattr(base, "_REGISTRY", registry)
        monkeypatch.setattr("edgecat_runtime.classifier.perf_counter", lambda: clock[0])
        return Classifier.open(tiny_onnx), made

    return open_paced


@pytest.mark.parametrize(
    ("seconds", "taken"),
    [
        ((1.0, 0.5, 2.0), "b1"),
        ((1.0, 0.9), "b0"),  # not enough to prefer it
        ((-0.1, 1.0), "b1"),  # fastest, and wrong
        ((3.0,), "b0"),
    ],
)
def test_auto_takes_the_fastest_that_passes(
    paced: Callable[..., tuple[Classifier, list[Paced]]], seconds: tuple[float, ...], taken: str
) -> None:
    classifier, made = paced(*seconds)
    assert classifier.backend == taken
    assert [backend.closed for backend in made] == [int(b.name != taken) for b in made]
    if len(seconds) > 1:
        assert classifier.choice.startswith(f"{taken} on cpu answers (b0 on cpu")
        assert classifier.choice.endswith("; a later one must take 20% less time)")
    assert ("refused" in classifier.choice) == (min(seconds) < 0)


def test_auto_with_none_that_passes_says_why(
    paced: Callable[..., tuple[Classifier, list[Paced]]],
) -> None:
    with pytest.raises(GateError, match="on b0 answers its golden frames"):
        paced(-1.0, -2.0)


def test_names_are_listed_once(tiny_onnx: Path) -> None:
    names = available_backends(tiny_onnx)
    assert len(names) == len(set(names))
    assert available_backends(tiny_onnx, device="tpu") == ()
