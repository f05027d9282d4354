"""A new model file is opened in a child process before the running program opens it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from edgecat_runtime.backends import backend_entries
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import EdgecatError, UserError
from edgecat_runtime.system.child import ChildFailed, ChildUnavailable, in_child

log = logging.getLogger("edgecat_runtime")

TRIAL_SECONDS = 120.0
TRIAL_MEMORY = 1 << 30
_SHARE = 6
"""Bytes of memory per byte of the files: two engines are open while backends are compared."""

_LEFT_TO_PARENT = ("EngineMismatch", "NotHere")


class NotHere(Exception):
    """The child does not know a backend of its parent."""


def why_not(options: Mapping[str, Any], *, cancelled: Callable[[], bool]) -> str:
    """Open a model file in a child process, where it runs the golden frames.

    Args:
        options: arguments of `Classifier.open_fastest`.
        cancelled: asked while the child runs; if it returns true, the child is ended.

    Returns:
        Why the file was refused: it fails, crashes, or needs more than `TRIAL_SECONDS` or
        `TRIAL_MEMORY` plus six times its size. Empty if it passed, or if the trial is not possible
        here, which is logged: the file is then opened without one.

    Raises:
        ChildCancelled: `cancelled` returned true.
    """
    paths = [Path(path) for path in options["paths"]]
    memory = TRIAL_MEMORY + _SHARE * sum(path.stat().st_size for path in paths if path.is_file())
    try:
        modules, known = _backends(paths, options["backend"], options["device"])
        sent = {**options, "paths": list(map(str, paths))}
        for name in ("cache", "trust"):
            given = options.get(name)
            sent[name] = None if given is None else str(given)
        in_child(
            f"{__name__}:open_once",
            {"modules": modules, "known": known, "options": sent},
            seconds=TRIAL_SECONDS,
            memory=memory,
            cancelled=cancelled,
        )
    except ChildUnavailable as error:
        log.warning("%s is opened without a trial in a child process: %s", paths[0], error)
    except ChildFailed as error:
        if error.kind not in _LEFT_TO_PARENT:
            return str(error)
        log.info("%s is opened without a trial in a child process: %s", paths[0], error)
    except EdgecatError as error:
        return str(error)
    return ""


def _backends(
    paths: Sequence[Path], backend: str, device: str
) -> tuple[list[str], list[tuple[str, str]]]:
    """The modules of the backends that would open the files, and the backends' names and devices.

    Raises:
        ChildUnavailable: one of them is defined in the running script.
        EdgecatError: as `backend_entries`.
    """
    modules: dict[str, None] = {}
    known: dict[tuple[str, str], None] = {}
    for entry in (e for path in paths for e in backend_entries(path, name=backend, device=device)):
        opener: Any = entry.open
        while isinstance(opener, partial):
            opener = opener.func
        module = getattr(opener, "__module__", None) or "__main__"
        if module == "__main__":
            raise ChildUnavailable(f"its backend {entry.name} belongs to this program")
        modules[module] = None
        known[entry.name, entry.device] = None
    return list(modules), list(known)


def open_once(
    modules: Sequence[str], known: Sequence[tuple[str, str]], options: Mapping[str, Any]
) -> None:
    """In the child: open and self-test the files; raises as `Classifier.open_fastest`."""
    with suppress(ImportError):  # what it would have registered is then missing below
        for module in modules:
            import_module(module)
    found: set[tuple[str, str]] = set()
    with suppress(UserError):  # the backend is unknown here
        for path in options["paths"]:
            entries = backend_entries(path, name=options["backend"], device=options["device"])
            found |= {(entry.name, entry.device) for entry in entries}
    if missing := [name for name, device in known if (name, device) not in found]:
        raise NotHere(f"the backend {missing[0]} is registered by this program alone")
    cache = options["cache"]
    Classifier.open_fastest(**{**options, "cache": Path(cache) if cache else None}).close()
