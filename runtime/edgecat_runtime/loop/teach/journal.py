"""A log of one JSON object per line, of which a killed process leaves every whole line."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgecat_runtime.system.atomic import write_error


class Journal:
    """A JSON Lines file that is only appended to.

    Args:
        path: the file; it and its folder are created with the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, event: str, **values: Any) -> None:
        """Add a line with the time, the event and its values, in one write.

        Raises:
            UserError: it cannot be written.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        entry = {"time": now.replace("+00:00", "Z"), "event": event, **values}
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+", buffering=0) as file:
                if file.tell() and not _ends_whole(file):
                    line = b"\n" + line  # the last run was killed while writing a line
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise write_error(self._path, error) from error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the lines; those that are not whole are left out."""
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and isinstance(entry.get("event"), str):
                yield entry


def _ends_whole(file: Any) -> bool:
    file.seek(-1, 2)
    return bool(file.read(1) == b"\n")
