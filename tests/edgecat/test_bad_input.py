"""Bad input: one sentence (got, expected, fix), an exit code, and nothing lost."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from PIL import Image

from edgecat_runtime.model.artifact import read_card, seal_onnx

Cli = Callable[..., "object"]


@pytest.fixture
def place(
    tmp_path: Path,
    checkpoint: Path,
    tiny_onnx: Path,
    make_tiny: Callable[..., bytes],
    album: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with every kind of bad input, which is also the working directory."""
    monkeypatch.chdir(tmp_path)
    for source, name in ((checkpoint, "good.safetensors"), (tiny_onnx, "good.onnx")):
        shutil.copy(source, tmp_path / name)
    shutil.copytree(album, tmp_path / "album")
    _write_models(tmp_path, make_tiny)
    _write_folders(tmp_path, album)
    return tmp_path


def _write_models(place: Path, make_tiny: Callable[..., bytes]) -> None:
    good = {name: (place / name).read_bytes() for name in ("good.onnx", "good.safetensors")}
    (place / "text.onnx").write_text("This is a text file.\n")
    (place / "text.safetensors").write_text("This is a text file.\n")
    (place / "half.onnx").write_bytes(good["good.onnx"][:500])
    (place / "half.safetensors").write_bytes(good["good.safetensors"][:5000])
    model = onnx.load_from_string(good["good.onnx"])
    model.ClearField("metadata_props")
    onnx.save(model, place / "bare.onnx")
    future = replace(read_card(place / "good.onnx"), schema=99)
    (place / "future.onnx").write_bytes(seal_onnx(good["good.onnx"], future))
    (place / "negated.onnx").write_bytes(make_tiny(negate=True))
    for name, weights, card in (
        ("good.onnx", 400, good["good.onnx"].index(b'"labels":') + 12),
        ("good.safetensors", len(good["good.safetensors"]) // 2, 40),
    ):
        for part, position in (("weights", weights), ("card", card)):
            flipped = bytearray(good[name])
            flipped[position] ^= 1
            (place / f"flipped-{part}{Path(name).suffix}").write_bytes(flipped)


def _write_folders(place: Path, album: Path) -> None:
    (place / "empty").mkdir()
    shutil.copytree(album / "cat", place / "one" / "cat")
    for label in ("cat", "dog"):
        (place / "broken" / label).mkdir(parents=True)
        data = (album / label / "0.png").read_bytes()
        (place / "broken" / label / "0.png").write_bytes(data[: len(data) // 2])
    shutil.copytree(album, place / "birds")
    (place / "birds" / "dog").rename(place / "birds" / "owl")
    (place / "text.tar").write_text("This is a text file.\n")
    (place / "text.jpg").write_text("This is a text file.\n")
    (place / "empty.jpg").touch()
    shutil.copy(place / "broken" / "cat" / "0.png", place / "cut.png")
    (place / "text.mp4").write_text("This is a text file.\n")


SENTENCES = [
    ("train missing", 1, r"missing does not exist"),
    ("train empty", 1, r"no images in class folders in .*empty"),
    ("train one", 1, r"one .*(class|label)"),
    ("train text.tar", 1, r"text\.tar .*tar"),
    ("train broken --epochs 1", 1, r"no training images left for 'cat'"),
    ("train album --size 8", 1, r"size is 8; expected 32"),
    ("train album --arch vgg99", 1, r"unknown architecture 'vgg99'; expected"),
    ("train album --lr nan", 1, r"--lr is nan"),
    ("train --resume missing", 1, r"missing"),
    ("evaluate good.onnx missing", 1, r"missing does not exist"),
    ("evaluate good.onnx birds", 1, r"owl"),
    ("evaluate missing.onnx album", 1, r"missing\.onnx does not exist"),
    ("evaluate good.onnx album --backend tpu", 1, r"'tpu' cannot open good\.onnx; expected"),
    ("export missing.safetensors", 1, r"missing\.safetensors does not exist"),
    ("export text.safetensors", 1, r"is not a safetensors file"),
    ("export half.safetensors", (1, 3), r"half\.safetensors"),
    ("export good.safetensors --output out.txt", 1, r"expected a \.onnx file"),
    ("export good.safetensors --output text.tar/out.onnx", 1, r"a parent of the path is a file"),
    ("export good.safetensors --output album", 1, r"album"),
    ("verify missing.onnx", 1, r"missing\.onnx does not exist"),
    ("verify good.onnx good.safetensors", 3, r"do not give the same predictions"),
    ("verify good.onnx --data empty", 1, r"empty"),
    ("classify missing.jpg --engine good.onnx", 1, r"cannot read missing\.jpg: No such file"),
    ("classify text.jpg --engine good.onnx", 1, r"cannot decode text\.jpg"),
    ("classify empty.jpg --engine good.onnx", 1, r"empty\.jpg is empty \(0 bytes\)"),
    ("classify cut.png --engine good.onnx", 1, r"cut\.png is truncated"),
    ("classify empty --engine good.onnx", 1, r"empty contains no images; expected .* Check"),
    ("classify text.jpg", 1, r"cannot decode text\.jpg"),
    ("classify text.jpg --engine text.onnx", 1, r"text\.onnx is not an ONNX model"),
    ("classify text.jpg --engine bare.onnx", 1, r"bare\.onnx has no model card\. .*--labels"),
    (
        "classify text.jpg --engine half.onnx",
        1,
        r"half\.onnx is not an ONNX model, or is truncated",
    ),
    ("classify text.jpg --engine future.onnx", 1, r"schema 99; this edgecat reads up to"),
    (
        "classify text.jpg --engine negated.onnx",
        3,
        r"negated\.onnx (on onnxruntime answers|with onnxruntime on cpu rejected)",
    ),
    ("classify text.jpg --engine flipped-weights.onnx", 3, r"was modified after it was written"),
    ("classify text.jpg --engine flipped-card.onnx", 3, r"damaged|modified"),
    ("classify text.jpg --engine flipped-weights.safetensors", 3, r"was modified after it was"),
    ("inspect flipped-card.safetensors", (1, 3), r"safetensors"),
    ("inspect text.jpg", 1, r"text\.jpg is not a model; expected"),
    ("inspect album", 1, r"album is not a model; expected"),
    ("camera --source missing.mp4 --engine good.onnx --headless", 1, r"missing\.mp4"),
    ("camera --source text.mp4 --engine good.onnx --headless", 1, r"text\.mp4"),
    ("camera --source empty --engine good.onnx --headless", 1, r"empty"),
    ("camera --source 97 --engine good.onnx --headless", 4, r"97"),
    ("camera --source album/cat --engine text.onnx --headless", 1, r"not an ONNX model"),
    ("camera --source album/cat --engine good.onnx --output text.tar/c.mkv", 1, r"text\.tar"),
    ("camera --max-frames 0", 2, r"max-frames"),
    ("purr", 2, r"purr"),
    ("train album --purr", 2, r"--purr"),
]


@pytest.mark.parametrize(("command", "code", "sentence"), SENTENCES, ids=[s[0] for s in SENTENCES])
def test_bad_input_is_one_sentence(
    cli: Cli, place: Path, command: str, code: int | tuple[int, ...], sentence: str
) -> None:
    before = _listing(place)
    ran = cli(*command.split())
    allowed = code if isinstance(code, tuple) else (code,)
    assert ran.code in allowed, ran
    assert re.search(sentence, ran.err), ran.err
    assert "Traceback" not in ran.err
    if 2 not in allowed:
        assert ran.err.count("error: ") == 1, ran.err
        assert ran.out == "" or command.startswith(("camera", "verify"))
    assert _listing(place) == before, "nothing is written and nothing lost"


def _listing(place: Path) -> dict[str, int]:
    files = (p for p in place.rglob("*") if p.is_file() and "runs" not in p.parts)
    return {str(path.relative_to(place)): path.stat().st_size for path in files}


def test_a_picture_of_every_kind_is_classified(cli: Cli, place: Path) -> None:
    colour = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    colour.convert("L").save(place / "grey.png")
    colour.convert("RGBA").save(place / "rgba.png")
    colour.convert("CMYK").save(place / "cmyk.jpg")
    cv2.imwrite(str(place / "deep.png"), np.full((40, 50, 3), 40000, np.uint16))
    names = ["grey.png", "rgba.png", "cmyk.jpg", "deep.png"]
    ran = cli("classify", *names, "--engine", "good.onnx")
    assert ran.code == 0, ran.err
    assert [line.split()[0] for line in ran.out.splitlines()] == names


def test_one_bad_picture_does_not_hide_the_others(cli: Cli, place: Path) -> None:
    ran = cli("classify", "cut.png", "album/cat/0.png", "--engine", "good.onnx")
    assert ran.code == 1
    assert "album/cat/0.png" in ran.out
    assert ran.err.splitlines() == [
        "skipped: cut.png is truncated: its end is missing. Copy it again",
        "error: 1 of 2 images could not be read; see the errors above",
    ]


def test_a_bad_picture_alone_is_named_once(cli: Cli, place: Path) -> None:
    ran = cli("classify", "cut.png", "--engine", "good.onnx")
    assert ran.err == "error: cut.png is truncated: its end is missing. Copy it again\n"


@pytest.mark.parametrize("command", ["classify cut.png --engine", "verify"])
@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("missing.safetensors", "missing.safetensors does not exist"),
        ("text.safetensors", "text.safetensors is not a safetensors file"),
        ("good.safetensors", "torch is not installed: pip install 'edgecat[train]'"),
    ],
)
def test_without_torch_a_bad_checkpoint_is_told_first(
    cli: Cli,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    model: str,
    sentence: str,
) -> None:
    monkeypatch.delitem(sys.modules, "edgecat.models.backend", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    ran = cli(*command.split(), model)
    assert ran.code == 1
    assert ran.err.startswith(f"error: {sentence}")


@pytest.mark.parametrize("command", ["export good.safetensors --output {}/vgg16.onnx"])
def test_a_full_disk_is_one_sentence(cli: Cli, place: Path, full_disk: Path, command: str) -> None:
    (full_disk / "filler").write_bytes(bytes(900_000))
    ran = cli(*command.format(full_disk).split())
    assert ran.code == 1
    assert "the disk is full" in ran.err
    assert [path.name for path in full_disk.iterdir()] == ["filler"]


def test_ctrl_c_is_quiet(place: Path) -> None:
    """Interrupted while it works, a command says so in one line, exits 130 and leaves no part."""
    program = (
        "import os, signal, sys, threading, time\nfrom edgecat.cli import main\n"
        "def interrupt():\n"
        "    while 'torch' not in sys.modules:\n"  # the export has begun and takes seconds
        "        time.sleep(0.01)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['edgecat', 'export', 'good.safetensors', '--output', 'out/vgg16.onnx']\n"
        "threading.Thread(target=interrupt, daemon=True).start()\nmain()\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (130, ""), ran.stderr
    assert "Traceback" not in ran.stderr
    assert not list(place.glob("out/*"))


def test_more_labels_than_answers_is_refused(cli: Cli, place: Path) -> None:
    card = read_card(place / "good.onnx")
    golden = tuple((*row, 0.0) for row in card.golden)
    three = replace(card, labels=("cat", "dog", "cow"), golden=golden)
    (place / "three.onnx").write_bytes(seal_onnx((place / "good.onnx").read_bytes(), three))
    ran = cli("classify", "album/cat/0.png", "--engine", "three.onnx")
    assert ran.code == 1
    assert "its card has 3 labels" in ran.err
