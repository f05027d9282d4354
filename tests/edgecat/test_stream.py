"""Streamed shards: every picture once, each process its own shards, and on from anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat.curation.shards import write_shards
from edgecat.data import stream
from edgecat.data.batches import Batch
from edgecat.data.folder import scan
from edgecat.data.stream import ShardSet, find_shards
from edgecat.training import loader
from edgecat.training.loader import Loader
from edgecat_runtime.errors import UserError


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """37 pictures, each of one grey level of its own, in eight shards; 4 to validate on."""
    folder = tmp_path_factory.mktemp("levels")
    for i in range(41):
        split = "train" if i < 37 else "val"
        path = folder / "photos" / split / ("dog" if i % 2 else "cat") / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((36, 40, 3), 6 * i, np.uint8))
    write_shards(scan(folder / "photos"), folder / "shards", shard_size=5)
    return folder / "shards"


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    for path in shards.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_WINDOW", 7)


def _batches(shards: ShardSet, *, epoch: int = 0, start: int = 0, **options: Any) -> list[Batch]:
    return list(
        Loader(shards, **{"size": 32, "batch_size": 8, "seed": 3, **options}).batches(epoch, start)
    )


def _levels(batches: list[Batch]) -> list[int]:
    return [int(level) // 6 for batch in batches for level in batch.frames[:, 0, 0, 0]]


@pytest.mark.parametrize("processes", [1, 2, 3, 50])
def test_an_epoch_shows_every_picture_once(shards: Path, processes: int) -> None:
    training, validation = find_shards([shards])
    assert (len(training), len(validation), training.labels) == (37, 4, ("cat", "dog"))
    assert str(training) == "37 images, streamed from 8 shards"
    parts = [_batches(training, part=(rank, processes)) for rank in range(processes)]
    assert {len(part) for part in parts} == {5}
    levels = [level for part in parts for level in _levels(part)]
    assert sorted(levels) == list(range(37))
    assert levels != sorted(levels)
    labels = np.concatenate([batch.labels for part in parts for batch in part])
    assert labels.tolist() == [level % 2 for level in levels]


def test_on_from_any_batch(shards: Path) -> None:
    training, _ = find_shards([shards])
    for part in ((0, 1), (1, 2)):
        whole = _batches(training, epoch=2, part=part)
        for start in range(len(whole) + 1):
            assert _levels(_batches(training, epoch=2, start=start, part=part)) == _levels(
                whole[start:]
            )


def test_epochs_and_seeds_draw_other_shards_and_mix_them(shards: Path) -> None:
    training, _ = find_shards([shards])
    first, later, other = (
        set(_levels(_batches(training, **draw)[:1])) for draw in ({}, {"epoch": 1}, {"seed": 4})
    )
    assert max(len(first & later), len(first & other)) < 6  # of 8, from a window of 7
    one, _ = find_shards([shards / "train-000001.tar", shards / "val-000000.tar"])
    orders = [_levels(_batches(one, epoch=epoch)) for epoch in range(3)]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_each_process_opens_its_own_shards(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training, _ = find_shards([shards])
    opened: list[Path] = []

    def noted(path: Path, **options: Any) -> Any:
        opened.append(path)
        return scan(path, **options)

    monkeypatch.setattr(stream, "scan", noted)
    _batches(training, part=(0, 2))
    first, opened[:] = list(opened), []
    _batches(training, part=(1, 2))
    assert len(first) == len(set(first))
    assert len(set(first) & set(opened)) <= 1
    assert len(set(first) | set(opened)) == 8
    opened.clear()
    _batches(training, part=(0, 2), start=4)
    assert 1 <= len(opened) <= 3


def test_views_are_those_of_the_scanned_pictures(shards: Path) -> None:
    training, _ = find_shards([shards])
    scanned = [picture for picture in scan(shards).pictures if picture.split == "train"]
    numbered = training.reader(range(8)).read(0, 37)
    assert [picture for _, picture in numbered] == scanned
    turned = dict(training.reader([5, *range(5), 6, 7]).read(2, 30))
    assert turned == {number: scanned[number] for number in turned}


def test_shards_by_name(shards: Path) -> None:
    paths = [shards / "train-{000001..000002}.tar", shards / "val-000000.tar"]
    training, _ = find_shards(paths)
    assert [shard.name for shard in training.shards] == ["train-000001.tar", "train-000002.tar"]


def _index(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = folder / "index.json"
    index = json.loads(path.read_text())
    change(index["shardlist"])
    path.write_text(json.dumps(index))


def _name_a_class_stopped(folder: Path) -> None:
    path = folder / "classes.txt"
    path.write_text(path.read_text().replace("cat", "stopped"))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "index.json").unlink(), "cannot read .*index.json"),
        (lambda f: (f / "index.json").write_text("[]"), "cannot read .*index.json"),
        (lambda f: (f / "train-000003.tar").unlink(), "train-000003.tar is missing"),
        (lambda f: (f / "classes.txt").unlink(), "names no classes; expected the same"),
        (_name_a_class_stopped, "a class is named 'stopped'.* Rename it in classes.txt"),
        (lambda f: _index(f, lambda e: e.pop()), "no shards to validate on"),
        (lambda f: _index(f, lambda e: e.__delitem__(slice(8))), "no shards to train on"),
        (lambda f: _index(f, lambda e: e[2].update(nsamples=6)), "images; index.json says 6"),
    ],
)
def test_shards_that_cannot_be_streamed(
    copy: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    spoil(copy)
    with pytest.raises(UserError, match=sentence):
        _batches(find_shards([copy])[0])


def test_paths_that_are_none(copy: Path) -> None:
    (copy / "more.tar").write_bytes(b"")
    with pytest.raises(UserError, match=r"more.tar is not listed in .*index.json"):
        find_shards([copy / "more.tar"])
    with pytest.raises(UserError, match="none does not exist"):
        find_shards([copy / "none"])


def test_the_command(shards: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    network = ("--width", 0.05, "--size", 32, "--epochs", 1, "--threads", 1, "--device", "cpu")
    done = cli(
        *("train", shards, "--stream", "--augment-on", "device", "--json", "--name", "streamed"),
        *("--output", tmp_path, *network),
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["n"] == 4
    row = (tmp_path / "streamed" / "metrics.csv").read_text().splitlines()[1]
    assert row.startswith("1,")
    config = json.loads((tmp_path / "streamed" / "config.json").read_text())
    assert (config["stream"], config["augment_on"]) == (True, "device")
