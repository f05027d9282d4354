"""The default model of a command, and the name of the bundled one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgecat.pretrained import CHECKPOINT, FP16, INT8
from edgecat.training.config import STATE
from edgecat.workflows.inputs import StrPath, one_path
from edgecat.workflows.labels import read_labels as read_labels
from edgecat_runtime.errors import BackendMissing

SHIPPED = (INT8, FP16)
"""The precisions of the bundled model, in order of preference."""

SHIPPED_NAME = "shipped"
"""Stands for the bundled model wherever a model is taken; `./shipped` is a file of that name."""


def models_to_serve(model: StrPath | None = None) -> tuple[Path, ...]:
    """The files to choose the fastest of.

    Args:
        model: a model; `shipped` for all versions of the bundled one; None: the newest run's,
            otherwise the bundled one.
    """
    if model is not None:
        return SHIPPED if _shipped(model) else (one_path(model),)
    newest = newest_model((".onnx", ".safetensors"))
    return (newest,) if newest else SHIPPED


def model_to_export(model: StrPath | None = None) -> Path:
    """The newest run's checkpoint, otherwise the bundled one; without torch, its fp16 ONNX file."""
    shipped = CHECKPOINT if find_spec("torch") else FP16
    if model is not None:
        return shipped if _shipped(model) else one_path(model)
    return newest_model((".safetensors", ".onnx")) or shipped


def model_to_look_into(model: StrPath | None = None) -> Path:
    """The newest run's checkpoint, otherwise the bundled one: exported models have no layers."""
    if model is not None:
        return CHECKPOINT if _shipped(model) else one_path(model)
    return newest_model((".safetensors",)) or CHECKPOINT


def models_to_verify(models: Sequence[StrPath] = ()) -> tuple[Path, ...]:
    """The models to compare, the reference first.

    The bundled model alone stands for all of its versions, its most precise one first; among
    others, it stands for that one.
    """
    if (len(models) == 1 and _shipped(models[0])) or (not models and models_to_serve() == SHIPPED):
        return tuple(dict.fromkeys((model_to_export(SHIPPED_NAME), FP16, INT8)))
    return tuple(map(model_to_export, models)) or models_to_serve()


def _shipped(model: StrPath) -> bool:
    return isinstance(model, str | os.PathLike) and os.fspath(model) == SHIPPED_NAME


def newest_model(suffixes: tuple[str, ...], runs: Path = Path("runs")) -> Path | None:
    """Return the newest model of the latest finished training run; None if there is no run.

    If none has finished, it is the latest of those.

    Args:
        suffixes: file types in order of preference, such as `(".onnx", ".safetensors")`.
        runs: the folder that `edgecat train` writes into.
    """
    found = [
        path
        for path in runs.glob("*/*")
        if path.suffix in suffixes and not path.name.startswith((".", "resume"))
    ]
    if not found:
        return None
    newest = max({path.parent for path in found}, key=lambda run: (finished(run), _trained_at(run)))
    candidates = [path for path in found if path.parent == newest]
    return min(candidates, key=lambda p: (suffixes.index(p.suffix), -p.stat().st_mtime))


def finished(run: Path) -> bool:
    """Whether a run's training came to its end, as far as its folder says."""
    return not (run / STATE).exists()


def _trained_at(run: Path) -> float:
    """When a run's best checkpoint was written; exporting an older run does not make it newer."""
    models = list(run.glob("*.safetensors")) or [p for p in run.iterdir() if p.is_file()]
    return max(path.stat().st_mtime for path in models)


def openable_backends(path: Path) -> tuple[str, ...]:
    """Names of the installed backends that can open `path`, best first; checkpoints need torch.

    Raises:
        CardError: no such file or format.
        BackendMissing: no installed backend can open it.
    """
    from edgecat_runtime.backends import available_backends

    register_torch(path)
    names = available_backends(path)
    if not names:
        from edgecat_runtime import read_card

        read_card(path)
        raise BackendMissing(
            f"no installed backend can open {path}: pip install 'edgecat[onnx]' (or [train] for a "
            "checkpoint)"
        )
    return names


def register_torch(path: Path) -> None:
    """Register the checkpoint backend if `path` is one; report a bad file before missing torch."""
    if path.suffix != ".safetensors":
        return
    try:
        import edgecat.models.backend  # noqa: F401  (registers itself)
    except ModuleNotFoundError:
        from edgecat_runtime import read_card

        read_card(path)
        raise
