"""Captured images: class folders, log, bursts, and what a kill or a full disk leaves."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.teach import store as module
from edgecat_runtime.loop.teach.bursts import bursts_of, held_out
from edgecat_runtime.loop.teach.captures import file_name, number_of, time_of
from edgecat_runtime.loop.teach.store import NONE, Store

IMAGE = np.full((40, 60, 3), 90, np.uint8)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [1_769_860_800.0]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    return now


def fill(store: Store, label: str, bursts: tuple[int, ...], clock: list[float]) -> None:
    for count in bursts:
        clock[0] += 60
        for _ in range(count):
            clock[0] += 0.2
            store.add(IMAGE, label, source="camera 0")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], []),
        ([5.0], [0]),
        ([0, 1, 2, 3], [0, 0, 0, 0]),
        ([0, 2.0, 4.1], [0, 0, 1]),
        ([100, 0, 0.5, 50], [2, 0, 0, 1]),
    ],
)
def test_a_burst_ends_with_a_pause(times: list[float], expected: list[int]) -> None:
    assert bursts_of(times) == expected


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((10,), set()),
        ((10, 10), {1}),
        ((4, 10), {0}),  # the latest would leave less than half
        ((4, 10, 3), {0, 2}),
        ((10, 4), {1}),
        ((10, 10, 1), {1}),
        ((20, 1, 1, 1, 1, 1), {1, 2, 3, 4, 5}),
        ((5, 5, 5, 5, 5), {4}),
    ],
)
def test_the_latest_bursts_are_held_out_whole(sizes: tuple[int, ...], expected: set[int]) -> None:
    bursts = [number for number, size in enumerate(sizes) for _ in range(size)]
    assert held_out(bursts) == expected


def test_a_name_says_number_and_time(tmp_path: Path) -> None:
    name = file_name(12, 1_769_860_800.125)
    assert (name, number_of(name)) == ("0012-20260131T120000.125Z.jpg", 12)
    assert time_of(tmp_path / name) == pytest.approx(1_769_860_800.125)
    (tmp_path / "holiday.jpg").touch()
    os.utime(tmp_path / "holiday.jpg", (5, 5))
    assert (number_of("holiday.jpg"), time_of(tmp_path / "holiday.jpg")) == (0, 5)


def test_images_lie_in_class_folders_and_are_found_again(
    tmp_path: Path, clock: list[float]
) -> None:
    store = Store(tmp_path / "photos")
    assert not (tmp_path / "photos").exists()
    store.add_class("mug")
    store.add_class(NONE)
    store.add_class("bottle")
    fill(store, "mug", (3,), clock)
    store.add(IMAGE, "bottle", source="file me.jpg")
    assert store.classes == ("mug", "bottle", NONE)
    again = Store(tmp_path / "photos")
    assert again.classes == store.classes
    assert again.captures() == store.captures()
    assert [one.source for one in again.captures()] == ["camera 0"] * 3 + ["file me.jpg"]
    assert [number_of(one.file) for one in again.captures()] == [1, 2, 3, 4]
    assert again.add(IMAGE, "mug", source="").file.startswith("0005-")
    log = (tmp_path / "photos" / ".edgecat" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in log].count("captured") == 5


def test_images_are_moved_and_deleted(tmp_path: Path, clock: list[float]) -> None:
    store = Store(tmp_path)
    store.add_class("mug")
    store.add_class("bottle")
    fill(store, "mug", (2,), clock)
    one, other = [each.key for each in store.captures()]
    store.move([one, "mug/gone.jpg"], "bottle")
    store.delete([other, other])
    (left,) = store.captures()
    assert (left.label, left.source) == ("bottle", "camera 0")
    assert [path.name for path in tmp_path.rglob("*.jpg")] == [left.file]
    assert Store(tmp_path).captures() == [left]
    with pytest.raises(UserError, match="no image"):
        store.path(other)
    with pytest.raises(UserError, match="has 1 images. Delete or move"):
        store.remove_class("bottle")
    store.remove_class("mug")
    assert (store.classes, Store(tmp_path).classes) == (("bottle",), ("bottle",))


def test_no_image_replaces_another(tmp_path: Path) -> None:
    for label in ("mug", "bottle"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.jpg").write_bytes(label.encode())
    store = Store(tmp_path)
    store.move(["mug/1.jpg"], "bottle")
    contents = {path.name: path.read_bytes() for path in (tmp_path / "bottle").iterdir()}
    assert contents == {"1.jpg": b"bottle", "1-2.jpg": b"mug"}


def test_frames_of_one_burst_are_never_on_both_sides(tmp_path: Path, clock: list[float]) -> None:
    from edgecat.data.folder import scan, split

    store = Store(tmp_path)
    for label in ("mug", "bottle"):
        store.add_class(label)
        fill(store, label, (6,), clock)
    store.divide()
    assert not any(one.held for one in store.captures())  # one burst each: none to spare
    fill(store, "mug", (5, 4), clock)
    store.divide()
    assert not any(one.held for one in store.captures())  # a bottle would be judged by nothing
    fill(store, "bottle", (4,), clock)
    store.divide()
    training, validation = split(scan(tmp_path))
    assert training.counts() == {"bottle": 6, "mug": 11}
    assert validation.counts() == {"bottle": 4, "mug": 4}
    held = {one.file for one in store.captures() if one.held}
    assert held == {Path(one.name).name for one in validation.pictures}
    assert Store(tmp_path).captures() == store.captures()


def test_what_others_divided_stays(tmp_path: Path) -> None:
    for folder in ("mug", "val/mug", "bottle", "val/bottle"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"{folder[:3]}.jpg").write_bytes(b"1")
    store = Store(tmp_path)
    store.divide()
    assert sorted(one.held for one in store.captures()) == [False, False, True, True]
    assert (tmp_path / "val" / "mug" / "val.jpg").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../mug", "single path component"),
        ("a/b", "single path component"),
        ("", "is empty"),
        (".hidden", "cannot name a folder"),
        ("a:b", "cannot name a folder"),
        ("unsure", "reserved"),
        ("val", "stands for a split"),
        ("x" * 300, "expected at most 255"),
        ("a\nb", "control character"),
    ],
)
def test_a_class_is_one_folder(tmp_path: Path, name: str, why: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(UserError, match=why):
        store.add_class(name)
    assert store.classes == ()


def test_one_class_has_one_spelling(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert [store.add_class(name) for name in ("Mug", " mug ", "e\u0301", "\u00e9")] == [
        *("Mug", "Mug"),
        *("\u00e9", "\u00e9"),
    ]
    for number in range(8):
        store.add_class(f"class {number}")
    with pytest.raises(UserError, match="there are 10 classes, the maximum"):
        store.add_class("one more")
    assert store.add_class(NONE) == NONE


def test_near_duplicates_are_told_and_kept(tmp_path: Path) -> None:
    class SameMean:
        def print(self, image: Any) -> float:
            return float(image.mean())

        def alike(self, one: float, others: Any) -> bool:
            return one in others

    store = Store(tmp_path, likeness=SameMean())
    store.add_class("mug")
    marks = [store.add(IMAGE + shift, "mug", source="").alike for shift in (0, 0, 9)]
    assert marks == [False, True, False]
    assert [one.alike for one in Store(tmp_path).captures()] == marks


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.add_class("mug")

    def full(path: Any, data: Any) -> None:
        from edgecat_runtime.system.atomic import write_error

        raise write_error(path, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(module, "atomic_write", full)
    with pytest.raises(UserError, match=r"cannot write .*: the disk is full\. Free some space"):
        store.add(IMAGE, "mug", source="")
    assert store.captures() == []


_CAPTURES = """
import sys, numpy as np
from pathlib import Path
from edgecat_runtime.loop.teach.store import Store
store = Store(Path(sys.argv[1])); store.add_class("mug")
image = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
while True:
    print(store.add(image, "mug", source="camera").file, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_kill_loses_no_capture(tmp_path: Path) -> None:
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _CAPTURES, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(15)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().split()
        process.wait()
        found = {one.file for one in Store(tmp_path).captures()}
        assert set(told) <= found
        import cv2

        assert all(cv2.imread(str(path)) is not None for path in tmp_path.rglob("*.jpg"))
