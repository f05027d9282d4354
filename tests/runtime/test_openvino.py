"""OpenVINO, and ONNX Runtime's devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgecat_runtime import BackendMissing, Classifier, DeviceError, UserError
from edgecat_runtime.backends import available_backends
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


def test_openvino_pins_no_thread_to_a_core(tiny_onnx: Path) -> None:
    pytest.importorskip("openvino")
    from edgecat_runtime.backends.openvino import OpenVINOBackend

    backend = OpenVINOBackend(tiny_onnx, threads=1)
    assert backend._model.get_property("ENABLE_CPU_PINNING") is False
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
    with pytest.raises(UserError, match="'tpu' cannot run .* expected one of auto, cuda"):
        Classifier.open(tiny_onnx, device="tpu")
    with pytest.raises(UserError, match="with backend 'opencv'; expected one of auto, cpu"):
        Classifier.open(tiny_onnx, backend="opencv", device="cuda")


def test_names_are_listed_once(tiny_onnx: Path) -> None:
    names = available_backends(tiny_onnx)
    assert len(names) == len(set(names))
    assert available_backends(tiny_onnx, device="tpu") == ()
