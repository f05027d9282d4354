"""What a board is: its id, and the files that suit it."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from edgecat_runtime.backends import backend_entries
from edgecat_runtime.backends.tensorrt import here
from edgecat_runtime.errors import EdgecatError, UserError
from edgecat_runtime.model.channel import FORMS, Target
from edgecat_runtime.nvidia.cuda import open_gpu
from edgecat_runtime.nvidia.tensorrt import KINDS, tensorrt
from edgecat_runtime.system.machine import ROOT

VARIABLE = "EDGECAT_BOARD"
_LONGEST = 64
_MACHINE_ID = "etc/machine-id"


def board_id(given: str = "", *, root: Path = ROOT) -> str:
    """This board's id: what decides whether a roll-out includes it.

    Args:
        given: by the user; else that of EDGECAT_BOARD, else made from the machine's id, which
            machine-id(5) asks not to be shown, else the host's name.
        root: of the system's files.

    Raises:
        UserError: the given one is longer than 64 characters, or not printable.
    """
    if own := given or os.environ.get(VARIABLE, ""):
        if len(own) > _LONGEST or not own.isprintable():
            raise UserError(
                f"the board's id is {own!r}; expected at most {_LONGEST} printable characters"
            )
        return own
    with suppress(OSError):
        if machine := (root / _MACHINE_ID).read_text(encoding="ascii", errors="replace").strip():
            return hashlib.sha256(f"edgecat board\n{machine}".encode()).hexdigest()[:12]
    return platform.node()[:_LONGEST] or "board"


class Device:
    """Chooses among the files of a release.

    Args:
        backend: as `Classifier.open` takes it.
        device: likewise.
    """

    def __init__(self, *, backend: str = "auto", device: str = "auto") -> None:
        self._backend, self._device = backend, device
        self._facts: dict[str, dict[str, str] | None] = {}

    def suiting(self, targets: Sequence[Target]) -> list[Target]:
        """The files that may run here, engines built for this device first."""
        found = [target for target in targets if target.form in FORMS and self._suits(target)]
        return sorted(found, key=lambda target: target.form == "onnx")

    def _suits(self, target: Target) -> bool:
        path = Path(f"model.{target.form}")
        try:
            entries = backend_entries(path, name=self._backend, device=self._device)
        except UserError:
            return False
        if not any(entry.installed for entry in entries):
            return False
        if target.form == "onnx":
            return True
        facts = self._facts_of(target.form)
        if facts is None:
            return False
        kind = next(kind for kind in KINDS.values() if kind.suffix == path.suffix)
        stated = {
            kind.backend: target.backend_version,
            "platform": target.platform,
            "gpu": target.gpu,
        }
        return all(facts.get(name) == value for name, value in stated.items() if value)

    def _facts_of(self, form: str) -> dict[str, str] | None:
        """What engines of this form depend on here; None if none can run."""
        if form not in self._facts:
            kind = next(kind for kind in KINDS.values() if kind.suffix == f".{form}")
            self._facts[form] = None
            with suppress(EdgecatError):
                self._facts[form] = here(tensorrt(kind.flavour), open_gpu())
        return self._facts[form]
