"""The loader: every picture once, in a drawn order, the same with any number of threads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecat.data.batches import Batch, prefetched, served_batches
from edgecat.data.folder import ImageSet, scan
from edgecat.training import loader
from edgecat.training.augment import Augmentation
from edgecat.training.loader import Loader, Waited
from edgecat_runtime.model.preprocess import preprocess


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Seventeen pictures, each of one grey level of its own, and two that are none."""
    folder = tmp_path_factory.mktemp("levels")
    for i in range(17):
        path = folder / ("dog" if i % 2 else "cat") / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((36, 48, 3), 10 * i, np.uint8))
    (folder / "cat" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    (folder / "dog" / "text.png").write_text("no picture")
    return scan([folder])


def _loader(pictures: ImageSet, **options: object) -> Loader:
    return Loader(pictures, **{"size": 32, "batch_size": 8, "seed": 3, **options})


def _same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x.frames, y.frames) and np.array_equal(x.labels, y.labels)
        for x, y in zip(a, b, strict=True)
    )


def test_an_epoch_shows_every_picture_once(pictures: ImageSet) -> None:
    batches = list(_loader(pictures).batches(0))
    frames = np.concatenate([batch.frames for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    levels = frames[:, 0, 0, 0] // 10
    assert sorted(levels) == list(range(17))
    assert np.array_equal(labels, levels % 2)
    assert frames.dtype == np.uint8
    assert labels.dtype == np.int64


def test_pictures_that_are_none_are_named_and_left_out(pictures: ImageSet) -> None:
    skipped = sum((batch.skipped for batch in _loader(pictures).batches(0)), ())
    assert len(skipped) == 2
    assert any("torn.jpg" in sentence for sentence in skipped)
    assert any("text.png" in sentence for sentence in skipped)


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(64, [19]), (19, [19]), (18, [10, 9]), (8, [7, 6, 6]), (2, [2] * 9 + [1])],
)
def test_batches_are_even(pictures: ImageSet, batch_size: int, sizes: list[int]) -> None:
    loader = _loader(pictures, batch_size=batch_size)
    found = [len(batch.labels) + len(batch.skipped) for batch in loader.batches(0)]
    assert found == sizes
    assert loader.steps == len(sizes)


@pytest.mark.parametrize(("batch_size", "processes"), [(64, 1), (8, 1), (6, 2), (8, 3), (2, 1)])
def test_batches_for_a_compiled_model_are_all_of_one_size(
    pictures: ImageSet, batch_size: int, processes: int
) -> None:
    parts = [
        _loader(pictures, batch_size=batch_size, even=True, part=(rank, processes))
        for rank in range(processes)
    ]
    batches = [list(part._chosen(1, 0)) for part in parts]
    assert {len(part) for part in batches} == {parts[0].steps}
    assert len({len(batch) for part in batches for batch in part}) == 1
    seen = [number for part in batches for batch in part for number, _ in batch]
    assert set(seen) == set(range(19))
    assert len(seen) < 19 + parts[0].steps * processes
    assert list(parts[0]._chosen(1, 1)) == batches[0][1:]


def test_threads_and_interruptions_change_nothing(pictures: ImageSet) -> None:
    whole = list(_loader(pictures, augmentation=Augmentation()).batches(2))
    assert _same(list(_loader(pictures, augmentation=Augmentation(), workers=5).batches(2)), whole)
    assert _same(
        list(_loader(pictures, augmentation=Augmentation()).batches(2, start=1)), whole[1:]
    )


def test_seeds_and_epochs_change_order_and_views(pictures: ImageSet) -> None:
    first = list(_loader(pictures, augmentation=Augmentation()).batches(0))
    assert not _same(list(_loader(pictures, augmentation=Augmentation()).batches(1)), first)
    assert not _same(list(_loader(pictures, augmentation=Augmentation(), seed=4).batches(0)), first)


def test_served_batches_keep_order_and_preprocess(pictures: ImageSet) -> None:
    def prepare(frame: np.ndarray) -> np.ndarray:
        return preprocess(frame, 40, 32, "letterbox")

    batches = list(served_batches(pictures, prepare, batch_size=4))
    frames = np.concatenate([batch.frames for batch in batches])
    assert frames.shape == (17, 40, 32, 3)
    levels = frames[:, 20, 16, 0] // 10
    assert levels.tolist() == [*range(0, 17, 2), *range(1, 17, 2)]


def test_little_is_made_ahead() -> None:
    made: list[int] = []
    results = prefetched(lambda i: made.append(i) or i, itertools.count(), workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(made) < 12
    results.close()


def test_errors_reach_the_caller_and_threads_end() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(prefetched(lambda i: 1 // (3 - i), range(100), workers=2))
    assert threading.active_count() == before


def test_a_set_without_one_picture_gives_empty_batches(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "x.jpg").write_text("no")
    (batch,) = _loader(scan([tmp_path])).batches(0)
    assert len(batch.frames) == len(batch.labels) == 0
    assert len(batch.skipped) == 2


def test_waiting_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 7.0

    def slowly() -> Iterator[int]:
        nonlocal now
        for item in range(3):
            now += 0.25
            yield item

    monkeypatch.setattr(loader, "perf_counter", lambda: now)
    items = Waited(slowly())
    assert [next(items), next(items)] == [0, 1]
    now += 5
    assert items.seconds == 0.5
    assert list(items) == [2]
    assert items.seconds == 0.75
