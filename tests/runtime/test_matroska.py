"""The Matroska writer, checked with a small parser of RFC 8794 (EBML) and RFC 9559, section 5."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime.outputs.matroska import MatroskaWriter

GREY = np.full((48, 64, 3), 90, np.uint8)
EBML, SEGMENT, SEEK_HEAD, SEEK, INFO = 0x1A45DFA3, 0x18538067, 0x114D9B74, 0x4DBB, 0x1549A966
TRACKS, TRACK, VIDEO, CLUSTER = 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675
CUES, CUE, PLACES = 0x1C53BB6B, 0xBB, 0xB7
TEXTS = {0x4282, 0x86}
MASTERS = {EBML, SEGMENT, SEEK_HEAD, SEEK, INFO, TRACKS, TRACK, VIDEO, CLUSTER, CUES, CUE, PLACES}

Elements = list[tuple[int, Any]]


def elements(data: bytes) -> Elements:
    """Parse EBML elements into (ID, children or bytes)."""
    found: Elements = []
    place = 0
    while place < len(data):
        length = 9 - data[place].bit_length()
        number = int.from_bytes(data[place : place + length], "big")
        place += length
        length = 9 - data[place].bit_length()
        size = int.from_bytes(data[place : place + length], "big") - (1 << 7 * length)
        assert size != (1 << 7 * length) - 1, "unknown size"
        place += length
        body = data[place : place + size]
        assert len(body) == size
        found.append((number, elements(body) if number in MASTERS else body))
        place += size
    return found


def of(parts: Elements, *numbers: int) -> Any:
    """Follow a path of element IDs, each of which must occur exactly once."""
    for number in numbers:
        (parts,) = (value for name, value in parts if name == number)
    return parts


def integers(parts: Elements) -> dict[int, int | bytes]:
    """The unsigned integers and strings among the elements, by ID."""
    return {
        name: value if name in TEXTS else int.from_bytes(value, "big")
        for name, value in parts
        if isinstance(value, bytes)
    }


@dataclass
class Film:
    """The parsed contents of a file.

    Attributes:
        data: the whole file.
        start: offset of the segment's contents.
        parts: the segment's elements.
        clusters: timestamps in milliseconds.
        times: timestamps of the frames in milliseconds.
        pictures: the frames' bytes.
    """

    data: bytes
    start: int
    parts: Elements
    clusters: list[int]
    times: list[int]
    pictures: list[bytes]


def film(path: Path) -> Film:
    data = path.read_bytes()
    (_, _), (number, parts) = elements(data)
    assert number == SEGMENT
    read = Film(data, data.index(b"\x18\x53\x80\x67") + 12, parts, [], [], [])
    for cluster in (value for name, value in parts if name == CLUSTER):
        read.clusters.append(int.from_bytes(of(cluster, 0xE7), "big"))
        for block in (value for name, value in cluster if name == 0xA3):
            track, offset, flags = struct.unpack(">BhB", block[:4])
            assert (track, flags) == (0x81, 0x80), "track 1, key frame"
            read.times.append(read.clusters[-1] + offset)
            read.pictures.append(block[4:])
    return read


def written(
    path: Path, moments: list[float], pictures: list[bytes], *, fps: float = 0.0, height: int = 48
) -> Film:
    writer = MatroskaWriter(path, width=64, height=height, fps=fps)
    for moment, picture in zip(moments, pictures, strict=True):
        writer.write(picture, moment)
    writer.close()
    return film(path)


LIVE = [0.0, 0.5, 5.0, 5.001, 12.25]


@pytest.mark.parametrize(
    ("fps", "moments", "clusters", "duration"),
    [
        (0.0, LIVE, [0, 5001, 12_250], 12_250 + 7_249),
        (4.0, [0.0, 0.25, 0.5], [0], 750),
        (0.0, [0.0], [0], 1),
    ],
)
def test_every_element_follows_the_standard(
    tmp_path: Path, fps: float, moments: list[float], clusters: list[int], duration: float
) -> None:
    jpegs = [bytes([index]) * 2000 for index in range(len(moments))]
    read = written(tmp_path / "clip.mkv", moments, jpegs, fps=fps)
    head = of(elements(read.data), EBML)
    assert integers(head) == {
        0x4286: 1,  # EBMLVersion
        0x42F7: 1,  # EBMLReadVersion
        0x42F2: 4,  # EBMLMaxIDLength
        0x42F3: 8,  # EBMLMaxSizeLength
        0x4282: b"matroska",
        0x4287: 4,  # DocTypeVersion
        0x4285: 2,  # DocTypeReadVersion
    }
    info = of(read.parts, INFO)
    assert int.from_bytes(of(info, 0x2AD7B1), "big") == 1_000_000, "timestamps in milliseconds"
    assert of(info, 0x4D80) == of(info, 0x5741) == b"edgecat"
    assert struct.unpack(">d", of(info, 0x4489)) == (duration,)
    rate = {0x23E383: 250_000_000} if fps else {}
    track = of(read.parts, TRACKS, TRACK)
    assert integers(track) == {0xD7: 1, 0x73C5: 1, 0x83: 1, 0x9C: 0, 0x86: b"V_MJPEG", **rate}
    assert integers(of(track, VIDEO)) == {0xB0: 64, 0xBA: 48}
    assert read.times == [round(1000 * moment) for moment in moments]
    assert read.clusters == clusters, "a new cluster every five seconds"
    assert read.pictures == jpegs


def test_the_seek_head_and_cues_point_at_their_targets(tmp_path: Path) -> None:
    read = written(tmp_path / "clip.mkv", LIVE, [b"jpeg"] * 5)
    seek = of(read.parts, SEEK_HEAD, SEEK)
    assert of(seek, 0x53AB) == CUES.to_bytes(4, "big")
    place = read.start + int.from_bytes(of(seek, 0x53AC), "big")
    assert read.data[place : place + 4] == CUES.to_bytes(4, "big")
    cues = [value for name, value in of(read.parts, CUES) if name == CUE]
    assert [integers(cue)[0xB3] for cue in cues] == read.clusters
    for cue in cues:
        where = integers(of(cue, PLACES))
        assert where[0xF7] == 1, "track number"
        place = read.start + int(where[0xF1])
        assert read.data[place : place + 4] == CLUSTER.to_bytes(4, "big")


def test_sizes_and_timestamps_of_any_length(tmp_path: Path) -> None:
    sizes = [0, 100, 122, 123, 124, 300, 20_000, 2_200_000]
    moments = [number * 20_000.0 for number in range(8)]
    jpegs = [bytes(size) for size in sizes]
    read = written(tmp_path / "clip.mkv", moments, jpegs, height=70_000)
    assert [len(picture) for picture in read.pictures] == sizes
    assert read.times == read.clusters == [number * 20_000_000 for number in range(8)]
    assert integers(of(read.parts, TRACKS, TRACK, VIDEO)) == {0xB0: 64, 0xBA: 70_000}


def test_closing_without_frames_writes_nothing_more(tmp_path: Path) -> None:
    writer = MatroskaWriter(tmp_path / "clip.mkv", width=64, height=48)
    size = (tmp_path / "clip.mkv").stat().st_size
    writer.close()
    assert (tmp_path / "clip.mkv").stat().st_size == size
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"", 0.0)


def test_a_write_that_fails_leaves_no_part(full_disk: Path) -> None:
    path = full_disk / "clip.mkv"
    writer = MatroskaWriter(path, width=64, height=48)
    size = path.stat().st_size
    with pytest.raises(OSError, match="No space"):
        for index in range(100):
            writer.write(bytes(30_000), index / 30)
            size = path.stat().st_size
    assert path.stat().st_size == size


def test_a_long_gap_and_a_clock_that_stands_still(tmp_path: Path) -> None:
    _, jpeg = cv2.imencode(".jpg", GREY)
    writer = MatroskaWriter(tmp_path / "clip.mkv", width=64, height=48)
    for seconds in (0.0, 0.0, 0.0, 3600.0, 3599.0, 90_000.0):
        writer.write(jpeg.tobytes(), seconds)
    writer.close()
    writer.close()
    assert film(tmp_path / "clip.mkv").times == [0, 1, 2, 3_600_000, 3_600_001, 90_000_000]
    assert (tmp_path / "clip.mkv").stat().st_size < 6 * len(jpeg) + 800
