"""`--device cuda:1` reaches everything that computes; the state is that GPU's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

import edgecat.models.backend  # noqa: F401  (registers itself)
from edgecat.models import architecture, build_model
from edgecat.models.checkpoint import save_checkpoint
from edgecat.models.devices import choose_device, selected
from edgecat.pets.synthetic import write_pets
from edgecat.training.optim import make_optimizer
from edgecat.training.state import RunState, load_state, save_state
from edgecat.workflows.targets import candidate_targets
from edgecat_export.engine.builder import EngineOptions
from edgecat_export.engine.export import engine_from_onnx
from edgecat_runtime import Classifier, DeviceError, UserError
from edgecat_runtime.backends import backend_entries
from edgecat_runtime.nvidia.driver import driver

without_gpu = pytest.mark.skipif(bool(driver().devices), reason="there is a GPU here")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("devices") / "vgg16.safetensors"
    card = architecture("vgg16").card(("cat", "dog"), size=32, head="gap", factor=0.05)
    save_checkpoint(path, build_model(card), card)
    return path


def test_the_state_is_that_of_the_jobs_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which generator is asked, on any machine; tests/gpu has two real ones."""
    model, asked = nn.Linear(2, 2), list[object]()
    optimizer, scaler = make_optimizer(model, "sgd", lr=0.1, weight_decay=0.0), GradScaler("cpu")
    drawn = torch.arange(16, dtype=torch.uint8)

    def get_rng_state(device: object) -> torch.Tensor:
        asked.append(device)
        return drawn

    def set_rng_state(state: torch.Tensor, device: object) -> None:
        assert torch.equal(state, drawn)
        asked.append(device)

    monkeypatch.setattr(torch.cuda, "get_rng_state", get_rng_state)
    monkeypatch.setattr(torch.cuda, "set_rng_state", set_rng_state)
    second, cpu = torch.device("cuda:1"), torch.device("cpu")
    path, models = tmp_path / "resume.state", {"model": model}
    save_state(path, RunState("x"), models, optimizer, scaler, device=second)
    load_state(path, models, optimizer, scaler, device=second)
    assert asked == [second, second]
    load_state(path, models, optimizer, scaler, device=cpu)
    save_state(path, RunState("x"), models, optimizer, scaler, device=cpu)
    assert asked == [second, second], "a run on the CPU leaves the GPUs alone"


def test_a_gpu_is_the_current_one_meanwhile() -> None:
    with selected(torch.device("cpu")):
        pass
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    with selected(torch.device("cuda:1")):
        assert torch.cuda.current_device() == 1
    assert torch.cuda.current_device() == 0


@without_gpu
def test_what_pytorch_computes_is_asked_for_the_gpu_that_was_named(
    cli: Callable[..., object], checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(DeviceError, match="device cuda:1 is not usable on this machine"):
        choose_device("cuda:1")
    with pytest.raises(DeviceError, match="device cuda:1 is not usable on this machine"):
        Classifier.open(checkpoint, device="cuda:1")
    write_pets(tmp_path / "pets", 8, 1, 40)
    picture = next((tmp_path / "pets").rglob("*.jpg"))
    for arguments in (
        ("train", tmp_path / "pets", "--width", 0.05, "--size", 32, "--output", tmp_path / "runs"),
        ("explain", picture, "--engine", checkpoint, "--output", tmp_path / "why"),
        ("classify", picture, "--engine", checkpoint),
        ("benchmark", checkpoint),
    ):
        ran = cli(*arguments, "--device", "cuda:1")
        assert ran.code == 4, ran
        assert "device cuda:1 is not usable on this machine" in ran.err


@without_gpu
def test_an_engine_is_built_on_the_gpu_that_was_named(
    cli: Callable[..., object], tiny_onnx: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="needs TensorRT-RTX")
    engine = tmp_path / "tiny.rtx"
    with pytest.raises(DeviceError, match="no NVIDIA"):
        engine_from_onnx(tiny_onnx, flavour="tensorrt_rtx", options=EngineOptions(gpu=1))
    ran = cli("export", tiny_onnx, "--to", "trt-rtx", "--device", "cuda:1", "--output", engine)
    assert (ran.code, engine.exists()) == (4, False)
    ran = cli("export", tiny_onnx, "--to", "trt-rtx", "--device", "cpu", "--output", engine)
    assert ran.code == 1
    assert "--device is 'cpu'; expected auto, cuda, cuda:1" in ran.err


def test_threads_share_a_checkpoint_until_it_is_closed(checkpoint: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    with Classifier.open(checkpoint, device="cpu", threads=1) as classifier:
        expected = [classifier.infer(frame[None]) for frame in frames]
        with ThreadPoolExecutor(3) as pool:
            chosen = [k % len(frames) for k in range(120)]
            found = pool.map(lambda k: classifier.infer(frames[k : k + 1]), chosen)
            for k, logits in zip(chosen, found, strict=True):
                np.testing.assert_allclose(logits, expected[k], atol=1e-6)
        assert classifier.infer(frames[:0]).shape == (0, 2)
        backend = classifier._backend
    for use in (classifier.infer, backend.infer):
        with pytest.raises(UserError, match="was closed"):
            use(frames)


def test_verify_can_name_one_of_several_gpus(
    checkpoint: Path,
) -> None:
    (target,) = candidate_targets(checkpoint, ["pytorch:cuda:1"])
    assert (target.backend, target.device, target.title) == ("pytorch", "cuda:1", "pytorch:cuda:1")
    (entry,) = backend_entries(checkpoint, name="pytorch", device="cuda:1")
    assert entry.device == "cuda:1"
