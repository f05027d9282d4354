"""Streams that break in every way, from real servers on loopback; the long form is a benchmark."""

from __future__ import annotations

import contextlib
import itertools
import os
import runpy
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.opening import open_source
from edgecat_runtime.camera.source import Shot, Source, SourceOptions
from edgecat_runtime.camera.view import Region
from edgecat_runtime.errors import DeviceError, UserError

HERE = Path(__file__).parent
FAST = SourceOptions(stall=0.6)
PATIENCE = 20.0  # of the tests, on a machine that does other things too


@pytest.fixture(scope="module")
def mjpeg() -> Callable[..., Any]:
    """The class of the motion-JPEG server."""
    return runpy.run_path(str(HERE / "mjpeg_server.py"))["MjpegServer"]


@pytest.fixture
def server(mjpeg: Callable[..., Any]) -> Iterator[Any]:
    """A running server; its frames show their number as their grey level."""
    server = mjpeg()
    server.start()
    yield server
    server.stop()


def until(camera: Camera, state: str) -> None:
    """Read until the camera is in a state."""
    deadline = time.perf_counter() + PATIENCE
    while camera.state != state:
        assert time.perf_counter() < deadline, f"the camera is {camera.state}, not {state}"
        with contextlib.suppress(TimeoutError):
            camera.read(timeout=0.05)


def level(camera: Camera) -> int:
    frame = camera.read(timeout=PATIENCE)
    assert frame is not None
    return int(frame.image.mean())


# Motion JPEG.


@pytest.mark.parametrize("headers", ["length", "none", "chunked"])
def test_every_way_to_serve_mjpeg_is_read(mjpeg: Callable[..., Any], headers: str) -> None:
    server = mjpeg(headers=headers)
    server.start()
    with Camera.open(server.address) as camera:
        assert camera.source.live
        levels = [level(camera) for _ in range(4)]
        server.mode = "stall"
        while levels[-1] != server.level:  # no frame is held back until the next arrives
            levels.append(level(camera))
        assert all(later > earlier for earlier, later in itertools.pairwise(levels))
    assert (camera.losses, camera.skipped) == (0, 0)
    server.stop()


@pytest.mark.parametrize("mode", ["cut", "garbage", "stall"])
def test_a_stream_that_breaks_is_lost_once_and_comes_back(server: Any, mode: str) -> None:
    with Camera.open(server.address, options=FAST) as camera:
        until(camera, "live")
        server.mode = mode
        until(camera, "no signal")
        time.sleep(0.5)
        assert camera.losses == 1, "attempts are no losses"
        server.mode = "steady"
        until(camera, "live")
        states = [signal.state for signal in camera.signals]
    assert states == ["lost", "back"]
    assert camera.state == "ended"


def test_a_killed_server_is_awaited_and_every_loss_counted(server: Any) -> None:
    with Camera.open(server.address, options=SourceOptions(stall=PATIENCE)) as camera:
        for count in range(1, 4):
            until(camera, "live")
            server.stop()
            until(camera, "no signal")
            assert camera.losses == count
            before = server.asked
            server.start()
            until(camera, "live")
            assert server.asked == before + 1, "the first attempt that could succeed did"


def test_torn_frames_are_left_out_and_new_sizes_taken(server: Any) -> None:
    with Camera.open(server.address, options=FAST) as camera:
        server.mode = "torn"
        levels = [level(camera) for _ in range(8)]
        assert camera.skipped >= 3
        assert all(number % 2 == 0 for number in levels[2:]), "no half picture is shown"
        server.mode = "sizes"
        shapes = {frame.image.shape for _ in range(20) if (frame := camera.read(PATIENCE))}
        assert len(shapes) >= 2
    assert camera.losses == 0


def test_a_slow_reader_gets_the_newest_picture_of_a_stream(server: Any) -> None:
    with Camera.open(server.address) as camera:
        level(camera)
        deadline = time.perf_counter() + PATIENCE
        while camera.dropped < 20:
            assert time.perf_counter() < deadline, "unread frames must be dropped"
            time.sleep(0.01)
        lags = [99]
        while lags[-1] > 6:  # frames from a queue would only get older
            assert len(lags) < 40, lags
            lags.append((server.level + 3 - level(camera)) % 256)
            time.sleep(0.06)


def test_a_region_may_fall_outside_a_stream_that_changed(server: Any) -> None:
    options = SourceOptions(stall=5, roi=Region.parse("40,30,20,10"))
    with Camera.open(server.address, options=options) as camera:
        assert camera.read(PATIENCE).image.shape == (10, 20, 3)  # type: ignore[union-attr]
        server.mode = "sizes"
        shapes = set()
        while len(shapes) < 2:  # 57 pixels are too few for all of it
            shapes.add(camera.read(PATIENCE).image.shape)  # type: ignore[union-attr]
    assert shapes == {(10, 20, 3), (3, 17, 3)}


def test_given_up_is_a_device_error(server: Any) -> None:
    with Camera.open(server.address, options=FAST, give_up=0.5) as camera:
        until(camera, "live")
        server.stop()
        with pytest.raises(DeviceError, match=r"; gave up after 0\.5 s$"):
            while True:
                with contextlib.suppress(TimeoutError):
                    camera.read(timeout=0.05)


def test_a_source_that_is_not_there_is_an_error_unless_waited_for(server: Any) -> None:
    server.stop()
    with pytest.raises(DeviceError, match="cannot be reached: Connection refused"):
        Camera.open(server.address)
    with Camera.open(server.address, options=FAST, wait=True) as camera:
        until(camera, "no signal")
        server.start()
        until(camera, "live")
        assert camera.losses == 0, "it had not been there"


