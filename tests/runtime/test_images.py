from __future__ import annotations

import io
import os
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from edgecat_runtime import images
from edgecat_runtime.images import ImageError, decode_image, read_image

RED = (200, 30, 20)  # RGB


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _red(mode: str) -> Image.Image:
    return Image.new("RGB", (40, 24), RED).convert(mode)


def _rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    return _saved(_red("RGB"), "JPEG", quality=95, exif=exif)


def _sixteen(channels: int) -> bytes:
    shape = (24, 40) if channels == 1 else (24, 40, channels)
    values = np.full(shape, 65535 // 2, np.uint16)
    return cv2.imencode(".png", values)[1].tobytes()


def _half_transparent() -> bytes:
    return _saved(Image.new("RGBA", (40, 24), (*RED, 0)), "PNG")


@pytest.mark.parametrize(
    ("data", "shape", "colour"),
    [
        (_saved(_red("RGB"), "JPEG", quality=95), (24, 40), RED),
        (_saved(_red("RGB"), "PNG"), (24, 40), RED),
        (_saved(_red("RGB"), "WEBP", lossless=True), (24, 40), RED),
        (_saved(_red("RGB"), "BMP"), (24, 40), RED),
        (_saved(_red("RGB"), "TIFF"), (24, 40), RED),
        (_saved(_red("L"), "JPEG", quality=95), (24, 40), (79, 79, 79)),
        (_saved(_red("L"), "PNG"), (24, 40), (79, 79, 79)),
        (_saved(_red("P"), "PNG"), (24, 40), RED),
        (_saved(_red("RGBA"), "PNG"), (24, 40), RED),
        (_saved(_red("CMYK"), "JPEG", quality=95), (24, 40), RED),
        (_half_transparent(), (24, 40), (255, 255, 255)),
        (_sixteen(1), (24, 40), (127, 127, 127)),
        (_sixteen(3), (24, 40), (127, 127, 127)),
        (_sixteen(4), (24, 40), (191, 191, 191)),
        (_rotated(), (40, 24), RED),
    ],
    ids=(
        "jpeg png webp bmp tiff grey-jpeg grey-png palette rgba cmyk transparent grey16 rgb16 "
        "rgba16 exif-rotated"
    ).split(),
)
def test_every_kind_becomes_bgr(data: bytes, shape: tuple[int, int], colour: tuple[int]) -> None:
    image = decode_image(data, "picture")
    assert image.shape == (*shape, 3)
    assert image.dtype == np.uint8
    assert np.abs(image[..., ::-1].mean((0, 1)) - colour).max() < 6


_NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
_JPEG = cv2.imencode(".jpg", _NOISE)[1].tobytes()
_PNG = cv2.imencode(".png", _NOISE)[1].tobytes()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", r"cat\.jpg is empty \(0 bytes\)"),
        (b"This is a text.", r"cannot decode cat\.jpg; expected JPEG"),
        (_JPEG[: len(_JPEG) // 2], r"cat\.jpg is truncated"),
        (_JPEG[:-2], r"cat\.jpg is truncated"),
        (_JPEG[:40], r"cat\.jpg is truncated"),
        (_PNG[: len(_PNG) // 2], r"cat\.jpg is truncated"),
        (b"\xff\xd8\xff\xd9", r"cat\.jpg( is truncated|; expected JPEG)"),
        (b"\x89PNG\r\n\x1a\n" + b"IEND", r"cat\.jpg is truncated"),
    ],
)
def test_what_is_no_whole_picture_is_named(data: bytes, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        decode_image(data, "cat.jpg")


def test_a_thumbnail_does_not_hide_that_the_picture_is_cut() -> None:
    thumbnail = cv2.imencode(".jpg", _NOISE[:16, :16])[1].tobytes()
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = _JPEG[:2] + segment + _JPEG[2:]
    assert decode_image(whole, "cat.jpg").shape == (64, 64, 3)
    with pytest.raises(ImageError, match="truncated"):
        decode_image(whole[:-500], "cat.jpg")


@pytest.mark.parametrize(
    ("flat", "progressive"),
    [(False, False), (True, False), (True, True)],  # a later progressive scan only adds detail
)
def test_a_jpeg_without_all_of_its_data_is_truncated_even_with_an_end(
    flat: bool, progressive: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    image = np.full((240, 320, 3), 255, np.uint8)
    inside = image[60:180, 60:260] if flat else image
    inside[:] = np.random.default_rng(0).integers(0, 256, inside.shape)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)]
    data = cv2.imencode(".jpg", image, options)[1].tobytes()
    assert decode_image(data, "whole.jpg").shape == image.shape
    assert capfd.readouterr().err == "", "nothing is printed for a whole one"
    for share in (0.5, 0.9):
        with pytest.raises(ImageError, match="is truncated"):
            decode_image(data[: int(len(data) * share)] + b"\xff\xd9", "cut.jpg")


def test_bytes_after_the_end_of_a_png_are_ignored() -> None:
    data = _saved(_red("RGB"), "PNG")
    assert decode_image(data + bytes(5000), "padded.png").shape == (24, 40, 3)
    with pytest.raises(ImageError, match="is truncated"):
        decode_image(data[:-12] + b"IEND", "cut.png")


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_orientation_counts_where_there_is_alpha(kind: str, turn: int) -> None:
    image = Image.new("RGBA", (6, 4), (*RED, 255))
    image.putpixel((0, 0), (0, 0, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = turn
    data = _saved(image, kind, exif=exif, lossless=True)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert np.array_equal(decode_image(data, kind)[..., ::-1], expected)


def test_a_large_image_with_alpha_is_blended_in_little_memory() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3000, 2000, 4), np.uint8)
    data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes()
    tracemalloc.start()
    shown = decode_image(data, "large.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * shown.nbytes
    alpha = image[..., 3:] / 255
    assert np.array_equal(shown, (image[..., :3] * alpha + 255 * (1 - alpha)).round())


def test_a_file_of_too_many_pixels_is_refused() -> None:
    work = (
        "import struct, zlib; from edgecat_runtime.images import decode_image\n"
        "def chunk(kind, data):\n"
        "    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', "
        "zlib.crc32(kind + data))\n"
        "head = chunk(b'IHDR', struct.pack('>IIBBBBB', 40000, 40000, 8, 6, 0, 0, 0))\n"
        "data = b'\\x89PNG\\r\\n\\x1a\\n' + head + chunk(b'IDAT', zlib.compress(bytes(99)))\n"
        "decode_image(data + chunk(b'IEND', b''), 'bomb.png')"
    )
    ran = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True)
    assert "cannot decode bomb.png; expected" in ran.stderr
    assert "of at most 134 megapixels" in ran.stderr


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot read .*none\.jpg: No such file"):
        read_image(tmp_path / "none.jpg")


def test_what_never_ends_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zeros.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zeros.png"):
        with pytest.raises(ImageError, match=f"{name} is not a regular file; expected an image"):
            read_image(tmp_path / name)
    monkeypatch.setattr(images, "MOST_BYTES", 9)
    (tmp_path / "large.png").write_bytes(bytes(10))
    with pytest.raises(ImageError, match=r"large.png has .* GB; expected an image of at most"):
        read_image(tmp_path / "large.png")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "PPM", "WEBP"])
def test_no_library_prints_about_a_damaged_image(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    data = _saved(Image.fromarray(noise), kind)
    middle = len(data) // 2
    for damaged in (data[:middle], data[:middle] + bytes(200) + data[middle + 200 :]):
        with suppress(ImageError):
            decode_image(damaged, "damaged")
    assert capfd.readouterr().err == ""
