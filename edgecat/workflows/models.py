"""The default model of a command."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from edgecat.pretrained import CHECKPOINT, FP16, INT8
from edgecat_runtime.errors import BackendMissing, UserError

SHIPPED = (INT8, FP16)
"""The precisions of the bundled model, in order of preference."""


def models_to_serve() -> tuple[Path, ...]:
    """The newest run's model, otherwise all versions of the bundled one, to choose the fastest."""
    newest = newest_model((".onnx", ".safetensors"))
    return (newest,) if newest else SHIPPED


def model_to_export() -> Path:
    """The newest run's checkpoint, otherwise the bundled one; without torch, its fp16 ONNX file."""
    shipped = CHECKPOINT if find_spec("torch") else FP16
    return newest_model((".safetensors", ".onnx")) or shipped


def model_to_look_into() -> Path:
    """The newest run's checkpoint, otherwise the bundled one: exported models have no layers."""
    return newest_model((".safetensors",)) or CHECKPOINT


def newest_model(suffixes: tuple[str, ...], runs: Path = Path("runs")) -> Path | None:
    """Return the newest model of the latest training run; None if there is none.

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
    newest = max({path.parent for path in found}, key=_trained_at)
    candidates = [path for path in found if path.parent == newest]
    return min(candidates, key=lambda p: (suffixes.index(p.suffix), -p.stat().st_mtime))


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


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a text file with one label per line; empty lines are ignored.

    Raises:
        UserError: it cannot be read, or is not UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; expected one label per line") from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())
