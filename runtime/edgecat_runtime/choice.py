"""Which of several ways of running a model is taken: the fastest one that passes its self-test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from edgecat_runtime.backends import BackendEntry
from edgecat_runtime.card import ModelCard
from edgecat_runtime.errors import (
    BackendMissing,
    DeviceError,
    EdgecatError,
    GateError,
    UserError,
)
from edgecat_runtime.refusal import WrongAnswer, advice

FASTER = 0.8
"""The share of the best time so far that a later candidate must stay below: less is noise."""


@dataclass(frozen=True)
class Candidate:
    """One way of running a model.

    Attributes:
        path: of the file.
        card: of the file.
        entry: backend and device.
    """

    path: Path
    card: ModelCard
    entry: BackendEntry


@dataclass(frozen=True)
class Trial:
    """What became of one candidate.

    Attributes:
        model: the file's name.
        backend: registered name.
        device: registered name.
        seconds: for one frame; 0 where it was refused, or was the only candidate.
        refusal: why it was refused; empty where it passed.
    """

    model: str
    backend: str
    device: str
    seconds: float = 0.0
    refusal: str = ""

    def __str__(self) -> str:
        way = f"{self.model} with {self.backend} on {self.device}"
        if self.refusal:
            return f"{way} refused: {self.refusal}"
        return f"{way} {self.seconds * 1e3:.3g} ms" if self.seconds else way


@dataclass(frozen=True)
class Choice:
    """Which candidate was taken, and what became of all.

    Attributes:
        taken: the number of the one that was taken.
        trials: of all candidates, in the order of preference.
        kept_at: the file that this choice is remembered in; None where it is not.
        cached: whether it was remembered, and not measured for this opening.
    """

    taken: int
    trials: tuple[Trial, ...]
    kept_at: Path | None = None
    cached: bool = False

    @property
    def best(self) -> Trial:
        """The candidate that was taken."""
        return self.trials[self.taken]

    @property
    def summary(self) -> str:
        """What was taken, and where that comes from."""
        if len(self.trials) == 1:
            return f"{self.best}, the only candidate"
        when = "measured before" if self.cached else "measured now"
        kept = f", kept in {self.kept_at}" if self.kept_at else ""
        return f"{self.best}, the fastest that is right here ({when}{kept})"

    def __str__(self) -> str:
        others = "; ".join(str(t) for i, t in enumerate(self.trials) if i != self.taken)
        return f"{self.summary}; {others}" if others else self.summary


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
    """Open every candidate and keep the fastest; two are open at a time, at most.

    A later candidate is taken only where it needs less than `FASTER` of the best time so far.

    Args:
        candidates: in the order of preference; one alone is not timed.
        opened: opens a candidate, self-tested.
        seconds: the time that an open model takes for one frame.
        told: called with how many of how many were tried, first with 0.

    Returns:
        The open model, and the choice.

    Raises:
        EdgecatError: none passed; with several candidates all are named.
    """
    best: Model | None = None
    taken, least = -1, float("inf")
    trials: list[Trial] = []
    refused: list[Exception] = []
    told(0, len(candidates))
    for number, candidate in enumerate(candidates):
        try:
            model, time = _timed(candidate, opened, seconds if len(candidates) > 1 else None)
        except (EdgecatError, ImportError) as error:
            refused.append(error)
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
    """An open model and its time; whatever its library raises is a refusal of this candidate."""
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
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise kind(f"{entry.name} on {entry.device} cannot run {candidate.path}: {line}") from error


def _trial(candidate: Candidate, seconds: float = 0.0, *, refusal: str = "") -> Trial:
    entry = candidate.entry
    return Trial(candidate.path.name, entry.name, entry.device, seconds, refusal)


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, WrongAnswer) else str(error)


def all_refused(
    candidates: Sequence[Candidate], trials: Sequence[Trial], refused: Sequence[Exception]
) -> Exception:
    """The one error for candidates of which none passed: all are named, with what is known."""
    if len({str(error) for error in refused}) == 1:
        return refused[0]
    names = " and ".join(dict.fromkeys(trial.model for trial in trials))
    sentence = f"nothing here runs {names} rightly: {'; '.join(map(str, trials))}"
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
    """What several errors are together: the gravest, as the exit codes order them."""
    for kind in (GateError, DeviceError):
        if any(isinstance(error, kind) for error in errors):
            return kind
    missing = all(isinstance(error, BackendMissing) for error in errors)
    return BackendMissing if missing else UserError
