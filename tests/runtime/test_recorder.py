from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.outputs import recorder as recorder_module
from edgecat_runtime.outputs.recorder import CODECS, Recorder, playable_suffix
from edgecat_runtime.pipeline import Pipeline

Answering = Callable[..., Answer]


def _scene(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A bright square that moves to the right by two pixels a frame, on grey."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[8:24, 2 * index : 2 * index + 16] = (40, 220, 120)
    return image


def _read(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    images = []
    while (read := capture.read())[0]:
        images.append(read[1])
    capture.release()
    return images


def _times(path: Path) -> list[float]:
    """Presentation times in milliseconds, as FFmpeg reads them."""
    capture = cv2.VideoCapture(str(path))
    times = []
    while capture.grab():
        times.append(round(capture.get(cv2.CAP_PROP_POS_MSEC)))
    return times


def _record(recorder: Recorder, answer: Answering, images: list[np.ndarray]) -> None:
    for index, image in enumerate(images):
        recorder.write(answer(index, image=image, seconds=100 + index / 10), image)
    recorder.close()


@pytest.mark.parametrize(
    ("suffix", "codec"), [(suffix, "") for suffix in CODECS] + [(".mkv", "HFYU")]
)
@pytest.mark.parametrize("fps", [12.0, 0.0])
def test_what_is_recorded_is_read_back(
    answer: Answering, tmp_path: Path, suffix: str, codec: str, fps: float
) -> None:
    path = tmp_path / "new" / f"clip{suffix}"
    images = [_scene(index) for index in range(20)]
    _record(Recorder(path, fps=fps, codec=codec), answer, images)
    back = _read(path)
    assert len(back) == 20
    error = max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(images, back, strict=True))
    assert error <= (0 if codec == "HFYU" else 4)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(fps or 10.0, rel=0.02)


@pytest.mark.parametrize(("height", "width"), [(48, 64), (33, 47), (720, 1280), (1, 1), (200, 200)])
def test_a_mkv_has_any_size(answer: Answering, tmp_path: Path, height: int, width: int) -> None:
    image = np.full((height, width, 3), 77, np.uint8)
    _record(Recorder(tmp_path / "clip.mkv", fps=30.0), answer, [image] * 3)
    back = _read(tmp_path / "clip.mkv")
    assert [frame.shape for frame in back] == [(height, width, 3)] * 3
    assert abs(int(back[0].mean()) - 77) <= 2


def test_a_mkv_keeps_the_times_of_a_live_source(answer: Answering, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    moments = [0.0, 0.03, 0.5, 0.51, 7.0, 7.2, 40.0, 40.033]
    recorder = Recorder(path)
    for index, moment in enumerate(moments):
        recorder.write(answer(index, seconds=500 + moment), _scene(index))
    recorder.close()
    assert _times(path) == [round(moment * 1000) for moment in moments]


def test_a_mkv_can_be_sought_in(answer: Answering, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    _record(Recorder(path, fps=2.0), answer, [_scene(index) for index in range(24)])
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 24
    for index in (20, 3, 11):
        capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        np.testing.assert_allclose(capture.read()[1].astype(int), _scene(index), atol=40)


def test_the_overlay_is_recorded(
    scripted: Callable[..., Any], brightness: Callable[..., Any], tmp_path: Path
) -> None:
    path, frame = tmp_path / "clip.mkv", np.full((200, 200, 3), 240, np.uint8)
    with Camera(scripted([frame] * 3)) as camera:
        Pipeline(camera, brightness(), [Recorder(path, fps=10.0)]).run()
    picture = _read(path)[0]
    assert picture[:150].min() > 230
    assert picture[-15:-5].mean() < 150, "the overlay's bar"


def test_frames_are_buffered_only_until_the_rate_is_known(
    answer: Answering, tmp_path: Path
) -> None:
    recorder, pictures = Recorder(tmp_path / "clip.avi"), []
    for index in range(12):
        image = _scene(index)
        pictures.append(weakref.ref(image))
        recorder.write(answer(index, seconds=index / 10), image)
    del image
    assert not any(picture() is not None for picture in pictures), "no frame is kept in memory"
    recorder.close()
    assert len(_read(tmp_path / "clip.avi")) == 12


@pytest.mark.parametrize("count", [1, 3])
def test_a_short_live_recording_is_written_on_close(
    answer: Answering, tmp_path: Path, count: int
) -> None:
    path = tmp_path / "clip.avi"
    _record(Recorder(path), answer, [_scene(index) for index in range(count)])
    assert len(_read(path)) == count
    rate = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS)
    assert rate == pytest.approx(10.0 if count > 1 else 25.0, rel=0.02)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
def test_ffmpeg_finds_no_fault_in_a_mkv(answer: Answering, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    _record(Recorder(path, fps=2.0), answer, [_scene(index) for index in range(24)])
    command = ["ffprobe", "-v", "warning", "-show_entries", "format=duration", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "duration=12.0" in ran.stdout


def test_frames_of_another_size_are_fitted_into_the_first(
    answer: Answering, tmp_path: Path
) -> None:
    sizes = [(40, 80), (80, 80), (10, 10), (10, 80), (1, 400), (40, 80)]
    images = [np.full((*size, 3), 200, np.uint8) for size in sizes]
    _record(Recorder(tmp_path / "clip.mkv", fps=5.0), answer, images)
    back = _read(tmp_path / "clip.mkv")
    assert [image.shape for image in back] == [(40, 80, 3)] * 6
    assert back[0].min() > 180
    assert back[1][:, 25:55].min() > 180, "the aspect is kept"
    assert back[1][:, :15].max() < 40, "with black beside it"
    assert back[1][:, 65:].max() < 40
    assert back[3][17:23].min() > 150, "and above and below"
    assert max(back[3][:12].max(), back[3][28:].max()) < 40


KILLED = """
import os, signal, sys
import numpy as np
from edgecat_runtime.outputs.recorder import Recorder
sys.path.insert(0, {here!r})
from conftest import make_answer
recorder = Recorder({path!r}, fps=30.0)
for index in range(45):
    recorder.write(make_answer(index), np.full((200, 200, 3), index, np.uint8))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_mkv_is_playable_up_to_its_last_frame(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    program = KILLED.format(here=str(Path(__file__).parent), path=str(path))
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert [round(float(image.mean())) for image in _read(path)] == list(range(45))


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", ""), (".avi", ""), (".mkv", "HFYU")])
def test_a_full_disk_is_a_sentence_and_what_was_written_plays(
    answer: Answering, full_disk: Path, suffix: str, codec: str
) -> None:
    path = full_disk / f"clip{suffix}"
    recorder = Recorder(path, fps=30.0, codec=codec)
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    written = 0
    with pytest.raises(UserError, match=r"clip\.\w+: the disk is full"):
        for written in range(300):
            recorder.write(answer(written), noise)
    assert written > 5
    with suppress(UserError):  # the index may not fit either
        recorder.close()
    if not codec:
        assert len(_read(path)) >= written - 1


def test_an_earlier_recording_is_kept(answer: Answering, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    path.write_bytes(b"earlier")
    for expected in ("clip-1.mkv", "clip-2.mkv"):
        recorder = Recorder(path)
        _record(recorder, answer, [_scene(0)])
        assert recorder.path == tmp_path / expected
    Recorder(path).close()
    assert path.read_bytes() == b"earlier"
    assert not (tmp_path / "clip-3.mkv").exists(), "nothing was recorded"


def test_overwriting_begins_with_the_first_image(answer: Answering, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    path.write_bytes(b"earlier")
    Recorder(path, overwrite=True).close()
    assert path.read_bytes() == b"earlier"
    recorder = Recorder(path, overwrite=True)
    _record(recorder, answer, [_scene(0)])
    assert path.stat().st_size > 100
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mkv"]


def test_the_name_may_have_the_time(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "{time}.mkv")
    assert re.fullmatch(r"\d{8}-\d{6}\.mkv", recorder.path.name)
    recorder.close()


@pytest.mark.parametrize(
    ("place", "codec", "sentence"),
    [
        ("clip.txt", "", r"expected a file ending in \.mkv \.avi"),
        ("clip", "", r"expected a file ending in \.mkv"),
        ("file/clip.mkv", "", "a parent of the path is a file"),
        ("folder.mkv", "", "it is a folder"),
        ("clip.webm", "HFYU", "cannot write HFYU in .webm files; record to a .mkv"),
    ],
)
def test_what_cannot_be_recorded_is_refused_beforehand(
    tmp_path: Path, place: str, codec: str, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mkv").mkdir()
    with pytest.raises(UserError, match=sentence):
        Recorder(tmp_path / place, codec=codec)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("h264", [True, False])
def test_mp4_is_h264_or_says_that_browsers_do_not_play_it(
    answer: Answering,
    tmp_path: Path,
    h264: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = recorder_module.can_encode(".mp4", "avc1")
    if h264 and not there:
        pytest.skip("this OpenCV has no H.264 encoder")
    if not h264:
        real = recorder_module.can_encode
        monkeypatch.setattr(
            recorder_module,
            "can_encode",
            lambda suffix, codec: codec != "avc1" and real(suffix, codec),
        )
    path = tmp_path / "clip.mp4"
    _record(Recorder(path, fps=10.0), answer, [_scene(index) for index in range(10)])
    assert len(_read(path)) == 10
    fourcc = int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FOURCC))
    assert (fourcc.to_bytes(4, "little").decode() in ("avc1", "h264")) == h264
    assert ("browsers will not play" in caplog.text) != h264
    assert playable_suffix() == (".mp4" if h264 else ".webm")


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_nothing_recorded_is_no_file(tmp_path: Path, suffix: str) -> None:
    recorder = Recorder(tmp_path / f"clip{suffix}")
    recorder.close()
    assert not list(tmp_path.iterdir())
