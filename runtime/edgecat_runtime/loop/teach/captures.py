"""One captured image: its file's name says its number and its time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edgecat_runtime.errors import UserError
from edgecat_runtime.images import IMAGE_SUFFIXES
from edgecat_runtime.images.places import is_junk
from edgecat_runtime.model.class_names import check_class_name

HELD = "val"
"""The folder of held-out images, beside the class folders."""

_NAME = re.compile(r"(\d{4,})-(\d{8}T\d{6}\.\d{3})Z")
_TIME = "%Y%m%dT%H%M%S.%f"
_FORBIDDEN = frozenset('/\\:*?"<>|')


@dataclass(frozen=True)
class Capture:
    """One image of the store.

    Attributes:
        label: its class.
        file: its file's name.
        time: when it was captured, Unix time in seconds.
        held: whether it is held out.
        source: where it came from; empty if the log does not say.
        alike: whether it is nearly the same as an earlier one of its class.
    """

    label: str
    file: str
    time: float
    held: bool = False
    source: str = ""
    alike: bool = False

    @property
    def key(self) -> str:
        """Class and file name, which name it on the page."""
        return f"{self.label}/{self.file}"

    def path(self, folder: Path) -> Path:
        """Its file, in a store's folder."""
        return folder / (HELD if self.held else "") / self.label / self.file


def file_name(number: int, seconds: float) -> str:
    """The name of a new image's file: its number, and Unix time as UTC.

    Example:
        >>> file_name(7, 1769860800.12)
        '0007-20260131T120000.120Z.jpg'
    """
    moment = datetime.fromtimestamp(round(seconds, 3), timezone.utc)
    return f"{number:04}-{moment.strftime(_TIME)[:-3]}Z.jpg"


def number_of(file: str) -> int:
    """The number in a file's name; 0 if it has none."""
    match = _NAME.match(file)
    return int(match[1]) if match else 0


def time_of(path: Path) -> float:
    """When an image was captured, Unix time in seconds: from its name, else from its file."""
    if match := _NAME.match(path.name):
        with suppress(ValueError):
            moment = datetime.strptime(match[2], _TIME)
            return moment.replace(tzinfo=timezone.utc).timestamp()
    return path.stat().st_mtime


def images_in(parent: Path, split_of: Callable[[str], str]) -> list[Path]:
    """The images directly in the class folders of a folder; none if it does not exist.

    Args:
        parent: of the class folders.
        split_of: tells the names of splits, which are no classes.

    Raises:
        UserError: a folder cannot be read.
    """
    try:
        folders = sorted(path for path in parent.iterdir() if path.is_dir())
        return [
            path
            for folder in folders
            if not is_junk(folder.name) and not split_of(folder.name)
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in IMAGE_SUFFIXES and not is_junk(path.name)
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read {parent}: {error.strerror}. Choose another folder") from error


def checked_class(name: str, split_of: Callable[[str], str]) -> str:
    """Return a class name as its folder is called.

    Args:
        name: as it was typed.
        split_of: tells the names of splits.

    Raises:
        UserError: it cannot be the name of a class folder on every file system.
    """
    name = unicodedata.normalize("NFC", name.strip())
    check_class_name(name, "edgecat teach")
    if name.startswith(".") or name.endswith(".") or set(name) & _FORBIDDEN:
        raise UserError(
            f"class name {name!r} cannot name a folder everywhere; expected a plain word, such as "
            "mug"
        )
    if split_of(name):
        raise UserError(f"class name {name!r} stands for a split; expected a class, such as mug")
    return name
