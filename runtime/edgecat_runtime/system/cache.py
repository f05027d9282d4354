"""The user's cache folder, whose contents may be deleted at any time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edgecat_runtime.errors import UserError

VARIABLE = "EDGECAT_CACHE"


def cache_folder() -> Path:
    """Return the folder for data that edgecat can download or measure again.

    It is `EDGECAT_CACHE` if set, else `edgecat` in the user's cache folder: `XDG_CACHE_HOME` if
    set, otherwise `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows and `~/.cache`
    elsewhere.

    Raises:
        UserError: the user has no home folder.
    """
    if own := os.environ.get(VARIABLE):
        return Path(own)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "edgecat"
    try:
        return _users_caches() / "edgecat"
    except RuntimeError as error:
        raise UserError(
            f"the user has no home folder to put a cache in. Set {VARIABLE} to a folder"
        ) from error


def cache_switched_off() -> bool:
    """Whether `EDGECAT_CACHE` is set but empty, which disables the cache of choices."""
    return os.environ.get(VARIABLE) == ""


def _users_caches() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
