from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import StatusEvent
from edgecat_runtime.camera.listing import source_kinds
from edgecat_runtime.camera.opening import open_source
from edgecat_runtime.camera.redaction import redacted
from edgecat_runtime.camera.source import SourceOptions
from edgecat_runtime.camera.sources import files, v4l2
from edgecat_runtime.camera.sources.files import Realtime
from edgecat_runtime.camera.sources.gstreamer import csi_pipeline, has_gstreamer
from edgecat_runtime.camera.sources.jpeg_stream import JpegStream
from edgecat_runtime.camera.view import ROTATIONS, Region, View
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import BackendMissing, DeviceError, UserError
from edgecat_runtime.loop import engine
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.outputs import systemd
from edgecat_runtime.outputs.systemd import Systemd, notify
from edgecat_runtime.pipeline import Pipeline

Make = Callable[..., Any]


def grey(level: int) -> np.ndarray:
    return np.full((48, 64, 3), level, np.uint8)


# How a picture is looked at.

NUMBERED = np.arange(12, dtype=np.uint8).reshape(3, 4, 1).repeat(3, 2)  # 0 1 2 3 / 4 5 6 7 / ...


@pytest.mark.parametrize(
    ("rotate", "flip", "roi", "seen"),
    [
        (0, None, None, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]),
        (90, None, None, [[8, 4, 0], [9, 5, 1], [10, 6, 2], [11, 7, 3]]),
        (180, None, None, [[11, 10, 9, 8], [7, 6, 5, 4], [3, 2, 1, 0]]),
        (270, None, None, [[3, 7, 11], [2, 6, 10], [1, 5, 9], [0, 4, 8]]),
        (0, "horizontal", None, [[3, 2, 1, 0], [7, 6, 5, 4], [11, 10, 9, 8]]),
        (0, "vertical", None, [[8, 9, 10, 11], [4, 5, 6, 7], [0, 1, 2, 3]]),
        (0, "both", None, [[11, 10, 9, 8], [7, 6, 5, 4], [3, 2, 1, 0]]),
        (0, None, "1,0,2,2", [[1, 2], [5, 6]]),
        (0, None, "0.5,0,0.5,1", [[2, 3], [6, 7], [10, 11]]),
        (0, None, "0,0.34,1,0.66", [[4, 5, 6, 7], [8, 9, 10, 11]]),
        (0, None, "0.5,0.34,0.01,0.01", [[6]]),
        (0, None, "1,1,3,1", [[5, 6, 7]]),
        (0, None, "1,1,1,2", [[5], [9]]),
        (90, "horizontal", "0,1,3,2", [[1, 5, 9], [2, 6, 10]]),
    ],
)
def test_a_view_turns_then_mirrors_then_cuts(
    rotate: Any, flip: Any, roi: str | None, seen: list[list[int]]
) -> None:
    view = View(rotate, flip, Region.parse(roi) if roi else None)
    picture = view(NUMBERED)
    assert picture[:, :, 0].tolist() == seen
    assert picture.flags.c_contiguous


@pytest.mark.parametrize(
    "text",
    [
        *("", "1,2,3", "1,2,3,0", "a,b,c,d", "-1,0,5,5", "0.5,0,0.6,1", "1.5,0,20,20", "1,1,1,1"),
        *("1,2,0,3", "0,0.5,1,0.6"),
    ],
)
def test_a_region_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--roi"):
        Region.parse(text)


def test_a_region_outside_the_first_picture_is_refused() -> None:
    with pytest.raises(UserError, match="--roi extends to 5,2, outside the image of 4x3 pixels"):
        View(roi=Region.parse("1,0,4,2"))(NUMBERED)


