"""Video files: damaged, interlaced and turned ones, made by FFmpeg or with OpenCV's writer."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecat_runtime.camera.source import Source
from edgecat_runtime.camera.sources.files import open_file
from edgecat_runtime.errors import UserError
from edgecat_runtime.types import Image


def ffmpeg(*arguments: str | Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    ran = subprocess.run(
        ["ffmpeg", "-v", "error", "-y", *map(str, arguments)], capture_output=True, text=True
    )
    if "Unknown encoder" in ran.stderr:
        pytest.skip(ran.stderr.strip().splitlines()[-1])
    assert ran.returncode == 0, ran.stderr


def pattern(path: Path, *options: str, frames: int = 50) -> Path:
    """A test pattern that changes from frame to frame, 160x120, 25 frames per second."""
    size = ("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25", "-pix_fmt", "yuv420p")
    ffmpeg(*size, "-frames:v", str(frames), *options, path)
    return path


def every_frame(source: Source) -> list[Image]:
    frames = []
    while (shot := source.read()) is not None:
        frames.append(shot.image)
    source.close()
    return frames


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("at", [0.3, 0.7])
def test_a_damaged_packet_costs_only_its_frames(
    suffix: str, at: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = pattern(tmp_path / f"clip.{suffix}", "-c:v", "libx264", "-g", "10", "-bf", "0")
    whole = every_frame(open_file(str(path)))
    assert len(whole) == 50
    assert caplog.text == ""
    packets = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "packet=pos,size", "-of", "csv=p=0", path],
        capture_output=True,
        text=True,
    ).stdout.split()
    size, where = map(int, packets[int(at * 50)].strip(",").split(",")[:2])
    data = bytearray(path.read_bytes())
    data[where + 4 : where + size] = bytes([0x5A]) * (size - 4)
    path.write_bytes(data)

    source = open_file(str(path))
    with caplog.at_level(logging.WARNING):
        frames = every_frame(source)
    assert 38 <= len(frames) < 50, "the rest of its group of pictures at most"
    assert len(frames) + source.skipped == 50
    assert f"{source.skipped} of about 50 frames are missing or damaged" in caplog.text


def test_a_file_that_was_not_copied_to_its_end_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = pattern(tmp_path / "clip.mkv", "-c:v", "mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_file(str(path))
    with caplog.at_level(logging.WARNING):
        frames = every_frame(source)
    assert 0 < len(frames) < 40
    assert source.skipped > 5
    assert "of about 50 frames are missing" in caplog.text


@pytest.mark.parametrize(
    ("name", "codec"),
    [("clip.mp4", "libx264"), ("clip.mpg", "mpeg2video"), ("clip.ts", "mpeg2video")],
)
def test_interlaced_frames_are_images_or_refused(name: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / name
    pattern(path, "-vf", "interlace", "-c:v", codec, "-flags", "+ildct+ilme")
    try:
        frames = every_frame(open_file(str(path)))
    except UserError as error:
        assert f"{path} is interlaced, which the FFmpeg of OpenCV" in str(error)  # noqa: PT017
        assert "yadif" in str(error)  # noqa: PT017
    else:
        assert len(frames) > 20
        assert frames[0].std() > 20
        assert not np.array_equal(frames[0], frames[5])


def test_a_still_video_is_not_taken_for_an_interlaced_one(tmp_path: Path) -> None:
    path = tmp_path / "still.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(5):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    assert len(every_frame(open_file(str(path)))) == 5


@pytest.mark.parametrize(("degrees", "corner"), [(0, 0), (90, 1), (180, 2), (270, 3)])
def test_phone_videos_are_upright(degrees: int, corner: int, tmp_path: Path) -> None:
    """The bright corner, top left as stored, moves clockwise by the file's rotation."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (160, 96))
    image = np.zeros((96, 160, 3), np.uint8)
    image[:32, :32] = 255
    for _ in range(3):
        writer.write(image)
    writer.release()
    path.write_bytes(rotated(path.read_bytes(), degrees))
    frame = every_frame(open_file(str(path)))[0]
    assert frame.shape[:2] == ((160, 96) if degrees % 180 else (96, 160))
    corners = (frame[8, 8], frame[8, -8], frame[-8, -8], frame[-8, 8])
    assert int(np.argmax([pixel.mean() for pixel in corners])) == corner


def rotated(data: bytes, degrees: int) -> bytes:
    """An mp4 with the display matrix of its track header turned clockwise (ISO/IEC 14496-12)."""
    one, minus = (1 << 16).to_bytes(4, "big"), (-1 << 16).to_bytes(4, "big", signed=True)
    zero, unit = bytes(4), (1 << 30).to_bytes(4, "big")
    a, b, c, d = {
        0: (one, zero, zero, one),
        90: (zero, one, minus, zero),
        180: (minus, zero, zero, minus),
        270: (zero, minus, one, zero),
    }[degrees]
    start = data.index(b"tkhd") + 4 + 40
    matrix = a + b + zero + c + d + zero + zero + zero + unit
    return data[:start] + matrix + data[start + len(matrix) :]


@pytest.mark.parametrize("damaged", [False, True])
def test_what_no_decoder_reads_says_what_to_do(damaged: bool, tmp_path: Path) -> None:
    """No pip wheel of OpenCV decodes AV1 without a GPU; the file itself may be whole."""
    codec = "libx264" if damaged else "libaom-av1"
    path = pattern(tmp_path / "clip.mp4", "-c:v", codec, "-movflags", "+faststart", frames=5)
    if damaged:
        data = path.read_bytes()
        start = data.index(b"mdat") + 4
        path.write_bytes(data[:start] + bytes(len(data) - start))
    elif cv2.VideoCapture(str(path)).read()[0]:
        pytest.skip("this OpenCV decodes AV1")
    source = open_file(str(path))
    with pytest.raises(UserError, match=r"contains no frame .* can decode \(codec \w+\)") as raised:
        source.read()
    source.close()
    name = "h264" if damaged else "av01"
    assert f"(codec {name})" in str(raised.value).lower().replace("avc1", "h264")
    assert "If it plays elsewhere, convert it: ffmpeg -i INPUT" in str(raised.value)
