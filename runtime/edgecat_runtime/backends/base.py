"""The backend protocol and the registry that maps names and file types to backends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.card import ModelCard
from edgecat_runtime.errors import UserError


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
class _Entry:
    suffixes: tuple[str, ...]
    module: str
    open: Opener


_REGISTRY: dict[str, _Entry] = {}


def register_backend(name: str, suffixes: tuple[str, ...], module: str, opener: Opener) -> None:
    """Make a backend known.

    Args:
        name: as `--backend` takes it.
        suffixes: file types that it opens; the order of registration is `auto`'s preference.
        module: the library it needs, looked for without importing it.
        opener: called with the path, its card and the number of threads (None: the library's).
    """
    _REGISTRY[name] = _Entry(suffixes, module, opener)


def available_backends(path: str | Path) -> tuple[str, ...]:
    """Names of the installed backends that open `path`'s file type, best first."""
    suffix = Path(path).suffix
    return tuple(
        name
        for name, entry in _REGISTRY.items()
        if suffix in entry.suffixes and find_spec(entry.module) is not None
    )


def open_backend(
    path: str | Path, card: ModelCard, *, name: str = "auto", threads: int | None = None
) -> Backend:
    """Open a model file with a backend.

    Args:
        path: the artifact.
        card: its card.
        name: a registered name, or `auto` for the first that is installed.
        threads: of the CPU; None leaves the choice to the library.

    Raises:
        UserError: an unknown name, or one that does not open this file type.
        BackendMissing: the library is not installed.
    """
    path = Path(path)
    fitting = [key for key, entry in _REGISTRY.items() if path.suffix in entry.suffixes]
    if name != "auto" and name not in fitting:
        raise UserError(
            f"backend {name!r} does not open {path.name}; expected one of "
            f"{', '.join(['auto', *fitting])}"
        )
    if not fitting:
        raise UserError(f"no backend opens {path.name}; expected a .onnx file")
    if name == "auto":
        name = next(iter(available_backends(path)), fitting[0])
    return _REGISTRY[name].open(path, card, threads)


def _onnxruntime(path: Path, card: ModelCard, threads: int | None) -> Backend:
    from edgecat_runtime.backends.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(path, threads=threads)


def _opencv(path: Path, card: ModelCard, threads: int | None) -> Backend:
    from edgecat_runtime.backends.opencv import OpenCVBackend

    return OpenCVBackend(path, threads=threads)


register_backend("onnxruntime", (".onnx",), "onnxruntime", _onnxruntime)
register_backend("opencv", (".onnx",), "cv2", _opencv)
