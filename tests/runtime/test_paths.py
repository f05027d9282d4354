"""Names of files and devices as people have them, and cameras that nobody closes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.opening import open_source
from edgecat_runtime.errors import BackendMissing, DeviceError, UserError
from edgecat_runtime.system.paths import native_path

NOT_TEXT = os.fsdecode(b"\xff\xfe caf\xe9")


def film(path: Path, frames: int = 3, size: tuple[int, int] = (64, 48)) -> Path:
    """Write a video under any name: OpenCV writes it under a plain one."""
    plain = path.with_name("plain.avi")
    writer = cv2.VideoWriter(str(plain), cv2.VideoWriter.fourcc(*"MJPG"), 25, size)
    for level in range(frames):
        writer.write(np.full((size[1], size[0], 3), level * 20 % 256, np.uint8))
    writer.release()
    return plain.rename(path)


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run a script in a process of its own: what this tests for kills the process."""
    command = [sys.executable, "-c", script, *map(os.fsencode, map(str, arguments))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, env=environment, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which a file may have any name."""
    try:
        (tmp_path / NOT_TEXT).touch()
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no names that are not UTF-8")
    return tmp_path


CLIP = """
import sys
from edgecat_runtime import Camera
with Camera.open(sys.argv[1]) as camera:
    print(sum(1 for frame in camera))
"""
RECORD = """
import sys
from types import SimpleNamespace
import numpy as np
from edgecat_runtime import Recorder
recorder = Recorder(sys.argv[1], fps=25.0)
answer = SimpleNamespace(frame=SimpleNamespace(captured=0.0))
for _ in range(5):
    recorder.write(answer, np.zeros((48, 64, 3), np.uint8))
recorder.close()
"""
ENGINE = """
import sys
from edgecat_runtime import Classifier
from edgecat_runtime.errors import BackendMissing
try:
    with Classifier.open(sys.argv[1], backend=sys.argv[2]) as classifier:
        print(classifier.labels)
except BackendMissing as error:
    print("missing")
"""


def test_a_video_whose_name_is_not_utf8(folder: Path) -> None:
    ran = run(CLIP, film(folder / f"{NOT_TEXT}.avi"))
    assert (ran.returncode, ran.stdout.strip()) == (0, b"3"), ran.stderr


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_recording_whose_name_is_not_utf8(folder: Path, suffix: str) -> None:
    path = folder / f"{NOT_TEXT} film{suffix}"
    ran = run(RECORD, path)
    assert ran.returncode == 0, ran.stderr
    plain = path.rename(folder / f"film{suffix}")
    with Camera.open(plain) as camera:
        assert sum(1 for _ in camera) == 5


@pytest.mark.parametrize("backend", ["onnxruntime", "opencv", "openvino"])
def test_an_engine_whose_name_is_not_utf8(folder: Path, tiny_onnx: Path, backend: str) -> None:
    path = folder / f"{NOT_TEXT}.onnx"
    path.write_bytes(tiny_onnx.read_bytes())
    ran = run(ENGINE, path, backend)
    if ran.stdout.strip() == b"missing":
        pytest.skip(f"{backend} is not installed here")
    assert (ran.returncode, ran.stdout.strip()) == (0, b"('cat', 'dog')"), ran.stderr


def test_a_name_for_native_libraries_is_absolute_and_text(folder: Path) -> None:
    target = folder / f"{NOT_TEXT}.bin"
    with native_path(target) as name:
        name.encode()
        assert Path(name).suffix == ".bin"
        Path(name).write_bytes(b"written through it")
    assert target.read_bytes() == b"written through it"
    assert not Path(name).exists()
    with native_path("12:30.mp4") as name:
        assert name == str(Path.cwd() / "12:30.mp4")


@pytest.mark.parametrize("name", ["12:30.avi", "cam1:yard.avi", "100%.avi", "a%03d.avi"])
def test_any_name_is_a_file_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    film(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with Camera.open(name) as camera:
        assert sum(1 for _ in camera) == 3


def test_a_recording_may_have_a_colon(tmp_path: Path) -> None:
    ran = run(f"import os; os.chdir({str(tmp_path)!r})\n{RECORD}", "12:30.mp4")
    assert ran.returncode == 0, ran.stderr
    with Camera.open(tmp_path / "12:30.mp4") as camera:
        assert sum(1 for _ in camera) == 5


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("img_%03d.png", [1, 2, 10, 1000]),
        ("img_%d.png", [1, 2, 7, 10, 1000]),
        ("img_*.png", [1, 2, 7, 10, 1000]),
        ("cam1:*.png", [3]),
        ("cam1:%d.png", [3]),
        ("a:b.png", [4]),
    ],
)
def test_numbered_images_are_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, numbers: list[int]
) -> None:
    names = [f"img_{number:03d}.png" for number in (1, 2, 10, 1000)]
    for name in [*names, "img_7.png", "img_x.png.txt", "cam1:3.png", "a:b.png"]:
        number = 4 if name == "a:b.png" else int("".join(filter(str.isdigit, name[4:])) or 0)
        image = np.full((8, 8, 3), number % 251, np.uint8)
        (tmp_path / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    monkeypatch.chdir(tmp_path)
    with Camera.open(text) as camera:
        assert [int(frame.image[0, 0, 0]) for frame in camera] == [n % 251 for n in numbers]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("/dev/video63", DeviceError),
        ("/dev/v4l/by-id/usb-Maker_Camera_0123-video-index0", DeviceError),
        ("/dev/yardcam", DeviceError),
        ("/dev/shm/no-such-film.mp4", UserError),
        ("a\0b.mp4", UserError),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="devices have paths on Linux")
def test_what_is_not_there_under_dev_is_a_device(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        open_source(text)
    if kind is DeviceError:
        with Camera.open(text, wait=True) as camera, pytest.raises(TimeoutError):
            camera.read(timeout=0.2)


def test_a_text_that_is_too_long_for_a_path_is_none() -> None:
    with pytest.raises(UserError, match="does not exist"):
        open_source("x" * 5000)
    with pytest.raises((BackendMissing, DeviceError)):
        open_source(f"gst:videotestsrc name={'x' * 300} ! no_such_element")
    with pytest.raises(UserError, match="does not exist"):
        open_source("x/" * 3000 + "img_%d.png")


LEFT_OPEN = """
import sys
from edgecat_runtime import Camera
cameras = [Camera.open(sys.argv[1]) for _ in range(3)]
for camera in cameras:
    for _ in range(5):
        camera.read()
print("read")
"""


def test_a_camera_that_is_left_open_does_not_abort_the_program(tmp_path: Path) -> None:
    """Its thread is in FFmpeg or OpenCV most of the time, and C++ is not to be unwound."""
    clip = film(tmp_path / "clip.avi", 60, (1920, 1080))
    for _ in range(3):
        ran = run(LEFT_OPEN, clip)
        assert (ran.returncode, ran.stdout.strip()) == (0, b"read"), ran.stderr


def test_a_camera_that_is_forgotten_is_closed(tmp_path: Path) -> None:
    camera = Camera.open(film(tmp_path / "clip.avi"))
    assert camera.read() is not None
    reader = camera._reader
    del camera
    reader.join(20)
    assert reader.closed
    assert reader._thread is not None
    assert not reader._thread.is_alive()


ABANDONED = """
import sys
from edgecat_runtime import Camera, Classifier, Pipeline, Recorder
camera = Camera.open(sys.argv[1])
classifier = Classifier.open(sys.argv[2], backend="onnxruntime")
answers = iter(Pipeline(camera, classifier, [Recorder(sys.argv[3], fps=camera.fps)]))
for _ in range(5):
    next(answers)
"""


def test_a_loop_that_is_left_open_finishes_its_recording(tmp_path: Path, tiny_onnx: Path) -> None:
    pytest.importorskip("onnxruntime")
    clip = film(tmp_path / "clip.avi", 60, (1920, 1080))
    ran = run(ABANDONED, clip, tiny_onnx, tmp_path / "out.mkv")
    assert (ran.returncode, ran.stderr) == (0, b"")
    with Camera.open(tmp_path / "out.mkv") as camera:
        assert sum(1 for _ in camera) == 5
