"""Cached images: the same batches, decoded once, and a sentence where they do not fit."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgecat.data.batches import Batch
from edgecat.data.folder import ImageSet, scan
from edgecat.training import cache as cache_module
from edgecat.training.augment import Augmentation
from edgecat.training.cache import fill_cache, free_memory, size_in_header
from edgecat.training.config import TrainConfig
from edgecat.training.device_augment import on_device
from edgecat.training.distributed import filled
from edgecat.training.interruption import Interrupted
from edgecat.training.loader import CachedBatch, Loader
from edgecat.training.loop import train
from edgecat.training.run_folder import read_config
from edgecat.training.watcher import Watcher
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import decode_image

CPU = torch.device("cpu")
SIZES = [(40, 60), (200, 200), (500, 90), (31, 33), (700, 900), (64, 64), (1, 1), (65, 129)]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Images of many sizes and kinds, and two that cannot be decoded."""
    folder, random = tmp_path_factory.mktemp("cached"), np.random.default_rng(0)
    for i, size in enumerate(SIZES * 2):
        suffix = ("png", "jpg", "webp", "bmp")[i % 4]
        path = folder / ("dog" if i % 3 else "cat") / f"{i:02}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        small = random.integers(0, 256, (7, 9, 3), np.uint8)
        cv2.imwrite(str(path), cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC))
    cv2.imwrite(str(folder / "cat" / "grey.png"), random.integers(0, 256, (50, 40), np.uint8))
    whole = cv2.imencode(".jpg", random.integers(0, 256, (80, 80, 3), np.uint8))[1].tobytes()
    (folder / "cat" / "torn.jpg").write_bytes(whole[:500])
    (folder / "dog" / "text.png").write_text("not an image")
    return scan([folder])


def _batches(images: ImageSet, **options: object) -> list[Batch]:
    values = {"size": 32, "batch_size": 8, "seed": 3, "augmentation": Augmentation(), **options}
    return list(Loader(images, **values).batches(1))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("augmentation", [Augmentation(), None], ids=["augmented", "plain"])
def test_cached_batches_are_those_of_the_files(
    images: ImageSet, version: int, augmentation: Augmentation | None
) -> None:
    options = {"version": version, "augmentation": augmentation}
    cache = fill_cache(images, workers=2)
    assert str(cache).startswith("17 decoded images, 0.0")
    for one, two in zip(
        _batches(images, **options), _batches(images, cache=cache, **options), strict=True
    ):
        assert one.frames.tobytes() == two.frames.tobytes()
        assert one.labels.tolist() == two.labels.tolist()
        assert sorted(one.skipped) == sorted(two.skipped)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("size", [32, 48])
def test_the_device_crops_cached_images_as_threads_do(
    images: ImageSet, version: int, size: int
) -> None:
    options = {"version": version, "size": size}
    cache = fill_cache(images, workers=2)
    here = _batches(images, **options)
    there = _batches(images, cache=cache, on_device=True, **options)
    for one, two in zip(here, there, strict=True):
        assert isinstance(two, CachedBatch)
        frames, labels = on_device(two, CPU)
        assert labels.tolist() == one.labels.tolist()
        assert sorted(one.skipped) == sorted(two.skipped)
        far = np.abs(frames.numpy().astype(int) - one.frames)
        assert far.max() <= 2
        assert far.mean() < 0.5


def test_a_part_of_a_batch_is_filled(images: ImageSet) -> None:
    cache = fill_cache(images, workers=2)
    (batch, *_) = _batches(images, cache=cache, on_device=True, batch_size=2, part=(0, 2))
    whole = filled(batch, 32)
    frames, labels = on_device(whole, CPU)
    assert (len(labels), frames.shape) == (2, (2, 32, 32, 3))
    if len(batch.labels) == 1:
        assert torch.equal(frames[0], frames[1])


