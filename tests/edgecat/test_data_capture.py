from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat.curation.gather import BLURRED, Album, Every, blur_effect, gather
from edgecat.pets.synthetic import synthetic_pets
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import Frame
from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.errors import DeviceError
from edgecat_runtime.types import Image


@pytest.fixture(scope="module")
def scenes() -> list[Image]:
    """Eight sharp pictures of other things each."""
    return list(synthetic_pets(8, seed=4, size=160)[0])


class Film(Source):
    """A live source that shows given pictures and then is lost, or ends."""

    live = True
    reopens = False

    def __init__(self, images: list[Image], *, lost: bool = False) -> None:
        self.name = "film"
        self._images = iter(images)
        self._lost = lost

    def read(self) -> Shot | None:
        time.sleep(0.02)
        image = next(self._images, None)
        if image is None and self._lost:
            raise DeviceError("film stopped delivering frames. Was it unplugged?")
        return None if image is None else Shot(image)


def always(frame: Frame, album: Album) -> bool:
    return True


def test_the_blur_effect_grows_with_blur(scenes: list[Image]) -> None:
    for image in scenes:
        moved = cv2.filter2D(image, -1, np.full((1, 15), 1 / 15))
        soft = [cv2.GaussianBlur(image, (0, 0), s) for s in (1, 2, 4)]
        values = [blur_effect(each) for each in (image, *soft)]
        assert values == sorted(values)
        assert values[0] < BLURRED < min(values[-1], blur_effect(moved))
    assert blur_effect(np.full((50, 50, 3), 9, np.uint8)) == 1


def test_an_album_takes_each_scene_once(scenes: list[Image], tmp_path: Path) -> None:
    album = Album(tmp_path, "pet")
    brighter = cv2.convertScaleAbs(scenes[0], alpha=1, beta=10)
    offered = [*scenes[:3], scenes[1], brighter, cv2.GaussianBlur(scenes[4], (0, 0), 5)]
    said = [album.offer(image) for image in offered]
    assert said == ["taken", "taken", "taken", "alike", "alike", "blurred"]
    files = sorted((tmp_path / "pet").iterdir())
    assert len(files) == album.taken == 3
    assert cv2.imread(str(files[0])).shape == scenes[0].shape
    assert str(album) == f"{tmp_path / 'pet'}: kept 3; skipped 2 duplicates and 1 blurred"


def test_a_second_album_goes_on_and_overwrites_nothing(scenes: list[Image], tmp_path: Path) -> None:
    first = Album(tmp_path, "pet")
    first.offer(scenes[0])
    before = {p: p.read_bytes() for p in (tmp_path / "pet").iterdir()}
    (tmp_path / "pet" / "broken.jpg").write_bytes(b"broken")
    second = Album(tmp_path, "pet")
    assert [second.offer(image) for image in scenes[:2]] == ["alike", "taken"]
    assert len(list((tmp_path / "pet").iterdir())) == 3
    assert all(path.read_bytes() == data for path, data in before.items())


@pytest.mark.parametrize(
    ("every", "indices"),
    [
        (Every(0.5, fps=10), [0, 5, 10, 15]),
        (Every(0, fps=10), list(range(20))),
        (Every(0.5), [0, 3, 6, 9, 12, 15, 18]),  # live: 0.2 s apart by the clock
        (Every(9, fps=2, stills=True), list(range(20))),
    ],
    ids=["a video", "all", "live", "stills"],
)
def test_when_a_picture_is_due(every: Every, indices: list[int], tmp_path: Path) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    frames = [Frame(image, i, captured=5 + i * 0.2, time=0.0) for i in range(20)]
    assert [f.index for f in frames if every(f, Album(tmp_path, "x"))] == indices


def test_ends_with_enough(scenes: list[Image], tmp_path: Path) -> None:
    album = Album(tmp_path, "pet")
    with Camera.open(Film(scenes)) as camera:
        gather(camera, album, always, count=2)
    assert album.taken == 2


def test_a_lost_camera_is_an_error_and_keeps_what_was_taken(
    scenes: list[Image], tmp_path: Path
) -> None:
    album = Album(tmp_path, "pet")
    with Camera.open(Film(scenes[:2], lost=True)) as camera, pytest.raises(DeviceError):
        gather(camera, album, always)
    assert 1 <= album.taken <= 2


def test_the_command_reads_a_video(
    cli: Callable[..., Any], scenes: list[Image], tmp_path: Path
) -> None:
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 160))
    for image in scenes[:4]:
        for _ in range(10):
            writer.write(image)
    writer.release()
    ran = cli("data", "capture", "--label", "pet", "--source", clip, "--output", tmp_path, "--json")
    assert ran.code == 0, ran.err
    answer = json.loads(ran.out)
    assert answer == {"folder": str(tmp_path / "pet"), "taken": 4, "alike": 4, "blurred": 0}
    assert len(list((tmp_path / "pet").iterdir())) == 4


def test_ctrl_c_ends_with_a_summary_and_0(cli: Callable[..., Any], tmp_path: Path) -> None:
    def interrupt() -> None:
        for _ in range(600):
            if list(tmp_path.glob("cat/*.jpg")):
                break
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=interrupt)
    presser.start()
    source = "synthetic://pets?seconds=0.2"
    ran = cli(
        *("data", "capture", "--label", "cat", "--source", source),
        *("--output", tmp_path, "--every", "0.1", "--headless"),
    )
    presser.join()
    assert (ran.code, ": kept " in ran.out) == (0, True), ran.err


BAD = {
    "a path": (("--label", "../cat"), 1, "the class folder's name"),
    "hidden": (("--label", ".cat"), 1, "the class folder's name"),
    "empty": (("--label", ""), 1, "the class folder's name"),
    "a split": (("--label", "Test"), 1, "names a split"),
    "no such camera": (("--label", "cat", "--source", "97"), 4, "there is no camera"),
    "no such file": (("--label", "cat", "--source", "none.mp4"), 1, "none.mp4"),
}


@pytest.mark.parametrize(("options", "code", "sentence"), BAD.values(), ids=BAD)
def test_bad_options(
    cli: Callable[..., Any], tmp_path: Path, options: tuple[str, ...], code: int, sentence: str
) -> None:
    ran = cli("data", "capture", *options, "--output", tmp_path / "photos")
    assert (ran.code, sentence in ran.err, "Traceback" in ran.err) == (code, True, False)
    assert not (tmp_path / "photos").exists()
