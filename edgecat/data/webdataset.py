"""Reads the labels in WebDataset's tar layout: `000123.cls` is the class of `000123.jpg`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.class_names import check_labels

CLASSES, INDEX = "classes.txt", "index.json"


def class_numbers(path: Path, places: Iterable[tuple[str, int, int]]) -> dict[str, str]:
    """Return the class name of each key of a shard, such as `000123` or `val/000123`.

    Args:
        path: the tar.
        places: name, offset and size of its files; only those ending in `.cls` are used.

    Raises:
        UserError: a `.cls` is not a number, or `classes.txt` beside the tar has no name for it.
    """
    named: dict[str, str] = {}
    numbered = [place for place in places if place[0].endswith(".cls")]
    if not numbered:
        return named
    names = class_names(path.parent)
    with path.open("rb") as file:
        for name, offset, size in numbered:
            file.seek(offset)
            named[key_of(name)] = class_name(file.read(size), names, f"{path.name}:{name}")
    return named


def class_names(folder: Path) -> tuple[str, ...]:
    """Read `classes.txt`; empty if it is missing: the classes are then named by their numbers.

    Raises:
        UserError: a name is not a single path component, two are the same, or the text is not
            UTF-8.
    """
    path = folder / CLASSES
    if not path.is_file():
        return ()
    try:
        names = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; expected one class name per line") from error
    return check_labels(names, str(path))


def class_name(data: bytes, names: tuple[str, ...], where: str) -> str:
    """Turn the bytes of a `.cls` file into a class name; raises as `class_numbers`."""
    text = data.decode("ascii", "replace").strip()
    if not text.isdecimal():
        raise UserError(f"{where} contains {text[:20]!r}; expected a class number")
    if not names:
        return text
    if int(text) >= len(names):
        raise UserError(
            f"{where} has class {text}, but {CLASSES} beside the shards names only {len(names)}; "
            "expected one line per class. Complete it"
        )
    return names[int(text)]


def key_of(name: str) -> str:
    """The key that all files of a sample share: the name up to its first dot."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def expanded(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Expand `shard-{000000..000007}.tar`, as shells and WebDataset do."""
    for path in map(str, paths):
        braces = re.search(r"\{(\d+)\.\.(\d+)\}", path)
        if braces is None or Path(path).exists():
            yield Path(path)
            continue
        first, last = braces.groups()
        for number in range(int(first), int(last) + 1):
            middle = f"{number:0{len(first)}}"
            yield from expanded([path[: braces.start()] + middle + path[braces.end() :]])
