"""Which model a command means when none is named."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from edgecat.pretrained import CHECKPOINT, FP16, INT8
from edgecat.workflows.labels import read_labels as read_labels
from edgecat_runtime.errors import BackendMissing

SHIPPED = (INT8, FP16)
"""The forms in which the model that ships is served, the preferred first."""


def models_to_serve() -> tuple[Path, ...]:
    """The newest run's model, else the forms of the one that ships, for the fastest to be found."""
    newest = newest_model((".onnx", ".safetensors"))
    return (newest,) if newest else SHIPPED


def model_to_export() -> Path:
    """The newest run's checkpoint, else the one that ships; without torch, its fp16 ONNX form."""
    shipped = CHECKPOINT if find_spec("torch") else FP16
    return newest_model((".safetensors", ".onnx")) or shipped


def model_to_look_into() -> Path:
    """The newest run's checkpoint, else the one that ships: an exported model has no layers."""
    return newest_model((".safetensors",)) or CHECKPOINT


def newest_model(suffixes: tuple[str, ...], runs: Path = Path("runs")) -> Path | None:
    """Return the newest model of the run that was trained last; None where there is none.

    Args:
        suffixes: file types, the preferred first, such as `(".onnx", ".safetensors")`.
        runs: the folder that `edgecat train` writes into.
    """
    found = [
        path
        for path in runs.glob("*/*")
        if path.suffix in suffixes and not path.name.startswith((".", "resume"))
    ]
    if not found:
        return None
    newest = max({path.parent for path in found}, key=_trained_at)
    candidates = [path for path in found if path.parent == newest]
    return min(candidates, key=lambda p: (suffixes.index(p.suffix), -p.stat().st_mtime))


def _trained_at(run: Path) -> float:
    """When a run's best checkpoint was written; exporting an older run does not make it newer."""
    models = list(run.glob("*.safetensors")) or [p for p in run.iterdir() if p.is_file()]
    return max(path.stat().st_mtime for path in models)


def openable_backends(path: Path) -> tuple[str, ...]:
    """Names of the installed backends that open `path`, best first; a checkpoint needs torch.

    Raises:
        CardError: no such file or format.
        BackendMissing: nothing installed opens it.
    """
    from edgecat_runtime.backends import available_backends

    register_torch(path)
    names = available_backends(path)
    if not names:
        from edgecat_runtime import read_card

        read_card(path)
        raise BackendMissing(
            f"nothing installed opens {path}: pip install 'edgecat[onnx]' (or [train] for a "
            "checkpoint)"
        )
    return names


def register_torch(path: Path) -> None:
    """Make checkpoints openable where `path` is one; a bad file is told before a missing torch."""
    if path.suffix != ".safetensors":
        return
    try:
        import edgecat.models.backend  # noqa: F401  (registers itself)
    except ModuleNotFoundError:
        from edgecat_runtime import read_card

        read_card(path)
        raise
