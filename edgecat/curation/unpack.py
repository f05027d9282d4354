"""Unpacks public photo data sets from their archives into class folders for `scan`."""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgecat.curation.catalog import Collection, breed_of, species_list, species_of
from edgecat.curation.divide import check_output
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import ImageError, decode_image
from edgecat_runtime.system.atomic import atomic_folder

_LIST = "annotations/list.txt"
_JPEG = b"\xff\xd8"


@dataclass
class Unpacked:
    """The result of unpacking.

    Attributes:
        counts: number of images per class.
        skipped: one message per file that is not a complete JPEG; the sets are known to have some.
    """

    counts: Counter[str] = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)


def unpack(
    collection: Collection,
    archives: Sequence[Path],
    output: Path,
    *,
    breeds: bool = False,
    on_image: Callable[[int], None] = lambda pictures: None,
) -> Unpacked:
    """Write a set's images as `output/<class>/<file>`; the folder appears only when complete.

    Only images at the expected path inside an archive are read, and their folders are named
    here, so no name inside an archive can escape from `output`.

    Args:
        collection: the data set.
        archives: its files, in the same order.
        output: a new or empty folder.
        breeds: one class per breed instead of cat and dog.
        on_image: called with 1 after each image.

    Raises:
        UserError: the set has no breeds, an archive is damaged or contains no images, or the
            folder cannot be written.
    """
    check_output(output)
    listed = _listed(archives[1]) if len(archives) > 1 else {}
    done = Unpacked()
    with atomic_folder(output) as temporary:
        for path, data in _files(archives[0], collection.inside):
            label = _label(path, listed, breeds=breeds)
            if problem := _problem(data, path[0]):
                done.skipped.append(problem)
            else:
                place = temporary / label / path["name"]
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(data)
                done.counts[label] += 1
            on_image(1)
        if not done.counts:
            raise UserError(
                f"{archives[0]} contains no images of {collection.name}; expected files at "
                f"{collection.inside}. Delete it and fetch it again"
            )
    return done


def _label(path: re.Match[str], listed: Mapping[str, str], *, breeds: bool) -> str:
    if "label" in path.groupdict():
        return path["label"].lower()
    return breed_of(path["name"]) if breeds else species_of(path["name"], listed)


def _problem(data: bytes, name: str) -> str:
    """Say why a file is not a complete JPEG; checks the bytes, independent of OpenCV."""
    if data and not data.startswith(_JPEG):
        return f"{name} is not a JPEG, despite its suffix"
    try:
        decode_image(data, name)
    except ImageError as error:
        return str(error)
    return ""


def _listed(archive: Path) -> dict[str, str]:
    for _, data in _files(archive, rf"(?:\./)?{re.escape(_LIST)}"):
        return species_list(data.decode("utf-8", "replace"))
    return {}


def _files(archive: Path, inside: str) -> Iterator[tuple[re.Match[str], bytes]]:
    """Yield the regular files of a tar or zip whose full path matches a pattern, in order."""
    pattern = re.compile(inside)
    read = _of_zip if zipfile.is_zipfile(archive) else _of_tar
    try:
        for name, load in read(archive):
            if path := pattern.fullmatch(name):
                yield path, load()
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(
            f"cannot unpack {archive} ({error}); expected a complete .tar.gz or .zip file. "
            "Delete it and fetch it again"
        ) from error


def _of_tar(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with tarfile.open(archive, "r:*") as opened:
        for member in opened:
            if member.isreg() and (file := opened.extractfile(member)):
                yield member.name, file.read


def _of_zip(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            yield member.filename, lambda member=member: opened.read(member)  # type: ignore[misc]
