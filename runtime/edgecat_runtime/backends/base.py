"""The backend protocol and the registry that maps names and file types to backends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system.plugins import Group, find_plugin, find_plugins


class Backend(Protocol):
    """Runs a network. Opening acquires the device, `close` releases it.

    `Classifier` calls `infer` with at least one frame of the card's size, never after `close`, and
    from one thread at a time. A backend with a true attribute `thread_safe` is called from several
    threads at once, and may be closed meanwhile.
    """

    name: str

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run a batch: uint8 (n, h, w, 3) BGR to float32 logits (n, classes)."""
        ...

    def close(self) -> None:
        """Release the backend's resources; calling it twice is harmless."""
        ...


def check_frames(frames: NDArray[np.uint8], height: int, width: int) -> None:
    """Refuse a batch that a network of this input size cannot take.

    Raises:
        UserError: anything but uint8 (n, height, width, 3).
    """
    expected = f"expected uint8 (n, {height}, {width}, 3) BGR. Use Classifier.preprocess"
    if not isinstance(frames, np.ndarray):
        raise UserError(f"frames is a {type(frames).__name__}; {expected}")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (height, width, 3):
        raise UserError(f"the frames are {frames.dtype} {frames.shape}; {expected}")


def closed() -> UserError:
    """The error of a model that is used after it was closed."""
    return UserError("the model was closed. Open it again")


Opener = Callable[..., Backend]


@dataclass(frozen=True)
class BackendEntry:
    """One way to run a file type; what an entry point of `edgecat.backends` refers to.

    Attributes:
        name: value for `--backend`; of a plug-in, also the entry point's name.
        device: value for `--device`.
        suffixes: file types it opens.
        module: the library it needs.
        open: called with the path, its card and the number of threads (None: the default).
        present: returns whether the installed library was built for the device.
        numbered: whether there may be several of the device; `open` then takes `gpu=`, its number.
    """

    name: str
    device: str
    suffixes: tuple[str, ...]
    module: str
    open: Opener
    present: Callable[[], bool] = lambda: True
    numbered: bool = False

    def on(self, number: int) -> BackendEntry:
        """The same on another of several GPUs, as CUDA counts them."""
        device = f"{self.device}:{number}"
        return replace(self, device=device, open=partial(self.open, gpu=number), numbered=False)

    @property
    def installed(self) -> bool:
        """Whether its library is installed, checked without importing it if possible."""
        return find_spec(self.module) is not None and self.present()


_GROUP: Group = "edgecat.backends"
_REGISTRY: dict[tuple[str, str], BackendEntry] = {}


def register_backend(
    name: str,
    suffixes: tuple[str, ...],
    module: str,
    opener: Opener,
    *,
    device: str = "cpu",
    present: Callable[[], bool] = lambda: True,
    numbered: bool = False,
) -> None:
    """Register a backend.

    Args:
        name: value for `--backend`.
        suffixes: file types it opens; `auto` prefers the order of registration.
        module: the library it needs, looked up without importing it.
        opener: called with the path, its card and the number of threads (None: the default).
        device: value for `--device`; a name may be registered for several devices.
        present: returns whether the installed library was built for the device.
        numbered: whether the device may be `cuda:1`: the opener then takes `gpu=`, its number.
    """
    entry = BackendEntry(name, device, suffixes, module, opener, present, numbered)
    _REGISTRY[name, device] = entry


def split_device(device: str) -> tuple[str, int | None]:
    """Split a device into its kind and its number: `cuda:1` into `cuda` and 1.

    Returns:
        The kind, and the number; None if there is none, or something else after the colon.
    """
    kind, _, number = device.partition(":")
    return (kind, int(number)) if number.isdecimal() else (device, None)


def gpu_number(device: str) -> int:
    """The CUDA ordinal of a device: 1 for `cuda:1`, 0 if it has no number."""
    return split_device(device)[1] or 0


def available_backends(path: str | Path, *, device: str = "auto") -> tuple[str, ...]:
    """Names of the installed backends that open `path`'s file type, best first."""
    suffix = Path(path).suffix
    return tuple(
        dict.fromkeys(
            entry.name
            for entry in _REGISTRY.values()
            if suffix in entry.suffixes and _on(entry, device) and entry.installed
        )
    )


def backend_entries(
    path: str | Path, *, name: str = "auto", device: str = "auto"
) -> tuple[BackendEntry, ...]:
    """The installed backends for a file, best first; if there are none, the one to install.

    Args:
        path: the artifact.
        name: a registered name, or that of a plug-in, which is then imported and registered; or
            `auto` for all that are registered.
        device: a registered device, also with a number, such as `cuda:1`; or `auto` for all.

    Raises:
        UserError: the name or device is unknown or does not support this file type, or the plug-in
            is broken.
    """
    path = Path(path)
    load_plugin(name)
    fitting = [entry for entry in _REGISTRY.values() if path.suffix in entry.suffixes]
    if not fitting:
        raise UserError(f"no backend can open {path.name}; expected a .onnx file")
    names = dict.fromkeys(entry.name for entry in fitting)
    if name != "auto" and name not in names:
        plugins = {plugin.name: None for plugin in find_plugins(_GROUP)}
        raise UserError(
            f"backend {name!r} cannot open {path.name}; expected one of "
            f"{', '.join(dict.fromkeys(['auto', *names, *plugins]))}"
        )
    named = [entry for entry in fitting if name in ("auto", entry.name)]
    chosen = [found for entry in named if (found := _on(entry, device))]
    if not chosen:
        devices = dict.fromkeys(
            f"{entry.device} (or {entry.device}:1, ...)" if entry.numbered else entry.device
            for entry in named
        )
        raise UserError(
            f"device {device!r} cannot run {path.name} with backend {name!r}; expected one "
            f"of {', '.join(['auto', *devices])}"
        )
    installed = tuple(entry for entry in chosen if entry.installed)
    return installed or tuple(sorted(chosen, key=lambda entry: entry.device != "cpu")[:1])


def load_plugin(name: str) -> None:
    """Import and register the plug-in of this name, if no registered backend has it.

    Raises:
        UserError: the plug-in is broken.
    """
    if name == "auto" or any(entry.name == name for entry in _REGISTRY.values()):
        return
    plugin = find_plugin(_GROUP, name)
    if plugin is None:
        return
    entry = plugin.load()
    if not isinstance(entry, BackendEntry) or entry.name != plugin.name:
        raise plugin.broken(
            f"{plugin.target} is {entry!r}; expected a BackendEntry named {plugin.name!r}"
        )
    _REGISTRY[entry.name, entry.device] = entry


def _on(entry: BackendEntry, device: str) -> BackendEntry | None:
    """The entry for a device as given to `--device`; None if it runs on another."""
    kind, number = split_device(device)
    if number is None:
        return entry if device in ("auto", entry.device) else None
    return entry.on(number) if entry.numbered and entry.device == kind else None


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
        device: a registered device, also with a number, such as `cuda:1`; or `auto` for the first
            that is present.
        threads: CPU threads; None: the library's default.

    Raises:
        UserError: the name or device is unknown or does not support this file type.
        BackendMissing: the library is not installed.
        DeviceError: the device cannot be started.
    """
    return backend_entries(path, name=name, device=device)[0].open(Path(path), card, threads)
