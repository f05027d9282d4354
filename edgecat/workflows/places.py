"""Places to run a model: backends and their devices, as named by `--backend`."""

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
class Place:
    """A place to run a model: a backend on a device.

    Attributes:
        backend: registered name.
        device: registered name.
        title: the name used by `--backend` and reports: `onnxruntime`, `onnxruntime:cuda`.
    """

    backend: str
    device: str
    title: str


def places(path: Path, names: Sequence[str] = ()) -> list[Place]:
    """Every installed place to run a model, best first; raises as `openable_backends`.

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
    return [Place(entry.name, entry.device, _title(entry.name, entry.device)) for entry in found]


def _title(backend: str, device: str) -> str:
    """A backend's default device (the CPU; for TensorRT the first GPU) is not in its name."""
    said = ":" in device or (backend == "onnxruntime" and device != "cpu")
    return f"{backend}:{device}" if said else backend


def check_backends(models: Sequence[Path], names: Sequence[str]) -> None:
    """Raise UserError for a name that cannot open any of the models."""
    found = [place for path in models for place in places(path, names)]
    for name in names:
        if not any(named(place, [name]) for place in found):
            raise UserError(
                f"backend {name!r} cannot open any of the models here; expected one of "
                f"{', '.join(dict.fromkeys(place.title for place in found))}"
            )


def named(place: Place, names: Sequence[str]) -> bool:
    """Whether this name means this place."""
    return place.backend in names or place.title in names


def candidate_places(path: Path, names: Sequence[str]) -> list[Place]:
    """Where to run a candidate.

    Raises:
        UserError: none of the named backends can open it.
    """
    found = places(path, names)
    chosen = [place for place in found if not names or named(place, names)]
    if not chosen:
        raise UserError(
            f"none of the named backends ({', '.join(names)}) can open {path}; add one of "
            f"{', '.join(place.title for place in found)}"
        )
    return chosen


def on_each(
    path: Path,
    found: Sequence[Place],
    attempt: Callable[[Place], Result],
    *,
    asked: bool,
    reporter: Reporter,
) -> list[Result]:
    """Run a model in several places; those that fail are skipped with a warning.

    It is an error if the backend was requested, or if no place can run the model.
    """
    outcomes = [outcome_of(path, place, attempt) for place in found]
    refused = [outcome for outcome in outcomes if isinstance(outcome, EdgecatError)]
    results = [outcome for outcome in outcomes if not isinstance(outcome, EdgecatError)]
    if refused and (asked or not results):
        raise refused[0]
    for sentence in refused:
        reporter.warn(f"skipped: {sentence}")
    return results


def outcome_of(
    path: Path, place: Place, attempt: Callable[[Place], Result]
) -> Result | EdgecatError:
    """The result of running a model in one place; a damaged file is reported by the caller."""
    try:
        return attempt(place)
    except (CardError, GateError):
        raise
    except EdgecatError as error:
        return error
    except Exception as error:  # library exceptions have no common base class
        first = one_line(error)
        return UserError(f"{place.title} cannot run {path}: {first}")
