"""The choice between several ways to run a model: the fastest that passes its self-test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Protocol, TypeVar

from edgecat_runtime.backends import BackendEntry, backend_entries
from edgecat_runtime.backends.refusal import WrongAnswer, advice
from edgecat_runtime.errors import (
    BackendMissing,
    DeviceError,
    EdgecatError,
    GateError,
    InvalidModel,
    UserError,
)
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.class_names import check_labels
from edgecat_runtime.system.foreign_text import one_line

log = logging.getLogger("edgecat_runtime")

FASTER = 0.8
"""A later candidate must take less than this fraction of the best time; less gain is noise."""


@dataclass(frozen=True)
class Candidate:
    """One way to run a model.

    Attributes:
        path: the model file.
        card: its card.
        entry: backend and device.
    """

    path: Path
    card: ModelCard
    entry: BackendEntry


@dataclass(frozen=True)
class Trial:
    """The result of trying one candidate.

    Attributes:
        model: the file's name.
        backend: registered name.
        device: registered name.
        seconds: time per frame; 0 if it was rejected or was the only candidate.
        refusal: why it was rejected; empty if it passed.
    """

    model: str
    backend: str
    device: str
    seconds: float = 0.0
    refusal: str = ""

    def __str__(self) -> str:
        way = f"{self.model} with {self.backend} on {self.device}"
        if self.refusal:
            return f"{way} rejected: {self.refusal}"
        return f"{way} {self.seconds * 1e3:.3g} ms" if self.seconds else way


@dataclass(frozen=True)
class Choice:
    """The chosen candidate, and the results of all.

    Attributes:
        taken: index of the chosen candidate.
        trials: the results of all candidates, in order of preference.
        kept_at: the file that caches this choice; None if it is not cached.
        cached: whether it comes from the cache instead of a new measurement.
    """

    taken: int
    trials: tuple[Trial, ...]
    kept_at: Path | None = None
    cached: bool = False

    @property
    def best(self) -> Trial:
        """The chosen candidate."""
        return self.trials[self.taken]

    @property
    def summary(self) -> str:
        """The chosen candidate, and why it was chosen."""
        if len(self.trials) == 1:
            return f"{self.best}, the only candidate"
        when = "measured before" if self.cached else "measured now"
        kept = f", cached in {self.kept_at}" if self.kept_at else ""
        return f"{self.best}, the fastest that passes its self-test here ({when}{kept})"

    def __str__(self) -> str:
        others = "; ".join(str(t) for i, t in enumerate(self.trials) if i != self.taken)
        return f"{self.summary}; {others}" if others else self.summary


def log_choice(choice: Choice | None) -> None:
    """Log which candidate was chosen, and what became of the others."""
    if choice is not None:
        log.info("%s", choice.summary)
        for trial in choice.trials if len(choice.trials) > 1 else ():
            log.info("  %s", trial)


class Opened(Protocol):
    """A model that a candidate opened."""

    def close(self) -> None:
        """Free it."""
        ...


Model = TypeVar("Model", bound=Opened)


def fastest(
    candidates: Sequence[Candidate],
    opened: Callable[[Candidate], Model],
    seconds: Callable[[Model], float],
    *,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Model, Choice]:
    """Open every candidate and keep the fastest; at most two are open at a time.

    A later candidate wins only if it takes less than `FASTER` times the best time so far. A file
    that one backend finds invalid is not given to the next: parsers differ in how they fail.

    Args:
        candidates: in order of preference; a single one is not timed.
        opened: opens and self-tests a candidate.
        seconds: measures the time per frame of an open model.
        told: progress callback, called with the number tried and the total, from 0 on.

    Returns:
        The open model, and the choice.

    Raises:
        EdgecatError: no candidate passed; the message names all of them.
    """
    best: Model | None = None
    taken, least = -1, float("inf")
    trials: list[Trial] = []
    refused: list[Exception] = []
    invalid: dict[Path, InvalidModel] = {}
    told(0, len(candidates))
    for number, candidate in enumerate(candidates):
        try:
            if candidate.path in invalid:
                raise invalid[candidate.path]
            model, time = _timed(candidate, opened, seconds if len(candidates) > 1 else None)
        except (EdgecatError, ImportError) as error:
            refused.append(error)
            if isinstance(error, InvalidModel):
                invalid[candidate.path] = error
            trials.append(_trial(candidate, refusal=_reason(error)))
        else:
            trials.append(_trial(candidate, time))
            loser: Model | None = model
            if best is None or time < FASTER * least:
                taken, best, loser, least = number, model, best, time
            if loser is not None:
                loser.close()
        told(number + 1, len(candidates))
    if best is None:
        raise all_refused(candidates, trials, refused) from refused[0].__cause__
    return best, Choice(taken, tuple(trials))


def _timed(
    candidate: Candidate,
    opened: Callable[[Candidate], Model],
    seconds: Callable[[Model], float] | None,
) -> tuple[Model, float]:
    """Open and time a candidate; any exception of its library rejects the candidate."""
    entry = candidate.entry
    model: Model | None = None
    try:
        model = opened(candidate)
        return model, seconds(model) if seconds else 0.0
    except BaseException as error:
        if model is not None:
            model.close()
        if isinstance(error, EdgecatError | ImportError) or not isinstance(error, Exception):
            raise
        kind = UserError if entry.device == "cpu" else DeviceError
        line = one_line(error)
        raise kind(f"{entry.name} on {entry.device} cannot run {candidate.path}: {line}") from error


def _trial(candidate: Candidate, seconds: float = 0.0, *, refusal: str = "") -> Trial:
    entry = candidate.entry
    return Trial(candidate.path.name, entry.name, entry.device, seconds, refusal)


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, WrongAnswer) else str(error)


def all_refused(
    candidates: Sequence[Candidate], trials: Sequence[Trial], refused: Sequence[Exception]
) -> Exception:
    """The error if no candidate passed: names all of them, and what is known about them."""
    if len({str(error) for error in refused}) == 1:
        return refused[0]
    names = " and ".join(dict.fromkeys(trial.model for trial in trials))
    sentence = f"no backend here runs {names} correctly: {'; '.join(map(str, trials))}"
    wrong = [
        candidate
        for candidate, error in zip(candidates, refused, strict=True)
        if isinstance(error, WrongAnswer)
    ]
    if wrong:
        models = [(candidate.path, candidate.card) for candidate in wrong]
        sentence += f". {advice(models, {candidate.entry.device for candidate in wrong})}"
    return _common_class(refused)(sentence)


def _common_class(errors: Sequence[Exception]) -> type[EdgecatError]:
    """The class of several errors combined: the most severe one, ordered as the exit codes."""
    for kind in (GateError, DeviceError):
        if any(isinstance(error, kind) for error in errors):
            return kind
    missing = all(isinstance(error, BackendMissing) for error in errors)
    return BackendMissing if missing else UserError


def candidates_for(
    path: str | PathLike[str],
    backend: str,
    device: str,
    labels: Sequence[str] | None,
    trust: str | PathLike[str] | None = None,
) -> list[Candidate]:
    """The ways to run one file that the options allow, in order of preference."""
    path = Path(path)
    card = read_card(path, trust=trust)
    if labels is not None:
        card = card.with_labels(tuple(labels))
    check_labels(card.labels, path.name)  # --labels FILE renames them
    return [
        Candidate(path, card, entry) for entry in backend_entries(path, name=backend, device=device)
    ]
