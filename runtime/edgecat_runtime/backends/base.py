"""The backend protocol and the registry that maps names and file types to backends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard


class Backend(Protocol):
    """What runs a network. Opening touches the device, `close` lets it go."""

    name: str

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answer a batch: uint8 (n, h, w, 3) BGR to float32 logits (n, classes)."""
        ...

    def close(self) -> None:
        """Free what the backend holds; calling it twice is harmless."""
        ...


Opener = Callable[[Path, ModelCard, int | None], Backend]


@dataclass(frozen=True)
class BackendEntry:
    """One way of running a file type.

    Attributes:
        name: as `--backend` takes it.
        device: as `--device` takes it.
        suffixes: file types that it opens.
        module: the library it needs.
        open: called with the path, its card and the number of threads (None: the library's).
        present: whether the library, once found, was built for the device.
    """

    name: str
    device: str
    suffixes: tuple[str, ...]
    module: str
    open: Opener
    present: Callable[[], bool]

    @property
    def installed(self) -> bool:
        """Whether its library is installed, found without importing it where that suffices."""
        return find_spec(self.module) is not None and self.present()


_REGISTRY: dict[tuple[str, str], BackendEntry] = {}


def register_backend(
    name: str,
    suffixes: tuple[str, ...],
    module: str,
    opener: Opener,
    *,
    device: str = "cpu",
    present: Callable[[], bool] = lambda: True,
) -> None:
    """Make a backend known.

    Args:
        name: as `--backend` takes it.
        suffixes: file types that it opens; the order of registration is `auto`'s preference.
        module: the library it needs, looked for without importing it.
        opener: called with the path, its card and the number of threads (None: the library's).
        device: as `--device` takes it; one name may be registered for several.
        present: asked, where the library is installed, whether it was built for the device.
    """
    _REGISTRY[name, device] = BackendEntry(name, device, suffixes, module, opener, present)


def available_backends(path: str | Path, *, device: str = "auto") -> tuple[str, ...]:
    """Names of the installed backends that open `path`'s file type, best first."""
    suffix = Path(path).suffix
    return tuple(
        dict.fromkeys(
            entry.name
            for entry in _REGISTRY.values()
            if suffix in entry.suffixes and device in ("auto", entry.device) and entry.installed
        )
    )


def backend_entries(
    path: str | Path, *, name: str = "auto", device: str = "auto"
) -> tuple[BackendEntry, ...]:
    """The installed ways of running a file, best first; without any, the one to install.

    Args:
        path: the artifact.
        name: a registered name, or `auto` for all.
        device: a registered device, or `auto` for all.

    Raises:
        UserError: an unknown name or device, or one that does not open this file type.
    """
    path = Path(path)
    fitting = [entry for entry in _REGISTRY.values() if path.suffix in entry.suffixes]
    if not fitting:
        raise UserError(f"no backend opens {path.name}; expected a .onnx file")
    names = dict.fromkeys(entry.name for entry in fitting)
    if name != "auto" and name not in names:
        raise UserError(
            f"backend {name!r} does not open {path.name}; expected one of "
            f"{', '.join(['auto', *names])}"
        )
    named = [entry for entry in fitting if name in ("auto", entry.name)]
    chosen = [entry for entry in named if device in ("auto", entry.device)]
    if not chosen:
        raise UserError(
            f"device {device!r} is none that runs {path.name} with backend {name!r}; expected one "
            f"of {', '.join(['auto', *dict.fromkeys(entry.device for entry in named)])}"
        )
    installed = tuple(entry for entry in chosen if entry.installed)
    return installed or tuple(sorted(chosen, key=lambda entry: entry.device != "cpu")[:1])


def open_backend(
    path: str | Path,
    card: ModelCard,
    *,
    name: str = "auto",
    device: str = "auto",
    threads: int | None = None,
) -> Backend:
    """Open a model file with a backend.

    Args:
        path: the artifact.
        card: its card.
        name: a registered name, or `auto` for the first that is installed.
        device: a registered device, or `auto` for the first that is present.
        threads: of the CPU; None leaves the choice to the library.

    Raises:
        UserError: an unknown name or device, or one that does not open this file type.
        BackendMissing: the library is not installed.
        DeviceError: the device does not start.
    """
    return backend_entries(path, name=name, device=device)[0].open(Path(path), card, threads)