def test_sizes_are_read_from_headers() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 70, 3), np.uint8)
    for suffix, options in (
        (".png", []),
        (".jpg", []),
        (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 5, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
    ):
        data = cv2.imencode(suffix, image, options)[1].tobytes()
        assert size_in_header(data) == decode_image(data, "x").shape[:2] == (48, 70)
    assert size_in_header(cv2.imencode(".bmp", image)[1].tobytes()) is None
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    assert size_in_header(jpeg[:100]) is None
    assert size_in_header(b"\xff\xd8" + b"\xff" * 40) is None
    assert size_in_header(b"") is None


def test_images_that_do_not_fit_are_refused_before_they_are_decoded(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 3 * sum(h * w for h, w in [*SIZES, *SIZES, (50, 40), (80, 80)])
    filled_up: list[int] = []
    prefetched = cache_module.prefetched

    def noted(function: object, items: object, **options: object) -> object:
        filled_up.append(1)
        return prefetched(function, items, **options)

    monkeypatch.setattr(cache_module, "prefetched", noted)
    monkeypatch.setattr(cache_module, "free_memory", lambda: needed)
    sentence = r"--cache needs 0\.0 GB of memory for 19 decoded images, but .* Leave out --cache"
    with pytest.raises(UserError, match=sentence):
        fill_cache(images, workers=1)
    assert len(filled_up) == 1, "only the headers were read"
    monkeypatch.setattr(cache_module, "free_memory", lambda: needed * 10 // 9 + 9)
    assert fill_cache(images, workers=1).pixels.numel() == needed
    with pytest.raises(UserError, match="--cache needs"):
        fill_cache(images, workers=1, processes=2)
    monkeypatch.setattr(cache_module, "free_memory", lambda: None)
    assert fill_cache(images, workers=1).pixels.numel() == needed


def test_images_that_do_not_fit_on_a_gpu_are_refused(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = fill_cache(images, workers=1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (cache.pixels.numel(), 9))
    with pytest.raises(UserError, match="--cache needs .* of GPU memory for 19 decoded images"):
        cache.to(torch.device("cuda"))


def test_an_image_unlike_its_header_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        cv2.imwrite(str(tmp_path / label / "x.png"), np.zeros((8, 9, 3), np.uint8))
    monkeypatch.setattr(cache_module, "size_in_header", lambda data: (8, 10))
    with pytest.raises(UserError, match="is 9 x 8 pixels, unlike its header"):
        fill_cache(scan(tmp_path), workers=1)


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:   5000 kB\n"}, 5_120_000),
        ({"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n"}, None),
        (
            {
                "proc/meminfo": "MemAvailable: 5000 kB\n",
                "sys/fs/cgroup/memory.max": "2000000\n",
                "sys/fs/cgroup/memory.current": "1500000\n",
                "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 300000\n",
            },
            800_000,
        ),
        (
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "7000",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "3000",
                "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 500\n",
            },
            4500,
        ),
    ],
    ids=["unknown", "machine", "no limit", "container", "old container"],
)
def test_free_memory(tmp_path: Path, files: dict[str, str], free: int | None) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert free_memory(tmp_path) == free


class CtrlC(Watcher):
    """Presses Ctrl-C after some steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def stepped(self, images: int, loss: Callable[[], float]) -> None:
        self.steps -= 1
        if not self.steps:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("kind", ["memory", "device"])
def test_a_cached_run_gives_the_same_bytes(config: TrainConfig, kind: str) -> None:
    config = replace(config, epochs=2, ema=0.5)
    plain = train(replace(config, name="plain"))
    cached = train(replace(config, name="cached", cache=kind))
    assert cached.checkpoint.read_bytes() == plain.checkpoint.read_bytes()
    assert cached.evaluation.loss == plain.evaluation.loss
    assert read_config(cached.folder).cache == kind


@pytest.mark.parametrize("where", ["cpu", "device"])
def test_a_cached_run_is_resumed_bit_for_bit(config: TrainConfig, where: str) -> None:
    config = replace(config, epochs=2, cache="memory", augment_on=where)
    whole = train(replace(config, name="whole"))
    with pytest.raises(Interrupted) as caught:
        train(config, watcher=CtrlC(7))
    folder = caught.value.folder
    resumed = train(read_config(folder), resume=folder)
    assert resumed.checkpoint.read_bytes() == whole.checkpoint.read_bytes()


def test_streamed_shards_are_never_cached() -> None:
    with pytest.raises(UserError, match="--stream never holds all images, and --cache does"):
        TrainConfig(data=("x",), stream=True, cache="memory")