@pytest.mark.parametrize(("height", "width"), [(2, 1), (1, 2)])
def test_a_region_outside_a_later_smaller_image_is_a_device_error(height: int, width: int) -> None:
    view = View(roi=Region.parse("1,1,2,2"))
    assert view(NUMBERED).shape == (2, 2, 3)
    assert view(NUMBERED[:2, :2]).shape == (1, 1, 3)
    with pytest.raises(DeviceError, match=f"the image is now {width}x{height} and --roi lies"):
        view(NUMBERED[:height, :width])


def test_rotations_are_named_by_their_degrees() -> None:
    assert ROTATIONS == {"0": 0, "90": 90, "180": 180, "270": 270}


# What each source honours.


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        (
            "clip.mkv",
            {"width": 64},
            "clip.mkv does not support --width; a file has its own size and rate, which",
        ),
        ("clip.mkv", {"fps": 5.0}, "does not support --fps"),
        ("rtsp://h/s", {"height": 64}, "rtsp://h/s does not support --height; set it where"),
        (
            "gst:videotestsrc",
            {"width": 64},
            "does not support --width; write it into the pipeline's caps",
        ),
        ("screen", {"width": 64}, "the screen does not support --width; select a region"),
    ],
)
def test_what_a_source_cannot_honour_it_refuses(
    text: str, options: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    writer = cv2.VideoWriter("clip.mkv", cv2.VideoWriter.fourcc(*"MJPG"), 9, (64, 48))
    writer.write(grey(1))
    writer.release()
    with pytest.raises(UserError, match=sentence):
        open_source(text, SourceOptions(**options))


def test_a_realtime_file_is_live_and_drops_unread_frames(tmp_path: Path) -> None:
    path = str(tmp_path / "clip.mkv")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 200, (64, 48))
    for level in range(40):
        writer.write(grey(level))
    writer.release()
    with Camera.open(path, options=SourceOptions(realtime=True)) as camera:
        assert camera.source.live
        assert camera.read() is not None
        while camera.state != "ended":
            time.sleep(0.01)
        last = camera.read()
        assert last is not None
        assert last.index == 39
        assert camera.read() is None
    assert (camera.dropped, camera.losses) == (38, 0)


