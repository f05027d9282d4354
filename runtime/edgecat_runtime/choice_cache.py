"""Choices that are remembered: measured once, for these files on this machine with these libraries.

A choice is only ever a hint. One that is damaged, out of date or unreadable is measured again, one
that cannot be written is not remembered, and what is taken passes its self-test each time.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgecat_runtime import machine
from edgecat_runtime.atomic import atomic_write
from edgecat_runtime.choice import Candidate, Choice, Trial
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.nvidia import driver
from edgecat_runtime.packages import versions

_MOST_KEPT = 64


@dataclass(frozen=True)
class ChoiceCache:
    """Where the choice between some candidates is remembered.

    Attributes:
        path: of the file.
        key: everything that the choice depends on, as JSON keeps it.
    """

    path: Path
    key: dict[str, Any]

    @classmethod
    def of(
        cls, folder: Path, candidates: Sequence[Candidate], threads: int | None
    ) -> ChoiceCache | None:
        """Return the place for these candidates' choice; None where files have no hash to know."""
        if not all(candidate.card.payload_sha256 for candidate in candidates):
            return None
        key = json.loads(json.dumps(_key(candidates, threads), sort_keys=True))
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return cls(folder / f"{digest[:32]}.json", key)

    def read(self) -> Choice | None:
        """Return what is remembered; None where it is nothing, damaged or of something else."""
        try:
            kept = json.loads(self.path.read_bytes())
            trials = tuple(_trial(trial) for trial in kept["trials"])
            taken = kept["taken"]
            known = kept["key"] == self.key and len(trials) == len(self.key["candidates"])
            if not known or type(taken) is not int or not 0 <= taken < len(trials):
                return None
            if trials[taken].refusal:
                return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return Choice(taken, trials, self.path, cached=True)

    def write(self, choice: Choice) -> Choice:
        """Remember a choice, and return it with its place; as it was where it cannot be kept."""
        trials = [asdict(trial) for trial in choice.trials]
        kept = {"key": self.key, "taken": choice.taken, "trials": trials}
        try:
            atomic_write(self.path, json.dumps(kept, indent=1))
        except EdgecatError:
            return choice
        self._forget_oldest()
        return replace(choice, kept_at=self.path)

    def _forget_oldest(self) -> None:
        with suppress(OSError):
            files = sorted(self.path.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for path in files[:-_MOST_KEPT]:
                path.unlink(missing_ok=True)


def _trial(kept: Any) -> Trial:
    """A trial as it was written; ValueError or TypeError where it was not."""
    trial = Trial(**kept)
    texts = (trial.model, trial.backend, trial.device, trial.refusal)
    if not all(isinstance(text, str) for text in texts) or not isinstance(trial.seconds, float):
        raise ValueError("not a trial")
    return trial


def _key(candidates: Sequence[Candidate], threads: int | None) -> dict[str, Any]:
    from edgecat_runtime import __version__

    entries = [candidate.entry for candidate in candidates]
    gpus = driver() if any(entry.device != "cpu" for entry in entries) else None
    return {
        "edgecat": __version__,
        "system": [sys.platform, *sys.version_info[:2]],
        "processor": machine.processor(),
        "board": machine.read_text(machine.ROOT / "proc/device-tree/model"),
        "int8": machine.int8_path(),
        "flags": hashlib.sha256(" ".join(sorted(machine.processor_flags())).encode()).hexdigest(),
        "cores": machine.cores(),
        "threads": threads,
        "gpus": [gpus.cuda, gpus.error, *map(str, gpus.devices)] if gpus else [],
        "libraries": {
            module: _library(module)
            for module in sorted({"numpy", "cv2", *(entry.module for entry in entries)})
        },
        "candidates": [
            [candidate.card.payload_sha256, candidate.entry.name, candidate.entry.device]
            for candidate in candidates
        ],
    }


def _library(module: str) -> list[str | int]:
    """A library's version, place and age, found without importing it; empty where it is missing.

    JetPack's libraries have no version that Python's metadata knows, so the file counts as well.
    """
    try:
        spec = find_spec(module)
        if spec is None:
            return []
        state = Path(spec.origin or "").stat()
    except (OSError, ValueError, ImportError):  # a package without a file, or half imported
        return [*versions(module)]
    return [*versions(module), spec.origin or "", state.st_size, state.st_mtime_ns]
