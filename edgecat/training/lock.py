"""One process per run: a lock on the run's folder, which ends with the process that holds it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgecat_runtime.errors import UserError

log = logging.getLogger("edgecat")


@contextmanager
def locked(folder: Path, work: str = "is training") -> Iterator[None]:
    """Hold the lock of a run's folder.

    It is the system's lock (`flock`) on the folder itself: there is no file to remain, and the
    lock of a killed process is gone with it. Systems and file systems without it are not guarded.

    Args:
        folder: of the run.
        work: what another process does that has the lock, for the message.

    Raises:
        UserError: another process works on this run.
    """
    handle = _taken(folder, work)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _taken(folder: Path, work: str) -> int | None:
    """Lock a folder; None where that is not possible."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError) as error:
        log.debug("no lock on %s: %s", folder, error)
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise UserError(
                f"another process {work} {folder}; expected a run that nothing works on. "
                "Wait until it ends, or stop it first"
            ) from error
        log.debug("no lock on %s: %s", folder, error)
        return None
    return handle
