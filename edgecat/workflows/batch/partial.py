"""The results so far of a run: numbered part files and a manifest, beside the output."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecat.workflows.batch.output import Counts, merge, part_bytes, rows_in, schema
from edgecat.workflows.batch.tasks import Rows, Task
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import atomic_write

_MANIFEST = "manifest.json"
_NAMES = {
    "images": "the number of images",
    "inputs": "the list of images",
    "model": "the model",
    "labels": "the labels",
    "backend": "the backend",
    "device": "the device",
    "batch": "the batch size",
    "part": "the size of a part",
    "version": "the format",
}


def folder_of(output: Path) -> Path:
    """Where the results so far are kept: `predictions.parquet.partial`."""
    return output.with_name(output.name + ".partial")


def kept_facts(folder: Path) -> dict[str, Any]:
    """The manifest of an earlier run; empty if there is none.

    Raises:
        UserError: it is damaged.
    """
    try:
        kept = json.loads((folder / _MANIFEST).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {folder / _MANIFEST} ({error}); expected the manifest of an interrupted "
            f"run. Delete {folder} to start from the beginning"
        ) from error
    if not isinstance(kept, dict):
        raise UserError(f"{folder / _MANIFEST} is damaged. Delete {folder} to start again")
    return kept


class Partial:
    """The finished parts of a run.

    Args:
        output: the file to write in the end.
        facts: what the results depend on; those of an interrupted run must be the same.

    Raises:
        UserError: the folder belongs to a run with another model, other images or other batches,
            or cannot be written.
    """

    def __init__(self, output: Path, facts: Mapping[str, Any]) -> None:
        self.folder = folder_of(output)
        self._output = output
        self._columns = schema(facts)
        kept = kept_facts(self.folder)
        if kept:
            self._check(kept, json.loads(json.dumps(dict(facts))))
        else:
            atomic_write(self.folder / _MANIFEST, json.dumps(dict(facts), indent=1))

    def _check(self, kept: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        changed = [name for name in _NAMES if kept.get(name) != facts.get(name)]
        if not changed:
            return
        small = (str, int)
        shown = [
            f"{_NAMES[name]}: {kept.get(name)} then, {facts.get(name)} now"
            if isinstance(kept.get(name), small) and len(str(kept.get(name))) < 32
            else _NAMES[name]
            for name in changed
        ]
        raise UserError(
            f"{self.folder} holds the results so far of another run; what differs: "
            f"{'; '.join(shown)}. Repeat the command that was interrupted, choose another "
            "--output, or delete the folder to start from the beginning"
        )

    def has(self, part: int, images: int) -> bool:
        """Whether a part was written completely."""
        return rows_in(self._path(part)) == images

    def write(self, task: Task, rows: Rows) -> None:
        """Write a part.

        Raises:
            UserError: it cannot be written, as on a full disk.
        """
        atomic_write(self._path(task.part), part_bytes(task.items, rows, self._columns))

    def finish(self, parts: int) -> Counts:
        """Write the output from all parts, then delete them.

        Returns:
            Its rows, counted.

        Raises:
            UserError: the output cannot be written.
        """
        counts = merge(map(self._path, range(parts)), self._output, self._columns)
        shutil.rmtree(self.folder, ignore_errors=True)
        return counts

    def _path(self, part: int) -> Path:
        return self.folder / f"part-{part:06}.parquet"
