"""Reads what WebDataset's layout adds to a tar: `000123.cls` gives the class of `000123.jpg`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from edgecat_runtime.errors import UserError

CLASSES, INDEX = "classes.txt", "index.json"


def class_numbers(path: Path, places: Iterable[tuple[str, int, int]]) -> dict[str, str]:
    """Name the class of each key of a shard, such as `000123` or `val/000123`.

    Args:
        path: the tar.
        places: name, offset and size of its files; those ending in `.cls` count.

    Raises:
        UserError: a `.cls` is no number, or one that `classes.txt` beside the tar has no name for.
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
    """Read `classes.txt`; without it classes go by their numbers, and this is empty."""
    path = folder / CLASSES
    return tuple(path.read_text("utf-8").splitlines()) if path.is_file() else ()


def class_name(data: bytes, names: tuple[str, ...], where: str) -> str:
    """Turn the bytes of a `.cls` file into a class's name; raises as `class_numbers`."""
    text = data.decode("ascii", "replace").strip()
    if not text.isdecimal():
        raise UserError(f"{where} holds {text[:20]!r}; expected the number of a class")
    if not names:
        return text
    if int(text) >= len(names):
        raise UserError(
            f"{where} is of class {text}, and {CLASSES} beside the shards names {len(names)}; "
            "expected a line for each class. Complete it"
        )
    return names[int(text)]


def key_of(name: str) -> str:
    """What the files of one picture have in common: the name up to its first dot."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def expanded(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Spell out `shard-{000000..000007}.tar`, as the shells and WebDataset do."""
    for path in map(str, paths):
        braces = re.search(r"\{(\d+)\.\.(\d+)\}", path)
        if braces is None or Path(path).exists():
            yield Path(path)
            continue
        first, last = braces.groups()
        for number in range(int(first), int(last) + 1):
            middle = f"{number:0{len(first)}}"
            yield from expanded([path[: braces.start()] + middle + path[braces.end() :]])
