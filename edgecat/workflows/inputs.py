"""What the library's functions accept: paths as text or `PathLike`, one or several."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from edgecat_runtime.errors import BackendMissing, UserError

StrPath = str | os.PathLike[str]
"""A path as text, a `pathlib.Path`, or a result that stands for its file (`os.fspath`)."""

Paths = StrPath | Sequence[StrPath]
"""One path or several."""

EXTRAS = {
    "torch": "train",
    "safetensors": "train",
    "matplotlib": "report",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "train",
    "torch_pruning": "compress",
    "pyarrow": "parquet",
    "ray": "ray",
}
"""The extra that installs each optional package."""

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def one_path(path: StrPath) -> Path:
    """Return a path.

    Raises:
        UserError: it is neither text nor `PathLike`.
    """
    try:
        return Path(os.fspath(path))
    except TypeError as error:
        how = ""
        if hasattr(path, "state_dict"):
            how = (
                ". A torch module becomes a file with export_onnx(module, card, 'model.onnx') of "
                "edgecat_export.graph; see samples/own_module.py"
            )
        raise UserError(
            f"got {type(path).__name__}; expected a path, as text or PathLike{how}"
        ) from error


def many_paths(paths: Paths | None) -> tuple[Path, ...]:
    """Return one path or several as a tuple; None gives an empty one.

    Raises:
        UserError: one of them is neither text nor `PathLike`.
    """
    if paths is None:
        return ()
    if isinstance(paths, str) or not isinstance(paths, Sequence):
        return (one_path(paths),)
    return tuple(map(one_path, paths))


def missing_package(error: ModuleNotFoundError) -> BackendMissing | None:
    """The error that names the install command; None for a package that no extra installs."""
    extra = EXTRAS.get((error.name or "").partition(".")[0])
    if not extra:
        return None
    return BackendMissing(f"{error.name} is not installed", fix=f"pip install 'edgecat[{extra}]'")


def names_missing_packages(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Let a function raise BackendMissing, with the install command, for a missing package."""

    @wraps(function)
    def called(*arguments: _Given.args, **options: _Given.kwargs) -> _Result:
        try:
            return function(*arguments, **options)
        except ModuleNotFoundError as error:
            if missing := missing_package(error):
                raise missing from error
            raise

    return called
