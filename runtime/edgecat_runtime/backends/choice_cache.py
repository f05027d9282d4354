"""A cache of choices: measured once per set of files, machine and library versions.

A cached choice is only a hint. If it is damaged, stale or unreadable, the candidates are measured
again; if it cannot be written, it is not cached; and the chosen model is self-tested every time.
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

from edgecat_runtime._version import __version__
from edgecat_runtime.backends.choice import Candidate, Choice, Trial
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.nvidia.driver import driver
from edgecat_runtime.system import machine
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.packages import versions

_MOST_KEPT = 64


@dataclass(frozen=True)
class ChoiceCache:
    """The cache entry for the choice between some candidates.

    Attributes:
        path: the cache file.
        key: everything that the choice depends on, JSON-ready.
        names: of the candidates' files, which may differ from those that were measured.
    """

    path: Path
    key: dict[str, Any]
    names: tuple[str, ...]

    @classmethod
    def of(
        cls, folder: Path, candidates: Sequence[Candidate], threads: int | None
    ) -> ChoiceCache | None:
        """Return the cache entry for these candidates; None if a file has no hash."""
        if not all(candidate.card.payload_sha256 for candidate in candidates):
            return None
        key = json.loads(json.dumps(_key(candidates, threads), sort_keys=True))
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        names = tuple(candidate.path.name for candidate in candidates)
        return cls(folder / f"{digest[:32]}.json", key, names)

    def read(self) -> Choice | None:
        """Return the cached choice; None if it is missing, damaged or has a different key."""
        try:
            kept = json.loads(self.path.read_bytes())
            trials = tuple(
                replace(_trial(trial), model=name)
                for trial, name in zip(kept["trials"], self.names, strict=True)
            )
            taken = kept["taken"]
            if kept["key"] != self.key or type(taken) is not int or not 0 <= taken < len(trials):
                return None
            if trials[taken].refusal:
                return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return Choice(taken, trials, self.path, cached=True)

    def write(self, choice: Choice) -> Choice:
        """Cache a choice and return it with its path; return it unchanged if that fails."""
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
    """Parse a cached trial; raises ValueError or TypeError if it is malformed."""
    trial = Trial(**kept)
    texts = (trial.model, trial.backend, trial.device, trial.refusal)
    if not all(isinstance(text, str) for text in texts) or not isinstance(trial.seconds, float):
        raise ValueError("not a trial")
    return trial


def _key(candidates: Sequence[Candidate], threads: int | None) -> dict[str, Any]:
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
    """A library's version, path and age, without importing it; empty if it is missing.

    JetPack's libraries have no version in Python's metadata, so the file counts as well.
    """
    try:
        spec = find_spec(module)
        if spec is None:
            return []
        state = Path(spec.origin or "").stat()
    except (OSError, ValueError, ImportError):  # a package without a file, or half imported
        return [*versions(module)]
    return [*versions(module), spec.origin or "", state.st_size, state.st_mtime_ns]