@pytest.mark.parametrize(
    ("address", "error", "sentence"),
    [
        ("http://127.0.0.1:{port}/", UserError, "is text/html; expected a stream"),
        ("http://127.0.0.1:{port}/nothing", DeviceError, "responded with 404"),
        ("http://127.0.0.1:{port}x/", UserError, "is not a valid address"),
        ("http:///stream", UserError, "has no host"),
        ("http://u:secret@127.0.0.1:1/s", DeviceError, r"^http://\*\*\*@127.0.0.1:1/s cannot be"),
        (
            "rtsp://u:sec@ret@127.0.0.1:1/s",
            DeviceError,
            r"^rtsp://\*\*\*@127.0.0.1:1/s delivers no",
        ),
        ("nosuch://u:secret@h/?token=secret", UserError, r"'nosuch://\*\*\*@h/\?token=\*\*\*'"),
    ],
)
def test_a_wrong_address_is_one_sentence_without_its_password(
    server: Any, address: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence) as caught:
        open_source(address.format(port=server.port), SourceOptions(stall=2))
    assert "sec" not in str(caught.value).replace("https+insecure", "")


@pytest.mark.parametrize("digest", [False, True])
@pytest.mark.parametrize(
    ("given", "error"), [("u:p%40s:s", None), ("u:wrong", UserError), ("", UserError)]
)
def test_a_password_in_the_address_is_used_and_kept_secret(
    mjpeg: Callable[..., Any], given: str, error: type[Exception] | None, digest: bool
) -> None:
    server = mjpeg(password="u:p@s:s", digest=digest)
    server.start()
    address = f"http://{given and given + '@'}127.0.0.1:{server.port}/stream"
    if error is None:
        with Camera.open(address) as camera:
            level(camera)
            assert camera.source.name == f"http://***@127.0.0.1:{server.port}/stream"
    else:
        with pytest.raises(error, match="rejects the user or password"):
            Camera.open(address)
    server.stop()


def test_closing_does_not_wait_for_a_silent_stream(server: Any) -> None:
    camera = Camera.open(server.address, options=SourceOptions(stall=300))
    level(camera)
    server.mode = "stall"
    time.sleep(0.1)
    reading = camera._reader._thread
    assert reading is not None
    camera.close()
    reading.join(PATIENCE)
    assert not reading.is_alive(), "close did not interrupt the read"


# Drivers that hang.


class Hanging(Source):
    """Gives two frames; the third read hangs until the test ends."""

    name = "the hanging camera"
    live = True
    opened = 0
    release = threading.Event()

    def __init__(self) -> None:
        type(self).opened += 1
        self._left = 2

    def read(self) -> Shot | None:
        if not self._left:
            self.release.wait()
        self._left -= 1
        return Shot(np.zeros((4, 4, 3), np.uint8))


def test_a_hung_driver_is_left_behind_and_no_more_than_two() -> None:
    def threads() -> int:
        return sum(thread.name == "edgecat-camera" for thread in threading.enumerate())

    before = threads()
    camera = Camera(Hanging(), reopen=Hanging, options=SourceOptions(stall=0.1))
    deadline = time.perf_counter() + PATIENCE
    while camera.losses < 3:
        assert time.perf_counter() < deadline, "each source gives frames before it hangs"
        with contextlib.suppress(TimeoutError):
            camera.read(timeout=0.1)
    for _ in range(12):  # twice the stall timeout
        with contextlib.suppress(TimeoutError):
            camera.read(timeout=0.1)
    assert (Hanging.opened, camera.losses, threads() - before) == (3, 3, 3)
    Hanging.release.set()
    camera.close()
    while threads() > before:
        time.sleep(0.01)


# RTSP.


@pytest.fixture(scope="module")
def rtsp() -> Iterator[Callable[[int], tuple[subprocess.Popen[str], int]]]:
    """Starts an RTSP server on a port, 0 for any; skips where there is none."""
    python, script = "/usr/bin/python3", str(HERE / "rtsp_server.py")
    running: list[subprocess.Popen[str]] = []
    try:
        check = subprocess.run([python, script, "--check"], capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no system Python: {error}")
    if check.returncode:
        pytest.skip(f"no RTSP server here: {check.stderr.strip().splitlines()[-1]}")

    def start(port: int) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen([python, script, str(port)], stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_an_rtsp_server_may_be_killed_and_may_stall(
    rtsp: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    process, port = rtsp(0)
    address = f"rtsp://user:secret@127.0.0.1:{port}/stream"
    with Camera.open(address, options=SourceOptions(stall=1.5)) as camera:
        until(camera, "live")
        process.kill()
        until(camera, "no signal")
        process, _ = rtsp(port)
        until(camera, "live")
        process.send_signal(signal.SIGSTOP)
        until(camera, "no signal")
        process.send_signal(signal.SIGCONT)
        until(camera, "live")
        assert camera.losses == 2
        frame = camera.read(PATIENCE)
        assert frame is not None
        assert frame.image.shape == (120, 160, 3)
    assert "OPENCV_FFMPEG_CAPTURE_OPTIONS" not in os.environ
    printed = "".join(capfd.readouterr())
    assert "secret" not in printed
    assert "WARN" not in printed, "OpenCV's own noise is kept off the terminal"
