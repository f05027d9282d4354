"""Training on a GPU: which one, what its state holds, what a step waits for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from edgecat.data.batches import Batch  # noqa: E402
from edgecat.data.folder import scan, split  # noqa: E402
from edgecat.models.checkpoint import load_checkpoint  # noqa: E402
from edgecat.pets.synthetic import write_pets  # noqa: E402
from edgecat.training.assembly import assemble  # noqa: E402
from edgecat.training.augment import Augmentation  # noqa: E402
from edgecat.training.cache import fill_cache  # noqa: E402
from edgecat.training.config import TrainConfig  # noqa: E402
from edgecat.training.device_augment import on_device  # noqa: E402
from edgecat.training.loader import Loader  # noqa: E402
from edgecat.training.loop import train  # noqa: E402
from edgecat.training.state import load_state, save_state  # noqa: E402
from edgecat.training.watcher import Watcher  # noqa: E402
from train_check import synchronisations  # noqa: E402

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="PyTorch has no CUDA GPU here"
)
two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pets")
    write_pets(folder, 64, 1, 80)
    return folder


@pytest.fixture
def config(pets: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        data=(str(pets),),
        output=str(tmp_path),
        name="run",
        device="cuda",
        width=0.125,
        size=64,
        epochs=2,
        batch_size=16,
        ema=0.9,
        val=0.2,
        seed=1,
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_learns(config: TrainConfig, precision: str) -> None:
    result = train(replace(config, precision=precision, epochs=4))
    first, last = result.history[0].train_loss, result.history[-1].train_loss
    assert np.isfinite(last)
    assert last < first
    model, _ = load_checkpoint(result.checkpoint)
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


@pytest.mark.parametrize("size", [64, 96])
def test_augmentation_on_the_gpu_is_that_of_the_cpu(pets: Path, size: int) -> None:
    pictures, _ = split(scan([pets]), val=0.2, seed=1)
    here, there = (
        Loader(
            pictures,
            size,
            16,
            1,
            augmentation=Augmentation(),
            workers=2,
            on_device=flag,
            pinned=flag,
        ).batches(0)
        for flag in (False, True)
    )
    for one, two in zip(here, there, strict=True):
        frames, labels = on_device(two, torch.device("cuda"))
        np.testing.assert_array_equal(labels.cpu().numpy(), one.labels)
        apart = np.abs(frames.cpu().numpy().astype(int) - one.frames.astype(int))
        assert apart.max() <= 2


@pytest.mark.parametrize("size", [32, 64])
def test_cached_images_are_cropped_on_the_gpu_as_on_the_cpu(pets: Path, size: int) -> None:
    pictures, _ = split(scan([pets]), val=0.2, seed=1)
    here = Loader(pictures, size, 16, 1, augmentation=Augmentation())
    cuda = torch.device("cuda")
    memory = fill_cache(pictures, workers=2, pinned=True)
    for cache in (memory, memory.to(cuda)):
        there = replace(here, cache=cache, on_device=True)
        for one, two in zip(here.batches(0), there.batches(0), strict=True):
            frames, labels = on_device(two, cuda)
            np.testing.assert_array_equal(labels.cpu().numpy(), one.labels)
            apart = np.abs(frames.cpu().numpy().astype(int) - one.frames.astype(int))
            assert apart.max() <= 2


@pytest.mark.parametrize("cache", ["memory", "device"])
def test_a_cached_run_learns(config: TrainConfig, cache: str) -> None:
    result = train(replace(config, cache=cache, epochs=4))
    assert result.history[-1].train_loss < result.history[0].train_loss


def test_normalising_waits_for_nothing(config: TrainConfig) -> None:
    """`input_from_frames` copied its constants in every step, and each copy waited."""
    config = replace(config, precision="fp32")
    trainer = assemble(config, watcher=Watcher(), rate=lambda update: 1e-3)
    trainer.learner.model.train()
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (16, 64, 64, 3), np.uint8)
    batch = Batch(frames, random.integers(0, 2, 16).astype(np.int64))
    for _ in range(3):
        trainer.step(batch)
    torch.cuda.synchronize()
    waits = synchronisations(lambda: trainer.step(batch))
    assert not [w for w in waits if Path(w.filename).name == "frames.py"]


def test_the_state_brings_the_gpus_generator_back(config: TrainConfig, tmp_path: Path) -> None:
    _check_generator(config, tmp_path, torch.device("cuda:0"))


@two_gpus
def test_the_state_brings_the_second_gpus_generator_back(
    config: TrainConfig, tmp_path: Path
) -> None:
    _check_generator(config, tmp_path, torch.device("cuda:1"))


def _check_generator(config: TrainConfig, folder: Path, device: torch.device) -> None:
    trainer = assemble(replace(config, device=str(device)), watcher=Watcher())
    learner = trainer.learner
    arguments = (learner.modules, learner.optimizer, learner.scaler)
    torch.rand(7, device=device)
    save_state(folder / "state", trainer.state, *arguments, device=device)
    expected = torch.rand(7, device=device)
    torch.cuda.manual_seed_all(99)
    load_state(folder / "state", *arguments, device=device)
    assert torch.equal(torch.rand(7, device=device), expected)


@two_gpus
def test_training_on_the_second_gpu_leaves_the_first_alone(config: TrainConfig) -> None:
    torch.cuda.reset_peak_memory_stats(0)
    before = torch.cuda.memory_allocated(0)
    result = train(replace(config, device="cuda:1"))
    assert result.history
    assert torch.cuda.max_memory_allocated(0) == before
    assert torch.cuda.current_device() == 0
