from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from edgecat import download
from edgecat.curation import catalog
from edgecat.curation.catalog import COLLECTIONS, breed_of, species_list, species_of
from edgecat.data.folder import scan
from edgecat.pets.synthetic import synthetic_pets

LIST = """#Image CLASS-ID SPECIES BREED ID
Maine_Coon_1 24 1 8
pug_2 25 2 17
Lower_Dog_3 5 2 3
"""


def jpeg(seed: int) -> bytes:
    image = synthetic_pets(1, seed=seed, size=48)[0][0]
    return cv2.imencode(".jpg", image)[1].tobytes()


def tar_gz(path: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("images/link_9.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)


def zipped(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


@pytest.fixture
def mirror(web: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server with small archives of the official layout, and the hashes that go with them."""
    tar_gz(
        web.folder / "images.tar.gz",
        {
            "images/Maine_Coon_1.jpg": jpeg(1),
            "images/pug_2.jpg": jpeg(2),
            "images/Lower_Dog_3.jpg": jpeg(3),
            "images/Bengal_4.jpg": jpeg(4),
            "images/Bengal_5.jpg": b"GIF89a no jpeg",
            "images/Bengal_6.jpg": jpeg(6)[:-300],
            "images/Abyssinian_100.mat": b"MATLAB",
            "images/../../escaped_7.jpg": jpeg(7),
            "/escaped_8.jpg": jpeg(8),
        },
    )
    tar_gz(web.folder / "annotations.tar.gz", {"annotations/list.txt": LIST.encode()})
    zipped(
        web.folder / "kagglecatsanddogs_5340.zip",
        {
            "PetImages/Cat/0.jpg": jpeg(10),
            "PetImages/Dog/0.jpg": jpeg(11),
            "PetImages/Cat/666.jpg": b"",
            "PetImages/Cat/Thumbs.db": b"x",
            "PetImages/Cat/../../../escaped.jpg": jpeg(12),
            "readme[1].txt": b"terms",
        },
    )
    own = {name: small(each, web.folder) for name, each in COLLECTIONS.items()}
    monkeypatch.setattr(catalog, "COLLECTIONS", own)
    monkeypatch.setenv("EDGECAT_DATA_URL", web.address)
    monkeypatch.setattr(download, "_PAUSES", (0, 0))
    return web


def small(collection: catalog.Collection, folder: Path) -> catalog.Collection:
    archives = tuple(
        replace(a, digest="sha256:" + hashlib.sha256((folder / a.name).read_bytes()).hexdigest())
        for a in collection.archives
    )
    return replace(collection, archives=archives)


def held(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


SETS = {
    "cats and dogs of Oxford": (
        ("oxford-pets",),
        ["cat/Bengal_4.jpg", "cat/Maine_Coon_1.jpg", "dog/Lower_Dog_3.jpg", "dog/pug_2.jpg"],
        ["Bengal_5.jpg is not a JPEG", "Bengal_6.jpg is truncated"],
    ),
    "breeds of Oxford": (
        ("oxford-pets", "--breeds"),
        [
            *("bengal/Bengal_4.jpg", "lower_dog/Lower_Dog_3.jpg"),
            *("maine_coon/Maine_Coon_1.jpg", "pug/pug_2.jpg"),
        ],
        ["Bengal_5.jpg", "Bengal_6.jpg"],
    ),
    "Kaggle's": (
        ("cats-vs-dogs",),
        ["cat/0.jpg", "dog/0.jpg"],
        ["666.jpg is empty"],
    ),
}


@pytest.mark.parametrize(("arguments", "files", "skipped"), SETS.values(), ids=SETS)
def test_a_set_becomes_class_folders(
    cli: Callable[..., Any],
    mirror: Any,
    tmp_path: Path,
    arguments: tuple[str, ...],
    files: list[str],
    skipped: list[str],
) -> None:
    output = tmp_path / "pets"
    ran = cli("data", "fetch", *arguments, "--output", output, "--json")
    answer = json.loads(ran.out)
    assert ran.code == 0, ran.err
    assert held(output) == files
    assert len(scan(output)) == len(files) == sum(answer["counts"].values())
    assert len(answer["skipped"]) == len(skipped)
    assert all(a in b for a, b in zip(skipped, answer["skipped"], strict=True))
    assert "terms: " in ran.err
    assert not list(tmp_path.rglob("escaped*"))
    assert not list(tmp_path.glob(".pets-*"))


def test_a_second_time_nothing_is_fetched(
    cli: Callable[..., Any], mirror: Any, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        assert cli("data", "fetch", "cats-vs-dogs", "--output", tmp_path / name).code == 0
    assert len(mirror.asked) == 1


def test_a_broken_connection_is_gone_on_with(
    cli: Callable[..., Any], mirror: Any, tmp_path: Path
) -> None:
    size = (mirror.folder / "kagglecatsanddogs_5340.zip").stat().st_size
    mirror.breaks_after = size // 2 + 1
    assert cli("data", "fetch", "cats-vs-dogs", "--output", tmp_path / "pets").code == 0
    assert [wanted for _, wanted in mirror.asked] == ["", f"bytes={size // 2 + 1}-"]


def test_without_the_file_the_error_says_what_to_do(
    cli: Callable[..., Any], mirror: Any, tmp_path: Path
) -> None:
    (mirror.folder / "images.tar.gz").unlink()
    ran = cli("data", "fetch", "oxford-pets", "--output", tmp_path / "pets")
    assert (ran.code, (tmp_path / "pets").exists()) == (1, False)
    assert "manually to" in ran.err
    assert "EDGECAT_DATA_URL" in ran.err


def test_other_bytes_are_refused(cli: Callable[..., Any], mirror: Any, tmp_path: Path) -> None:
    zipped(mirror.folder / "kagglecatsanddogs_5340.zip", {"PetImages/Cat/1.jpg": b"x"})
    ran = cli("data", "fetch", "cats-vs-dogs", "--output", tmp_path / "pets")
    assert (ran.code, "expected" in ran.err, (tmp_path / "pets").exists()) == (1, True, False)


def test_what_cannot_be_asked_for(cli: Callable[..., Any], mirror: Any, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").touch()
    for arguments, sentence in (
        (("birds", "--output", tmp_path / "a"), "expected one of oxford-pets, cats-vs-dogs"),
        (("cats-vs-dogs", "--breeds", "--output", tmp_path / "a"), "has no breed labels"),
        (("cats-vs-dogs", "--output", tmp_path / "full"), "is not empty"),
    ):
        ran = cli("data", "fetch", *arguments)
        assert (ran.code, sentence in ran.err) == (1, True)
    assert not mirror.asked


def test_the_catalogue_names_whole_hashes_and_https() -> None:
    for collection in COLLECTIONS.values():
        for archive in collection.archives:
            assert archive.url.startswith("https://")
            assert len(archive.digest) == len("sha256:") + 64


@pytest.mark.parametrize(
    ("name", "species", "breed"),
    [
        ("Maine_Coon_1.jpg", "cat", "maine_coon"),
        ("pug_2.jpg", "dog", "pug"),
        ("Lower_Dog_3.jpg", "dog", "lower_dog"),
        ("american_pit_bull_terrier_1.jpg", "dog", "american_pit_bull_terrier"),
        ("British_Shorthair_1.jpg", "cat", "british_shorthair"),
    ],
)
def test_names(name: str, species: str, breed: str) -> None:
    assert (species_of(name, species_list(LIST)), breed_of(name)) == (species, breed)
