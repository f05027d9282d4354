"""The folder of a board: its state, and the models by their hashes."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.fleet.state import Installed, State
from edgecat_runtime.model.signature import SIGNATURE_SUFFIX
from edgecat_runtime.system.atomic import atomic_write, write_error
from edgecat_runtime.system.hashing import file_sha256

try:
    import fcntl
except ImportError:  # Windows: two processes are not kept apart
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("edgecat_runtime")

SPARE_BYTES = 16 << 20
"""What is left free on the disk beside a model."""


class Store:
    """A board's folder, locked as long as this object is open.

    Args:
        folder: created if missing.

    Attributes:
        folder: likewise.
        state: what the board remembers; `save` changes it.
        damaged: why the state could not be read; empty if it could, or was not there.

    Raises:
        UserError: it cannot be written, or another process uses it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = folder / "models"
        self._file = folder / "state.json"
        self.damaged = ""
        try:
            self.models.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | _CLOSED_IN_CHILDREN)
        except OSError as error:
            raise write_error(folder, error) from error
        if fcntl is not None:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(self._lock)
                raise UserError(
                    f"{folder} is used by another process. Give each process a folder of its own"
                ) from error
        self.state = self._read()

    def save(self, state: State) -> None:
        """Write the state: after a power cut there is this one or the one before.

        Raises:
            UserError: it cannot be written; the state stays as it was.
        """
        if state != self.state:
            atomic_write(self._file, state.to_json())
            sync_folder(self.folder)
            self.state = state

    def note(self, state: State) -> None:
        """Write the state if that is possible: a board with a full disk goes on serving."""
        try:
            self.save(state)
        except UserError as error:
            log.warning("%s", error)
            self.state = state

    def path(self, model: Installed) -> Path:
        """The file of a model."""
        return self.models / f"{model.sha256}.{model.form}"

    def part(self, model: Installed) -> Path:
        """The file that a model is downloaded to."""
        return self.models / f"{model.sha256}.{model.form}.part"

    def holds(self, model: Installed) -> bool:
        """Whether the file of a model is here, and whole; a damaged one is removed."""
        path = self.path(model)
        if not path.is_file():
            return False
        if file_sha256(path) == model.sha256:
            return True
        log.warning("%s is damaged and was removed", path)
        path.unlink(missing_ok=True)
        return False

    def keep(self, model: Installed, signature: str) -> Path:
        """Give a downloaded model its name; it is on the disk before it has it.

        Args:
            model: whose `part` is complete and checked.
            signature: the text of the file beside an engine; empty for none.

        Raises:
            UserError: it cannot be written.
        """
        part, path = self.part(model), self.path(model)
        if signature:
            atomic_write(path.with_name(path.name + SIGNATURE_SUFFIX), signature + "\n")
        try:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
            sync_folder(self.models)
        except OSError as error:
            raise write_error(path, error) from error
        return path

    def free_bytes(self) -> int:
        """Free space on the disk, less what is to stay free."""
        return shutil.disk_usage(self.models).free - SPARE_BYTES

    def tidy(self, *others: Installed) -> None:
        """Remove all files but those of the current and the previous model, and of `others`."""
        kept = [one for one in (self.state.current, self.state.previous, *others) if one]
        hashes = {one.sha256 for one in kept}
        with suppress(OSError):
            for path in self.models.iterdir():
                if path.name.partition(".")[0] not in hashes and not path.name.startswith("."):
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let another process use the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _read(self) -> State:
        try:
            return State.from_json(self._file.read_bytes())
        except FileNotFoundError:
            return State()
        except OSError as error:
            raise UserError(f"cannot read {self._file}: {error.strerror}") from error
        except ValueError as error:
            aside = self._file.with_name("state.damaged.json")
            self._file.replace(aside)
            self.damaged = f"{self._file} cannot be read ({error}); it was moved to {aside.name}"
            return State()


def sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk, where the system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_CLOSED_IN_CHILDREN = getattr(os, "O_CLOEXEC", 0)
