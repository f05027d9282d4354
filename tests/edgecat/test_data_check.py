from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgecat.curation.check_report import report_html
from edgecat.curation.checks import Judge, check
from edgecat.curation.findings import Findings
from edgecat.data.folder import scan
from edgecat.pets.synthetic import synthetic_pets
from edgecat_runtime.types import Image

FAULTS = (
    *("train/cat/empty.jpg", "train/cat/text.jpg", "train/dog/cut.jpg", "train/dog/middle.jpg"),
    *("train/dog/half.png",),
)


def written(path: Path, image: Image, quality: int = 92) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen drawn pets under train/, with copies, damage and a small picture beside them."""
    root = tmp_path_factory.mktemp("planted")
    pets = list(synthetic_pets(16, seed=5, size=128)[0])
    for i, image in enumerate(pets):
        written(root / "train" / ("cat", "dog")[i % 2] / f"{i}.jpg", image)
    copies = {
        "train/cat/encoded.jpg": (pets[0], 35),
        "train/dog/resized.jpg": (cv2.resize(pets[1], (200, 160)), 90),
        "test/cat/mirrored.jpg": (np.ascontiguousarray(pets[2][:, ::-1]), 90),
        "test/dog/darker.jpg": (cv2.convertScaleAbs(pets[3], alpha=0.6), 90),
        "train/dog/wrong-label.jpg": (pets[4], 80),
        "train/dog/small.jpg": (drawn(99, 40), 95),
    }
    for name, (image, quality) in copies.items():
        written(root / name, image, quality)
    whole = (root / "train/cat/6.jpg").read_bytes()
    (root / "test/cat/6.jpg").write_bytes(whole)
    damage(root, whole, cv2.imencode(".png", pets[7])[1].tobytes())
    return root


def drawn(seed: int, size: int) -> Image:
    return synthetic_pets(1, seed=seed, size=size)[0][0]


def damage(root: Path, whole: bytes, png: bytes) -> None:
    ending = b"\xff\xd9"
    data = (b"", b"no picture", whole[:-400], whole[: len(whole) * 2 // 3] + ending, png[:300])
    for name, content in zip(FAULTS, data, strict=True):
        (root / name).write_bytes(content)


@pytest.fixture(scope="module")
def findings(planted: Path) -> Findings:
    return check(scan(planted))


def names(found: Findings, indices: tuple[int, ...]) -> set[str]:
    return {found.pictures.pictures[i].name.partition("/")[2] for i in indices}


def test_damage_is_found_and_nothing_else(findings: Findings) -> None:
    assert names(findings, tuple(i for i, _ in findings.corrupt)) == set(FAULTS[1:])
    assert [s for s in findings.pictures.skipped if FAULTS[0] in s]
    assert "is truncated" in next(s for _, s in findings.corrupt if "middle.jpg" in s)


COPIES = [
    ({"train/cat/0.jpg", "train/cat/encoded.jpg"}, ()),
    ({"train/dog/1.jpg", "train/dog/resized.jpg"}, ()),
    ({"train/cat/2.jpg", "test/cat/mirrored.jpg"}, ("splits test and train", "mirrored")),
    ({"train/dog/3.jpg", "test/dog/darker.jpg"}, ("splits test and train",)),
    ({"train/cat/4.jpg", "train/dog/wrong-label.jpg"}, ("labels cat and dog",)),
    ({"train/cat/6.jpg", "test/cat/6.jpg"}, ("splits test and train", "the same file")),
]


def test_planted_copies_are_found_and_nothing_else(findings: Findings) -> None:
    found = [(sorted(names(findings, g.members)), g.notes) for g in findings.copies]
    assert sorted(found) == sorted((sorted(members), notes) for members, notes in COPIES)
    assert len(findings.across) == 3
    assert findings.across == findings.copies[:3]


def test_sizes_and_balance(findings: Findings) -> None:
    assert names(findings, findings.small) == {"train/dog/small.jpg"}
    assert findings.counts["test"] == {"cat": 2, "dog": 1}
    assert findings.uneven == ()
    index = next(i for i, p in enumerate(findings.pictures.pictures) if "resized" in p.name)
    assert findings.sizes[index].tolist() == [160, 200]


def brightness_judge(sure: float) -> Judge:
    """Says dog of a picture that is brighter than 128, with a logit as large as `sure`."""

    def infer(frames: Image) -> NDArray[np.float32]:
        bright = frames.mean((1, 2, 3)) > 128
        return np.stack([~bright, bright], 1).astype(np.float32) * np.float32(sure)

    return Judge("bright.onnx", ("cat", "dog"), lambda image: image[:8, :8], infer)


@pytest.mark.parametrize(("sure", "doubts"), [(10, ["cat/1.png", "dog/0.png"]), (1, ["cat/1.png"])])
def test_labels_are_doubted_by_the_models_loss(
    tmp_path: Path, sure: float, doubts: list[str]
) -> None:
    for label, values in {"cat": (20, 200), "dog": (30, 220)}.items():
        for i, value in enumerate(values):
            image = np.full((40, 40, 3), value, np.uint8)
            image[20:, :: 2 + i] = 128
            written(tmp_path / label / f"{i}.png", image)
    found = check(scan(tmp_path), judge=brightness_judge(sure))
    assert sorted(names(found, tuple(d.picture for d in found.doubts))) == doubts
    wanted = 1 / (1 + np.exp(sure))  # of two classes; the judge knows no third here
    assert [doubt.given for doubt in found.doubts] == pytest.approx([wanted] * len(doubts))


def test_the_page_is_whole_and_shows_the_copies(findings: Findings) -> None:
    html = report_html(findings)
    good = len(findings.pictures) - len(findings.corrupt)
    sample, copies = html.partition("<h2>A random sample")[2].split("<h2>Duplicates")
    assert sample.count("<img") == min(good, 48)
    assert copies.count("<img") == 2 * len(COPIES)
    assert "labels cat and dog" in html
    assert "://" not in html
    assert "<script" not in html


def test_names_are_escaped(tmp_path: Path) -> None:
    image = drawn(1, 64)
    for name in ("cat/<b>&.jpg", "dog/same.jpg"):
        written(tmp_path / name, image)
    html = report_html(check(scan(tmp_path)))
    assert "<b>&.jpg" not in html
    assert "&lt;b&gt;&amp;.jpg" in html


def test_the_command(cli: Callable[..., object], planted: Path, tmp_path: Path) -> None:
    ran = cli("data", "check", planted, "--no-doubts", "--json", "--report", tmp_path / "a.html")
    answer = json.loads(ran.out)
    assert (ran.code, answer["n"], len(answer["copies"]), len(answer["corrupt"])) == (0, 27, 6, 4)
    assert (tmp_path / "a.html").stat().st_size > 10_000
    said = cli("data", "check", planted, "--no-doubts")
    assert (said.code, "duplicate images: 6" in said.out) == (0, True)
    strict = cli("data", "check", planted, "--no-doubts", "--strict")
    assert (strict.code, "the dataset has problems: " in strict.err) == (3, True)


def test_the_command_with_a_model(cli: Callable[..., object], album: Path, tiny_onnx: Path) -> None:
    ran = cli("data", "check", album, "--model", tiny_onnx, "--json", "--strict")
    answer = json.loads(ran.out)
    assert answer["model"] == "tiny.onnx"
    assert len(answer["doubts"]) >= 1  # it says one thing of noise, and half is labelled so
    assert (ran.code, len(answer["small"])) == (3, 12)


def test_a_large_group_is_one_short_line(cli: Callable[..., object], tmp_path: Path) -> None:
    for i in range(40):
        written(tmp_path / ("cat", "dog")[i % 2] / f"{i:02}.jpg", drawn(1, 64))
    lines = cli("data", "check", tmp_path, "--no-doubts").out.splitlines()
    assert [line.count(".jpg") for line in lines if " = " in line] == [6]
    assert any(" and 34 more (labels cat and dog, the same file)" in line for line in lines)


BAD = {
    "no such model": (("--model", "none.onnx"), "none.onnx"),
    "a report of another kind": (("--report", "a.pdf"), "does not end in .html"),
}


@pytest.mark.parametrize(("options", "sentence"), BAD.values(), ids=BAD)
def test_bad_options(
    cli: Callable[..., object], album: Path, options: tuple[str, ...], sentence: str
) -> None:
    ran = cli("data", "check", album, *options)
    assert (ran.code, sentence in ran.err, "Traceback" in ran.err) == (1, True, False)


def test_a_model_of_other_labels(
    cli: Callable[..., object], tmp_path: Path, tiny_onnx: Path
) -> None:
    for i, label in enumerate(("cup", "mug")):
        written(tmp_path / label / "1.jpg", drawn(i, 64))
    named = cli("data", "check", tmp_path, "--model", tiny_onnx)
    assert (named.code, "the images also have cup, mug" in named.err) == (1, True)
