"""The user's cache folder: what lies there can be thrown away at any time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edgecat_runtime.errors import UserError

VARIABLE = "EDGECAT_CACHE"


def cache_folder() -> Path:
    """Return the folder for what edgecat can fetch or measure again.

    It is the folder that `EDGECAT_CACHE` names, else `edgecat` in the user's cache folder:
    `XDG_CACHE_HOME` where that is set, and otherwise `~/Library/Caches` on macOS, `%LOCALAPPDATA%`
    on Windows and `~/.cache` elsewhere.

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
            f"this user has no home folder, so there is no place for a cache. Set {VARIABLE} to a "
            "folder"
        ) from error


def cache_switched_off() -> bool:
    """Whether `EDGECAT_CACHE` is set, but empty: then no choice is remembered."""
    return os.environ.get(VARIABLE) == ""


def _users_caches() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
