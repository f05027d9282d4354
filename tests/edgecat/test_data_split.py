from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat.curation.divide import Division, divide, write_division
from edgecat.data.folder import scan
from edgecat.pets.synthetic import synthetic_pets
from edgecat_runtime.errors import UserError


@pytest.fixture(scope="module")
def heap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 cats and 20 dogs; six more pictures are mirrored copies, and one is damaged."""
    root = tmp_path_factory.mktemp("heap")
    for i, image in enumerate(synthetic_pets(40, seed=8, size=48)[0]):
        folder = root / ("cat", "dog")[i % 2]
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"{i}.jpg"), image)
        if i < 6:
            cv2.imwrite(str(folder / f"{i}-again.jpg"), np.ascontiguousarray(image[:, ::-1]))
    (root / "cat" / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    return root


def sides(division: Division) -> dict[str, str]:
    """Map a picture's file name to its side."""
    names = (p.name.rpartition("/")[2] for p in division.pictures.pictures)
    return dict(zip(names, division.sides, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_kept_and_copies_stay_together(heap: Path, seed: int) -> None:
    division = divide(scan(heap), val=0.2, test=0.1, seed=seed)
    counts = division.counts()
    for label in ("cat", "dog"):
        assert abs(counts["val"][label] - 0.2 * 23) < 1.5
        assert abs(counts["test"][label] - 0.1 * 23) < 1.5
    where = sides(division)
    assert all(where[f"{i}.jpg"] == where[f"{i}-again.jpg"] for i in range(6))
    assert (where["broken.jpg"], len(division.corrupt), division.copies) == ("", 1, 6)


def test_the_seed_alone_decides(heap: Path) -> None:
    pictures = scan(heap)
    first, again, other = (divide(pictures, val=0.2, test=0.2, seed=s).sides for s in (1, 1, 2))
    assert first == again != other


def test_what_lies_in_a_split_stays_there_with_its_copies(heap: Path, tmp_path: Path) -> None:
    for i in (0, 1):
        name = Path("cat" if i == 0 else "dog") / f"{i}.jpg"
        (tmp_path / "test" / name).parent.mkdir(parents=True)
        (tmp_path / "test" / name).write_bytes((heap / name).read_bytes())
    division = divide(scan([heap, tmp_path]), val=0.1, test=0.5)
    assert division.counts()["test"] == {"cat": 3, "dog": 3}  # itself, its copy, its mirror image


def test_folders_are_written(cli: Callable[..., Any], heap: Path, tmp_path: Path) -> None:
    output = tmp_path / "divided"
    ran = cli("data", "split", heap, "--output", output, "--json")
    answer = json.loads(ran.out)
    assert ran.code == 0, ran.err
    pictures = scan(output)
    assert len(pictures) == 46 == sum(sum(row.values()) for row in answer["counts"].values())
    for split, row in answer["counts"].items():
        assert pictures.subset(split).counts() == row
    written = {p.path.name: p.read() for p in pictures.pictures}
    assert written["7.jpg"] == (heap / "dog" / "7.jpg").read_bytes()
    assert "skipped: " in ran.err


def test_links(heap: Path, tmp_path: Path) -> None:
    write_division(divide(scan(heap), val=0.1, test=0), tmp_path / "linked", link=True)
    files = list((tmp_path / "linked").rglob("*.jpg"))
    assert len(files) == 46
    assert all(p.is_symlink() and p.resolve().parent.parent == heap for p in files)
    assert len(scan(tmp_path / "linked")) == 46


def test_tars_of_the_same_names(heap: Path, tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        with tarfile.open(tmp_path / name, "w") as archive:
            for label in ("cat", "dog"):
                for i in range(6 if name == "a.tar" else 12):
                    shown = 2 * (i if name == "a.tar" else i + 6) + (label == "dog")
                    archive.add(heap / label / f"{shown}.jpg", f"{label}/{i}.jpg")
    division = divide(scan([tmp_path / "a.tar", tmp_path / "b.tar"]), val=0.2, test=0.2)
    write_division(division, tmp_path / "out")
    assert len(scan(tmp_path / "out")) == 36
    with pytest.raises(UserError, match="is inside a tar"):
        write_division(division, tmp_path / "linked", link=True)
    assert not (tmp_path / "linked").exists()


def test_nothing_half_written_is_left(heap: Path, tmp_path: Path, full_disk: Path) -> None:
    big = tmp_path / "big"
    for i, label in enumerate(("cat", "dog", "cat", "dog")):
        (big / label).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (400, 400, 3), np.uint8)
        cv2.imwrite(str(big / label / f"{i}.png"), noise)
    with pytest.raises(UserError, match="the disk is full"):
        write_division(divide(scan(big), val=0.1, test=0), full_disk / "out")
    assert list(full_disk.iterdir()) == []


BAD = {
    "shares of one": (("--val", "0.5", "--test", "0.5"), "less than 1 together"),
    "a negative share": (("--val", "-0.1"), "0 or more each"),
    "nothing to validate": (("--val", "0.0", "--test", "0.999"), "left for train/"),
}


@pytest.mark.parametrize(("options", "sentence"), BAD.values(), ids=BAD)
def test_bad_shares(
    cli: Callable[..., Any],
    album: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    sentence: str,
) -> None:
    ran = cli("data", "split", album, "--output", tmp_path / "out", *options)
    assert (ran.code, sentence in ran.err, (tmp_path / "out").exists()) == (1, True, False)


def test_a_folder_with_something_in_it_is_left_alone(
    cli: Callable[..., Any], album: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    ran = cli("data", "split", album, "--output", tmp_path)
    assert (ran.code, "is not empty" in ran.err) == (1, True)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
