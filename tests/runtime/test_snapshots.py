from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.outputs.snapshots import Snapshots
from edgecat_runtime.pipeline import Pipeline

Answering = Callable[..., Answer]


def shot(index: int) -> np.ndarray:
    return np.full((48, 64, 3), 20 * index, np.uint8)


def take(snapshots: Snapshots, answer: Answering, *indices: int) -> None:
    for index in indices:
        given = answer(index, seconds=float(index), label=("cat", "dog")[index % 2])
        snapshots.write(given, shot(index))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_pictures_are_kept(answer: Answering, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "new" / "shots", limit=3)
    take(snapshots, answer, *range(6))
    assert names(tmp_path / "new" / "shots") == [
        "19700101T000003.000Z-0-3-dog.jpg",
        "19700101T000004.000Z-0-4-cat.jpg",
        "19700101T000005.000Z-0-5-dog.jpg",
    ]
    picture = cv2.imread(str(tmp_path / "new" / "shots" / "19700101T000004.000Z-0-4-cat.jpg"))
    assert picture.shape == (48, 64, 3)
    assert np.abs(picture.astype(int) - 80).max() <= 2, "the frame, without the overlay"


def test_earlier_runs_count_and_other_files_do_not(answer: Answering, tmp_path: Path) -> None:
    take(Snapshots(tmp_path), answer, 1, 2)
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    (tmp_path / ".hidden.jpg").write_bytes(b"hidden")
    (tmp_path / ".19700101T000003.000Z-0-3-dog.edgecat-tmp-x7_b1.jpg").write_bytes(b"torn")
    take(Snapshots(tmp_path, limit=2), answer, 4)
    assert names(tmp_path) == [
        ".hidden.jpg",
        "19700101T000002.000Z-0-2-cat.jpg",
        "19700101T000004.000Z-0-4-cat.jpg",
        "mine.jpg",
    ]


def test_a_picture_that_somebody_took_away_is_not_missed(answer: Answering, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, limit=1)
    take(snapshots, answer, 1)
    (tmp_path / names(tmp_path)[0]).unlink()
    take(snapshots, answer, 2, 3)
    assert names(tmp_path) == ["19700101T000003.000Z-0-3-dog.jpg"]


def test_any_label_makes_a_file_name(answer: Answering, tmp_path: Path) -> None:
    from dataclasses import replace

    given = answer(1)
    label = "../Kätzchen, «tabby» cat\0" + 200 * "x"
    given = replace(given, smoothed=replace(given.smoothed, label=label))
    Snapshots(tmp_path).write(given, shot(1))
    (name,) = names(tmp_path)
    assert name.startswith("19700101T000000.000Z-0-1-_Kätzchen_tabby_cat_xxx")
    assert len(name.encode()) < 120


def test_a_snapshot_is_written_at_every_change_only(
    scripted: Callable[..., Any], brightness: Callable[..., Any], tmp_path: Path
) -> None:
    frames = [np.full((48, 64, 3), level, np.uint8) for level in (10, 10, 240, 240, 240, 10)]
    with Camera(scripted(frames)) as camera:
        Pipeline(camera, brightness(), [Snapshots(tmp_path)], smooth=False).run()
    labels = [name.split("-", 2)[2] for name in names(tmp_path)]
    assert labels == ["0-dark.jpg", "2-bright.jpg", "5-dark.jpg"]


@pytest.mark.parametrize(
    ("place", "limit", "sentence"),
    [
        ("file", 5, "a parent of the path is a file"),
        ("file/shots", 5, "a parent of the path is a file"),
        ("shots", 0, "expected 1 or more files"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, place: str, limit: int, sentence: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=sentence):
        Snapshots(tmp_path / place, limit=limit)


def test_a_full_disk_leaves_whole_pictures_alone(answer: Answering, full_disk: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    snapshots = Snapshots(full_disk)
    with pytest.raises(UserError, match="the disk is full"):
        for index in range(100):
            snapshots.write(answer(index), noise)
    assert len(names(full_disk)) > 2
    assert all(cv2.imread(str(path)) is not None for path in full_disk.iterdir())
    assert not any(name.startswith(".") for name in names(full_disk))
