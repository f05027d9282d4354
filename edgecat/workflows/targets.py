"""Targets that can run a model: backends and their devices, as named by `--backend`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgecat.workflows.models import openable_backends
from edgecat.workflows.reporter import Reporter
from edgecat_runtime.errors import EdgecatError, GateError, UserError
from edgecat_runtime.model.card import CardError
from edgecat_runtime.system.foreign_text import one_line

Result = TypeVar("Result")


@dataclass(frozen=True)
class Target:
    """A target that can run a model: a backend on a device.

    Attributes:
        backend: registered name.
        device: registered name.
        title: the name used by `--backend` and reports: `onnxruntime`, `onnxruntime:cuda`.
    """

    backend: str
    device: str
    title: str


def targets(path: Path, names: Sequence[str] = ()) -> list[Target]:
    """List the installed targets that can run a model, best first; raises as `openable_backends`.

    Args:
        path: the model.
        names: as given to `--backend`; further GPUs are looked for only if named.
    """
    from edgecat_runtime.backends.base import backend_entries, load_plugin, split_device

    openable_backends(path)
    for name in names:
        load_plugin(name.partition(":")[0])
    found = list(backend_entries(path))
    for name in names:
        backend, _, device = name.partition(":")
        if split_device(device)[1] is not None and backend in {entry.name for entry in found}:
            found += backend_entries(path, name=backend, device=device)
    return [Target(entry.name, entry.device, _title(entry.name, entry.device)) for entry in found]


def _title(backend: str, device: str) -> str:
    """A backend's default device (the CPU; for TensorRT the first GPU) is not in its name."""
    said = ":" in device or (backend == "onnxruntime" and device != "cpu")
    return f"{backend}:{device}" if said else backend


def check_backends(models: Sequence[Path], names: Sequence[str]) -> None:
    """Raise UserError for a name that cannot open any of the models."""
    found = [target for path in models for target in targets(path, names)]
    for name in names:
        if not any(named(target, [name]) for target in found):
            raise UserError(
                f"backend {name!r} cannot open any of the models here; expected one of "
                f"{', '.join(dict.fromkeys(target.title for target in found))}"
            )


def named(target: Target, names: Sequence[str]) -> bool:
    """Whether this name means this target."""
    return target.backend in names or target.title in names


def candidate_targets(path: Path, names: Sequence[str]) -> list[Target]:
    """Where to run a candidate.

    Raises:
        UserError: none of the named backends can open it.
    """
    found = targets(path, names)
    chosen = [target for target in found if not names or named(target, names)]
    if not chosen:
        raise UserError(
            f"none of the named backends ({', '.join(names)}) can open {path}; add one of "
            f"{', '.join(target.title for target in found)}"
        )
    return chosen


def on_each(
    path: Path,
    found: Sequence[Target],
    attempt: Callable[[Target], Result],
    *,
    asked: bool,
    reporter: Reporter,
) -> list[Result]:
    """Run a model on several targets; those that fail are skipped with a warning.

    It is an error if the backend was requested, or if no target can run the model.
    """
    outcomes = [outcome_of(path, target, attempt) for target in found]
    refused = [outcome for outcome in outcomes if isinstance(outcome, EdgecatError)]
    results = [outcome for outcome in outcomes if not isinstance(outcome, EdgecatError)]
    if refused and (asked or not results):
        raise refused[0]
    for sentence in refused:
        reporter.warn(f"skipped: {sentence}")
    return results


def outcome_of(
    path: Path, target: Target, attempt: Callable[[Target], Result]
) -> Result | EdgecatError:
    """The result of running a model on one target; a damaged file is reported by the caller."""
    try:
        return attempt(target)
    except (CardError, GateError):
        raise
    except EdgecatError as error:
        return error
    except Exception as error:  # library exceptions have no common base class
        first = one_line(error)
        return UserError(f"{target.title} cannot run {path}: {first}")