def test_a_realtime_file_keeps_its_rate(scripted: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a slow frame it catches up by at most one frame."""
    now, slept = 50.0, []

    def decoded() -> Iterator[np.ndarray]:
        nonlocal now
        for seconds in (0.01, 0.01, 0.01, 0.35, 0.01, 0.01):
            now += seconds
            yield grey(1)

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    clock = SimpleNamespace(perf_counter=lambda: now, sleep=sleep)
    monkeypatch.setattr(files, "time", clock)
    film = Realtime(scripted(decoded(), fps=10.0))
    for _ in range(6):
        assert film.read() is not None
    assert slept == pytest.approx([0, 0.09, 0.09, 0, 0, 0.08])


@pytest.mark.skipif(not hasattr(cv2, "videoio_registry"), reason="an OpenCV without a registry")
@pytest.mark.parametrize("text", ["gst:videotestsrc", "csi://0"])
def test_without_gstreamer_it_is_said_how_to_get_one(text: str) -> None:
    if has_gstreamer():
        pytest.skip("this OpenCV has GStreamer")
    with pytest.raises(BackendMissing, match="needs an OpenCV with GStreamer; .* apt install"):
        open_source(text)


def test_a_gstreamer_pipeline_runs_and_may_be_wrong() -> None:
    if not has_gstreamer():
        pytest.skip("this OpenCV was built without GStreamer")
    text = "gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=30/1"
    with Camera.open(text) as camera:
        frame = camera.read(timeout=20)
        assert frame is not None
        assert frame.image.shape == (48, 64, 3)
    with pytest.raises(DeviceError, match="cannot be started"):
        open_source("gst:nosuchelement")


def test_a_csi_camera_is_a_pipeline_of_the_newest_frame() -> None:
    pipeline = csi_pipeline("csi://2", SourceOptions(width=1920, height=1080, fps=29.97))
    assert pipeline.startswith("nvarguscamerasrc sensor-id=2 ! video/x-raw(memory:NVMM),width=1920")
    assert "height=1080,framerate=29970/1000 !" in pipeline
    assert pipeline.endswith("appsink drop=true max-buffers=1 sync=false")
    with pytest.raises(DeviceError, match="expected csi://0"):
        csi_pipeline("csi://front", SourceOptions())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X11")
def test_without_a_screen_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DeviceError, match="cannot capture the screen: there is no display"):
        open_source("screen")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://cam/stream", "rtsp://cam/stream"),
        ("rtsp://u:p@cam:554/s?channel=1&x=1", "rtsp://***@cam:554/s?channel=1&x=***"),
        ("rtsp://u:p@ss/w@cam/s", "rtsp://***@cam/s"),
        ("http://cam/s?user=me&pwd=secret&fps=5", "http://cam/s?user=***&pwd=***&fps=5"),
        ("gst:rtspsrc location=rtsp://u:p@h ! x", "gst:rtspsrc location=rtsp://***@h ! x"),
        ("http://cam/s?loginpas=a;psw=b&sid=c", "http://cam/s?loginpas=***;psw=***&sid=***"),
        ("http://cam/s?fps=5&abc123", "http://cam/s?fps=5&***"),
        ("http://cam/s#abc123", "http://cam/s#***"),
        ("rtsp://u:a#b@cam/s", "rtsp://***@cam/s"),
        ("rtsp://u:a?b c@cam/s", "rtsp://***@cam/s"),
        ("rtsp:/u:p@cam/s", "rtsp:/***@cam/s"),
        ("rtsp//u:p@cam/s", "***@cam/s"),
        ("gst:rtspsrc location=rtsp://u:a b@h ! x", "gst:rtspsrc location=rtsp://***@h ! x"),
        (
            "gst:rtspsrc user-id=me user-pw = a b latency=0 ! x",
            "gst:rtspsrc user-id=*** user-pw=*** latency=0 ! x",
        ),
        (
            "gst:souphttpsrc user-pw='a b' location='http://h/?k=1' ! x",
            "gst:souphttpsrc user-pw=*** location='http://h/?k=***' ! x",
        ),
        (
            "gst:v4l2src device=/dev/video0 ! video/x-raw(memory:NVMM),width=4 ! x",
            "gst:v4l2src device=/dev/video0 ! video/x-raw(memory:NVMM),width=4 ! x",
        ),
        (
            "rtsp://cam:554/user=admin&password=&channel=1&stream=0.sdp?",
            "rtsp://cam:554/user=***&password=***&channel=1&stream=0.sdp?",
        ),
        ("rtsp://cam/user=admin_password=tlJwpbo6_channel=1.sdp", "rtsp://cam/user=***"),
        ("http://cam/snapshot.cgi;pwd=x?fps=5", "http://cam/snapshot.cgi;pwd=***?fps=5"),
        ("http://cam/a%3Duser%26pwd%3Dx/1", "http://cam/***/1"),
        ("http://cam/user/admin/password/x/1.jpg", "http://cam/user/***/password/***/1.jpg"),
        ("rtsps://nvr:7441/AbCdEfGh1jKlMnOp?enableSrtp", "rtsps://nvr:7441/***?***"),
        ("rtmp://a.example/app/live_1234_Zx8Yw7Vu6Ts5Rq4Po3", "rtmp://a.example/app/***"),
        ("rtmp://a.example/app/0a1b-2c3d-4e5f-6a7b", "rtmp://a.example/app/***"),
        ("rtsp://cam/Streaming/Channels/101", "rtsp://cam/Streaming/Channels/101"),
        ("rtsp://cam/h264Preview_01_main", "rtsp://cam/h264Preview_01_main"),
        (
            "rtsp://cam/axis-media/living-room-camera-2",
            "rtsp://cam/axis-media/living-room-camera-2",
        ),
        ("file:///home/me/AbCdEfGh1jKlMnOp.mp4", "file:///home/me/AbCdEfGh1jKlMnOp.mp4"),
        ("synthetic://pets?fps=60&seed=2", "synthetic://pets?fps=60&seed=2"),
        ("clip.mp4", "clip.mp4"),
        ("clips/a@b.mp4", "clips/a@b.mp4"),
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_a_source_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setenv("FRONT_DOOR", str(image))
    open_source("env:FRONT_DOOR").close()
    with pytest.raises(UserError, match="environment variable 'BACK_DOOR' is not set; expected"):
        open_source("env:BACK_DOOR")


def test_an_address_that_cannot_be_sent_is_not_quoted() -> None:
    with pytest.raises(UserError, match="is not a valid address") as raised:
        open_source("http://exa mple:9/s?key=abc123 x")
    assert "abc123" not in str(raised.value)


def test_a_folder_of_images_has_no_thumbnails_or_trash(tmp_path: Path) -> None:
    for name in (
        "1.png",
        "@eaDir/1.png/THUMB.png",
        "$RECYCLE.BIN/2.png",
        ".thumb/3.png",
        "a/4.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 4, 3), np.uint8))
    source = open_source(str(tmp_path))
    names = []
    while (shot := source.read()) is not None:
        names.append(Path(shot.name).name)
    assert names == ["1.png", "4.png"]


# Finding them.


def test_v4l2_tells_cameras_from_their_metadata() -> None:
    def node(capabilities: int) -> v4l2.Ask:
        def ask(code: int, data: bytes) -> bytes:
            index, second = struct.unpack_from("=2I", data)
            if code == 0x80685600:
                told = struct.pack("=16s32s32s3I", b"uvc", b"A camera", b"usb", 0, 0x84200001, 0)
                return told[:88] + struct.pack("=I12x", capabilities)
            if code == 0xC0405602 and index < 2:
                return struct.pack("=3I32sI16x", index, 1, 0, b"Motion-JPEG", 7 + index)
            if code == 0xC02C564A and second == 7 and index < 2:
                size = [(1280, 720), (640, 480)][index]
                return struct.pack("=5I24x", index, 7, 1, *size)
            if code == 0xC02C564A and second == 8 and not index:
                return struct.pack("=9I8x", 0, 8, 3, 16, 1920, 8, 16, 1080, 8)
            raise OSError(22, "Invalid argument")

        return ask

    sizes = ("16x16", "640x480", "1280x720", "1920x1080")
    assert v4l2.answers(node(0x04200001)) == ("A camera", sizes)
    assert v4l2.answers(node(0x04A00000)) is None, "a node for metadata"


def test_every_kind_is_listed_and_says_why_not() -> None:
    kinds = {kind.example: kind for kind in source_kinds()}
    assert kinds["http://host/stream.mjpg"].works
    assert kinds["gst:PIPELINE"].works is has_gstreamer()
    assert all(kind.works == (kind.reason == "") for kind in kinds.values())
    json.dumps([kind.to_dict() for kind in kinds.values()])


# JPEG pictures in a stream of bytes.


def _jpegs(count: int) -> list[bytes]:
    noise = np.random.default_rng(0)
    images = [noise.integers(0, 256, (20 + i, 30, 3), np.uint8) for i in range(count)]
    return [cv2.imencode(".jpg", image)[1].tobytes() for image in images]


@pytest.mark.parametrize("step", [1, 7, 1000, 10**6])
@pytest.mark.parametrize(
    "between", [b"", b"\r\n--frame\r\nContent-Length: 12\r\n\r\n", b"\xff\xd8"]
)
def test_pictures_are_found_whatever_stands_between(step: int, between: bytes) -> None:
    pictures = _jpegs(6)
    data = between.join(pictures)
    stream, found = JpegStream(), []
    for start in range(0, len(data), step):
        found += stream.feed(data[start : start + step])
    assert found == pictures
    assert stream.damaged == (5 if between == b"\xff\xd8" else 0)


def test_a_cut_picture_costs_itself_alone() -> None:
    first, second, third = _jpegs(3)
    stream = JpegStream()
    for cut in range(3, len(second) - 2, 41):
        found = stream.feed(first + second[:cut] + b"\r\n--frame\r\n" + third)
        assert found[:1] + found[-1:] == [first, third], cut
    assert stream.damaged > 0


def test_a_stream_of_noise_holds_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgecat_runtime.camera.sources.jpeg_stream.LARGEST", 100_000)
    stream = JpegStream()
    stream.feed(b"\xff\xd8\xff\xda\x00\x04ab")  # compressed data that never end
    for _ in range(200):
        stream.feed(b"\x00" * 10_000)
        assert len(stream._buffer) <= 100_000
    picture = _jpegs(1)[0]
    assert stream.feed(picture) == [picture]


# Several cameras, one engine.


class Batches:
    """Notes the size of each batch; the mean decides."""

    name = "batches"

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def infer(self, frames: np.ndarray) -> np.ndarray:
        self.sizes.append(len(frames))
        mean = frames.mean((1, 2, 3), dtype=np.float32) / 25.5 - 5
        return np.stack([-mean, mean], axis=1)

    def close(self) -> None:
        pass


def test_several_cameras_share_a_batch_and_stay_apart(
    scripted: Make, tiny_card: Any, tmp_path: Path
) -> None:
    backend = Batches()
    classifier = Classifier(backend, tiny_card)
    sources = [scripted([grey(level)] * 30) for level in (10, 240)]
    for source, name in zip(sources, ("dark", "bright"), strict=True):
        source.name = name
    cameras = [Camera(source) for source in sources]
    summary = None
    answers: list[Answer] = []
    loop = Pipeline(cameras, classifier)
    for answer in loop:
        answers.append(answer)
        time.sleep(0.002)  # both cameras have their next frame by then
    summary = loop.summary
    assert summary.frames == 60
    assert max(backend.sizes) == 2
    assert sum(backend.sizes) == 60
    for number, name in enumerate(("dark", "bright")):
        ours = [answer for answer in answers if answer.frame.camera == number]
        assert [answer.frame.index for answer in ours] == list(range(30)), "no frame is lost"
        assert {answer.frame.source for answer in ours} == {name}
        assert {answer.smoothed.label for answer in ours} == {tiny_card.labels[number]}
        assert [answer.changed for answer in ours] == [True] + [False] * 29


# An engine that fails.


class Failing(Batches):
    """Fails at some frames."""

    def __init__(self, *fails: int) -> None:
        super().__init__()
        self.fails, self.closed = fails, 0

    def infer(self, frames: np.ndarray) -> np.ndarray:
        logits = super().infer(frames)
        if len(self.sizes) in self.fails:
            raise RuntimeError("CUDA error 719")
        return logits

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        ((3,), (), None),
        ((3,), (1,), "the engine failed again after it was reopened: CUDA error 719"),
        ((3,), (2,), "the engine failed: CUDA error 719"),
    ],
)
def test_an_engine_error_reopens_the_engine_once(
    scripted: Make, tiny_card: Any, first: Any, second: Any, error: str | None
) -> None:
    broken, fresh = Failing(*first), Failing(*second)
    loop = Pipeline(
        Camera(scripted([grey(5)] * 8)),
        Classifier(broken, tiny_card),
        reopen=lambda: Classifier(fresh, tiny_card),
    )
    if error is None:
        assert loop.run().frames == 8, "the frame at which it failed is answered too"
    else:
        with pytest.raises(DeviceError, match=error):
            loop.run()
    assert (broken.closed, fresh.closed) == (1, 1)


@pytest.mark.parametrize(("pause", "frames"), [(0.0, 8), (60.0, 4)])
def test_an_engine_is_reopened_at_most_once_per_interval(
    scripted: Make, tiny_card: Any, monkeypatch: pytest.MonkeyPatch, pause: float, frames: int
) -> None:
    monkeypatch.setattr(engine, "REOPEN_SECONDS", pause)
    engines = [Failing(3), Failing(3), Failing()]
    rest = iter(engines[1:])
    loop = Pipeline(
        Camera(scripted([grey(5)] * 8)),
        Classifier(engines[0], tiny_card),
        reopen=lambda: Classifier(next(rest), tiny_card),
    )
    with suppress(DeviceError):
        loop.run()
    assert loop.summary.frames == frames
    assert [each.closed for each in engines] == ([1, 1, 1] if frames == 8 else [1, 1, 0])


def test_an_engine_that_cannot_be_opened_again_is_a_device_error(
    scripted: Make, tiny_card: Any
) -> None:
    def reopen() -> Classifier:
        raise DeviceError("there is no GPU")

    loop = Pipeline(
        Camera(scripted([grey(5)] * 8)), Classifier(Failing(1), tiny_card), reopen=reopen
    )
    with pytest.raises(DeviceError, match="after it was reopened: there is no GPU"):
        loop.run()


# systemd.


READY = "READY=1\nSTATUS=receiving frames"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """The messages that systemd received since the last call."""
    address = f"/tmp/edgecat-systemd-{os.getpid()}.socket"  # at most 107 characters
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", address)

        def heard() -> list[str]:
            messages: list[str] = []
            with suppress(BlockingIOError):
                while True:
                    messages.append(listener.recv(200).decode())
            return messages

        yield heard
        Path(address).unlink(missing_ok=True)


def test_systemd_is_notified_of_the_first_frame(
    scripted: Make, brightness: Make, told: Callable[[], list[str]]
) -> None:
    Pipeline(Camera(scripted([grey(1)] * 2)), brightness(), [Systemd()]).run()
    assert told()[:2] == [READY, "WATCHDOG=1"]


def test_the_watchdog_is_notified_once_per_second(
    answer: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[str]]
) -> None:
    now = 50.0
    monkeypatch.setattr(systemd, "monotonic", lambda: now)
    watchdog = Systemd()
    assert told() == [], "nothing before the first frame"
    watchdog.write(answer(), grey(1))
    assert told() == [READY, "WATCHDOG=1"]
    for now, fed in [(50.5, 0), (50.99, 0), (51.0, 1), (51.5, 0), (53.0, 1), (53.99, 0), (54.0, 1)]:
        watchdog.write(answer(), grey(1))
        assert told() == ["WATCHDOG=1"] * fed, now
    assert watchdog.inline, "a background thread would go on while the loop hangs"


def test_systemd_shows_the_state_of_the_source(told: Callable[[], list[str]]) -> None:
    watchdog = Systemd()
    for state, shown in [
        ("started", []),
        ("lost", ["STATUS=no signal: no route"]),
        ("back", ["STATUS=receiving frames"]),
        ("switched", ["STATUS=receiving frames"]),
        ("reloaded", []),
    ]:
        watchdog.signal(StatusEvent(state, "yard", 0, 0.0, "no route"))  # type: ignore[arg-type]
        assert told() == shown, state
    watchdog.close()
    assert told() == ["STOPPING=1"]


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "relative", "@nobody-listens"])
def test_notify_does_nothing_without_a_listener(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract sockets")
def test_notify_supports_abstract_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"edgecat@{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1")
        assert listener.recv(200, socket.MSG_DONTWAIT) == b"READY=1"


def test_a_device_file_that_is_no_camera_is_not_listed() -> None:
    program = "from edgecat_runtime.camera.sources import v4l2\nprint(v4l2.describe('/dev/null'))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "None\n", ran.stderr
