"""Shards: what went in comes out, whole or not at all, and in WebDataset's layout."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat.curation.shards import write_shards
from edgecat.data.folder import ImageSet, scan
from edgecat.data.webdataset import expanded, key_of
from edgecat_runtime.errors import UserError


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Seven cats and five dogs, two pictures of each under val/."""
    for label, count in (("cat", 7), ("dog", 5)):
        for i in range(count):
            path = tmp_path / "photos" / ("val" if i < 2 else "") / label / f"{i}.b.JPG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{label} {i}".encode() * 300)
    return tmp_path / "photos"


def _shown(pictures: ImageSet) -> Counter[tuple[bytes, str, str]]:
    return Counter((p.read(), pictures.labels[p.label], p.split) for p in pictures.pictures)


def _tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_what_goes_in_comes_out(pets: Path, tmp_path: Path) -> None:
    pictures = scan(pets)
    told: list[int] = []
    shards = write_shards(pictures, tmp_path / "out", shard_size=3, seed=1, on_image=told.append)
    assert [(shard.name, shard.pictures) for shard in shards] == [
        *((f"shard-00000{i}.tar", n) for i, n in enumerate((3, 3, 2))),
        *((f"val-00000{i}.tar", 2) for i in range(2)),
    ]
    assert sum(told) == 12
    again = scan(tmp_path / "out")
    assert _shown(again) == _shown(pictures)
    assert again.skipped == ()
    assert scan(str(tmp_path / "out" / "shard-{000000..000002}.tar")).counts() == {
        "cat": 5,
        "dog": 3,
    }


def test_the_layout_is_webdatasets(pets: Path, tmp_path: Path) -> None:
    write_shards(scan(pets), tmp_path / "out", shard_size=6)
    with tarfile.open(tmp_path / "out" / "shard-000001.tar") as archive:
        names = archive.getnames()
        assert names[:4] == ["000004.jpg", "000004.cls", "000005.jpg", "000005.cls"]
        cls = archive.extractfile(names[1])
        jpg = archive.extractfile(names[0])
        assert cls is not None
        assert jpg is not None
        assert jpg.read().startswith((b"cat", b"dog")[int(cls.read())])
    assert (tmp_path / "out" / "classes.txt").read_text() == "cat\ndog\n"
    listed = json.loads((tmp_path / "out" / "index.json").read_text())["shardlist"]
    assert [shard["nsamples"] for shard in listed] == [4, 4, 4]


def test_the_seed_draws_the_order(pets: Path, tmp_path: Path) -> None:
    pictures = scan(pets)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_shards(pictures, tmp_path / name, seed=seed)
    whole = [(tmp_path / name / "shard-000000.tar").read_bytes() for name in "abc"]
    assert whole[0] == whole[1] != whole[2]


def test_shards_of_other_origin(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    files = {"a.jpg": b"1", "a.cls": b"0\n", "a.json": b"{}", "b.png": b"2", "b.cls": b"10"}
    _tar(folder / "x.tar", {**files, "c.jpg": b"no class"})
    pictures = scan(folder)
    assert pictures.labels == ("0", "10")
    assert len(pictures) == 2
    assert pictures.skipped == ("x.tar:c.jpg is not in a class folder",)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (b"cat", "x.tar:a.cls contains 'cat'; expected a class number"),
        (b"2", "has class 2, but classes.txt beside the shards names only 2"),
    ],
)
def test_class_numbers_that_name_nothing(tmp_path: Path, cls: bytes, sentence: str) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    _tar(tmp_path / "x.tar", {"a.jpg": b"1", "a.cls": cls})
    with pytest.raises(UserError, match=sentence):
        scan(tmp_path / "x.tar")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("cat\n../../escaped\n", "is not a single path component"),
        ("cat\n/tmp/escaped\n", "is not a single path component"),
        ("cat\n..\n", "is not a single path component"),
        ("cat\ncat\n", "have the same name"),
        ("cat\n\n", "is empty"),
        ("cat\nunsure\n", "is a reserved word"),
    ],
)
def test_class_names_from_outside_never_write_elsewhere(
    tmp_path: Path, cli: Callable[..., Any], names: str, sentence: str
) -> None:
    folder, out = tmp_path / "shards", tmp_path / "deep" / "er" / "out"
    folder.mkdir()
    (folder / "classes.txt").write_text(names)
    image = cv2.imencode(".png", np.zeros((40, 40, 3), np.uint8))[1].tobytes()
    files = {f"{n}{end}": data for n in range(8) for end, data in ((".png", image), (".cls", b"0"))}
    _tar(folder / "x.tar", files | {f"{n}.cls": str(n % 2).encode() for n in range(8)})
    before = sorted(tmp_path.rglob("*"))
    ran = cli("data", "split", folder, "--output", out)
    assert (ran.code, ran.out) == (1, "")
    assert "classes.txt: class" in ran.err
    assert sentence in ran.err
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_left_of_what_failed(pets: Path, tmp_path: Path) -> None:
    pictures = scan(pets)
    (pets / "dog" / "4.b.JPG").unlink()
    with pytest.raises(UserError, match="can no longer be read"):
        write_shards(pictures, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_full_disk(pets: Path, full_disk: Path) -> None:
    (pets / "cat" / "large.jpg").write_bytes(bytes(2_000_000))
    with pytest.raises(UserError, match="the disk is full"):
        write_shards(scan(pets), full_disk / "out")
    assert list(full_disk.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "paths"),
    [
        ("s-{08..11}.tar", ["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]),
        ("{0..1}/{0..1}", ["0/0", "0/1", "1/0", "1/1"]),
        ("plain", ["plain"]),
        ("{a,b}", ["{a,b}"]),
    ],
)
def test_braces(path: str, paths: list[str]) -> None:
    assert list(map(str, expanded([path]))) == paths


@pytest.mark.parametrize(
    ("name", "key"),
    [("000.jpg", "000"), ("v.1/000.seg.png", "v.1/000"), ("val/7", "val/7")],
)
def test_keys(name: str, key: str) -> None:
    assert key_of(name) == key


def test_the_command(pets: Path, tmp_path: Path, cli: Callable[..., object]) -> None:
    arguments = ("data", "shard", pets, "--output", tmp_path / "out", "--shard-size", 6)
    done = cli(*arguments, "--json")
    assert json.loads(done.out)["shards"] == {  # type: ignore[attr-defined]
        "shard-000000.tar": 4,
        "shard-000001.tar": 4,
        "val-000000.tar": 4,
    }
    again = cli(*arguments)
    assert (again.code, "is not empty" in again.err) == (1, True)  # type: ignore[attr-defined]
    none = cli(*arguments[:-3], tmp_path / "none", "--shard-size", 0)
    assert "--shard-size is 0" in none.err  # type: ignore[attr-defined]
