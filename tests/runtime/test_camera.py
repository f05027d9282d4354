from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.opening import open_source, register_source
from edgecat_runtime.camera.source import Shot, Source, SourceOptions
from edgecat_runtime.errors import DeviceError, UserError

Scripting = Callable[..., Any]


def grey(level: int) -> np.ndarray:
    return np.full((48, 64, 3), level, np.uint8)


def _write_clip(path: Path, levels: list[int], codec: str = "HFYU", fps: float = 12.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
    for level in levels:
        writer.write(grey(level))
    writer.release()
    return path


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Pictures whose grey level is their number, beside files that are none."""
    folder = tmp_path / "album"
    (folder / "deeper").mkdir(parents=True)
    for number in (1, 2, 10, 9):
        cv2.imwrite(str(folder / f"frame_{number}.png"), grey(number))
    cv2.imwrite(str(folder / "deeper" / "FRAME.JPG"), grey(200))
    (folder / "notes.txt").write_text("no picture")
    (folder / "._frame_1.png").write_bytes(b"a Mac's resource fork")
    return folder


# Files: every frame, in order.


@pytest.mark.parametrize("name", ["clip.mkv", "clip.avi"])
def test_a_video_gives_every_frame_in_order(tmp_path: Path, name: str) -> None:
    levels = list(range(0, 240, 3))
    with Camera.open(_write_clip(tmp_path / name, levels)) as camera:
        assert (camera.source.live, camera.source.stills, camera.fps) == (False, False, 12.0)
        frames = []
        for frame in camera:
            time.sleep(0.001 * (frame.index % 3))
            frames.append(frame)
        assert camera.read() is None, "the end stays the end"
    assert [int(frame.image[0, 0, 0]) for frame in frames] == levels
    assert [frame.index for frame in frames] == list(range(len(levels)))
    assert camera.dropped == 0
    assert camera.clock.count == len(levels)


@pytest.mark.parametrize(
    ("pattern", "levels"),
    [
        ("", [200, 1, 2, 9, 10]),
        ("/*.png", [1, 2, 9, 10]),
        ("/frame_?.png", [1, 2, 9]),
        ("/**/*", [200, 1, 2, 9, 10]),
        ("/frame_10.png", [10]),
    ],
)
def test_pictures_come_in_natural_order(album: Path, pattern: str, levels: list[int]) -> None:
    with Camera.open(f"{album}{pattern}") as camera:
        assert camera.source.stills
        frames = list(camera)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == levels
    assert all(Path(frame.name).is_file() for frame in frames)


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "cat[1].png"), grey(7))
    with Camera.open(tmp_path / "cat[1].png") as camera:
        assert [int(frame.image[0, 0, 0]) for frame in camera] == [7]


def test_a_broken_picture_is_named_skipped_and_counted(
    album: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = (album / "frame_2.png").read_bytes()
    (album / "frame_2.png").write_bytes(data[: len(data) // 2])
    (album / "frame_9.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING), Camera.open(album) as camera:
        assert [int(frame.image[0, 0, 0]) for frame in camera] == [200, 1, 10]
    assert camera.source.skipped == 2
    assert "frame_2.png is truncated" in caplog.text
    assert "frame_9.png is empty" in caplog.text


BAD_SOURCES = [
    ("missing.mp4", UserError, "source missing.mp4 does not exist; expected a camera number"),
    ("", UserError, "--source is empty; expected a camera number, .*Is a shell variable unset"),
    ("empty", UserError, "the folder empty contains no images; expected .bmp.* Check the path"),
    ("*.gif", UserError, r"the pattern \*.gif contains no images"),
    ("text.txt", UserError, "text.txt is not a video that OpenCV can read"),
    ("text.mp4", UserError, "text.mp4 is not a video that OpenCV can read"),
    ("empty.mp4", UserError, "empty.mp4 is empty; expected a video file"),
    ("cut.mp4", UserError, "cut.mp4 is not a video that OpenCV can read"),
    ("pipe.mp4", UserError, "pipe.mp4 is not a regular file"),
    ("text.jpg", UserError, "cannot decode text.jpg"),
    ("broken", UserError, "none of the 2 images of the folder broken can be read"),
    ("nosuch://x", UserError, "'nosuch://x' has an unknown scheme; expected a camera number, "),
    ("97", DeviceError, "there is no camera /dev/video97; (found /dev/video|no camera found)"),
    ("/dev/video97", DeviceError, "there is no camera /dev/video97"),
    ("/dev/null", DeviceError, "camera /dev/null cannot be opened: it is not a camera"),
]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="device files")
@pytest.mark.parametrize(
    ("text", "error", "sentence"), BAD_SOURCES, ids=[b[0] for b in BAD_SOURCES]
)
def test_a_bad_source_is_one_sentence(
    text: str,
    error: type[Exception],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "broken"):
        Path(folder).mkdir()
    for name in ("text.txt", "text.mp4", "text.jpg", "broken/1.png", "broken/2.png"):
        Path(name).write_text("This is a text.\n" * 400)
    Path("empty.mp4").touch()
    Path("cut.mp4").write_bytes(
        _write_clip(tmp_path / "whole.mp4", [1] * 50, "mp4v").read_bytes()[:900]
    )
    os.mkfifo("pipe.mp4")
    with pytest.raises(error, match=sentence), Camera.open(text) as camera:
        list(camera)
    assert capfd.readouterr().err == "", "OpenCV's own noise is kept off the terminal"


def test_a_camera_ahead_of_its_reader_holds_two_frames_at_most(scripted: Scripting) -> None:
    source = scripted(grey(i % 256) for i in range(100))
    with Camera(source) as camera:
        camera.read()
        time.sleep(0.1)
        assert source.given <= 3
    assert source.closed == 1


def test_a_frame_of_a_file_does_not_age_while_it_waits(scripted: Scripting) -> None:
    with Camera(scripted(grey(i) for i in range(3))) as camera:
        camera.read()
        time.sleep(0.3)
        asked = time.perf_counter()
        frame = camera.read()
    assert frame is not None
    assert frame.captured >= asked


# Live sources: the newest frame, and no other.


def test_a_slow_reader_gets_the_newest_frame_and_the_others_are_counted(
    scripted: Scripting,
) -> None:
    source = scripted((grey(i % 256) for i in range(60)), live=True, fps=200)
    indices = []
    with Camera(source) as camera:
        assert camera.fps == 0.0, "its frames come when they come"
        given = 0
        while (frame := camera.read()) is not None:
            indices.append(frame.index)
            assert int(frame.image[0, 0, 0]) == frame.index
            assert frame.index >= given - 2, "an older frame came from a queue"
            time.sleep(0.04)
            given = source.given
    assert camera.dropped > 20
    assert len(indices) + camera.dropped == 60
    assert all(later > earlier for earlier, later in itertools.pairwise(indices))
    assert indices[-1] == 59, "the last frame is not lost"


def test_capturing_starts_with_the_first_read(scripted: Scripting) -> None:
    source = scripted((grey(i) for i in range(100)), live=True, fps=500)
    with Camera(source) as camera:
        time.sleep(0.05)
        assert source.given == 0
        assert camera.read() is not None


def test_a_live_source_that_vanishes_is_a_device_error_after_its_last_frame(
    scripted: Scripting,
) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield grey(1)
        taken.wait(20)
        yield grey(2)

    taken = threading.Event()
    source = scripted(frames(), live=True, fps=100, vanishes=True)
    with Camera(source) as camera:
        seen = [camera.read()]
        taken.set()
        while camera.state != "ended":
            time.sleep(0.01)
        seen.append(camera.read())
        assert [int(frame.image[0, 0, 0]) for frame in seen if frame] == [1, 2]
        for _ in range(2):
            with pytest.raises(DeviceError, match="stopped delivering frames"):
                camera.read()
    assert source.closed == 1


def test_a_wait_can_be_limited(scripted: Scripting) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield grey(1)
        waited.wait(20)
        yield grey(2)

    waited = threading.Event()
    with Camera(scripted(frames(), live=True, fps=100)) as camera:
        assert camera.read() is not None
        with pytest.raises(TimeoutError, match=r"no frame from .* within 0\.01 s"):
            camera.read(timeout=0.01)
        waited.set()
        assert camera.read(timeout=20) is not None


class RecordedWaits(threading.Condition):
    """Records the timeouts it is given and returns at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        if timeout is None:
            return super().wait_for(predicate)
        self.pauses.append(timeout)
        return predicate()


def test_reconnect_backoff_grows_to_half_a_second_and_starts_over(
    scripted: Scripting,
) -> None:
    """With jitter: each pause is drawn from the upper half of its range."""
    absent = [DeviceError("no route")] * 12
    frames = {"live": True, "fps": 1000}
    steps = iter([*absent, scripted([grey(1)], **frames, vanishes=True), *absent[:2]])

    def reopen() -> Source:
        step = next(steps, None) or scripted([grey(2)], **frames)
        if isinstance(step, DeviceError):
            raise step
        return step

    changed = RecordedWaits()
    camera = Camera(scripted([], **frames, vanishes=True), reopen=reopen)
    camera.share(changed, 0)
    with camera:
        assert [int(frame.image[0, 0, 0]) for frame in camera][-1] == 2
    longest = [0.1, 0.2, 0.4, *[0.5] * 10, 0.1, 0.2, 0.4]
    assert len(changed.pauses) == len(longest)
    for pause, most in zip(changed.pauses, longest, strict=True):
        assert most / 2 <= pause <= most
    assert len(set(changed.pauses[3:13])) == 10


class Hung(Source):
    """A driver that never returns."""

    live = True
    release = threading.Event()

    def read(self) -> Shot | None:
        self.release.wait(20)
        return None


def test_a_hung_driver_does_not_hang_the_program() -> None:
    before = threading.active_count()
    camera = Camera(Hung())
    with pytest.raises(TimeoutError):
        camera.read(timeout=0.01)
    camera.close()
    assert threading.active_count() > before, "close did not wait for the driver"
    Hung.release.set()
    while threading.active_count() > before:
        time.sleep(0.01)


@pytest.mark.parametrize("reads", [0, 1, 100])
def test_closing_ends_the_thread_and_closes_the_source_once(
    scripted: Scripting, reads: int
) -> None:
    before = threading.active_count()
    source = scripted(grey(i) for i in range(50))
    camera = Camera(source)
    for _ in range(reads):
        camera.read()
    camera.close()
    camera.close()
    assert (source.closed, threading.active_count()) == (1, before)
    assert camera.read() is None


# The registry.


@pytest.mark.parametrize(
    ("scheme", "text"), [("drawn", "drawn://pets?fps=9"), ("PAINTED", "painted:a pipe ! a sink")]
)
def test_a_registered_scheme_is_given_the_whole_text(
    scripted: Scripting, scheme: str, text: str
) -> None:
    texts = []

    def open_it(text: str, options: SourceOptions) -> Source:
        texts.append(text)
        return scripted([grey(5)])

    register_source(scheme, open_it)
    with Camera.open(text) as camera:
        assert len(list(camera)) == 1
    assert texts == [text]


@pytest.mark.parametrize("scheme", ["", "C", "a b", "1a", "x:"])
def test_a_scheme_that_could_be_a_path_is_refused(scripted: Scripting, scheme: str) -> None:
    with pytest.raises(ValueError, match="expected two or more letters"):
        register_source(scheme, lambda text, options: scripted([]))


def test_a_file_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("drawn:1.png", grey(3))
    assert open_source("drawn:1.png").stills


def test_the_camera_is_importable_without_opencv() -> None:
    program = (
        "import sys\nsys.modules['cv2'] = None\n"
        "from edgecat_runtime import camera, images, pipeline\n"
        "from edgecat_runtime.camera import sources\n"
        "from edgecat_runtime.loop import smoothing\n"
        "from edgecat_runtime.outputs import events, overlay, recorder, sink, window\n"
        "from edgecat_runtime.system import display\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_frames_are_new_arrays(tmp_path: Path) -> None:
    with Camera.open(_write_clip(tmp_path / "clip.mkv", [10, 20, 30])) as camera:
        images = [frame.image for frame in camera]
    assert [int(image.mean()) for image in images] == [10, 20, 30]
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(images, 2))
