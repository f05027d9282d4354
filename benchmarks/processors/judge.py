"""Verdicts: compares each outcome with its limits and with the native outcome."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.parity import LOGIT_LIMITS, logit_error
from processors.trials import Outcome, Trial

PROBABILITY_LIMIT = 0.02  # between OpenCV versions, whose resizing may differ by one grey level
REFERENCE_OPENCV = "5.0.0.93"


@dataclass(frozen=True)
class Verdict:
    """The verdict on an outcome.

    Attributes:
        outcome: the outcome.
        ran: whether the trial ran.
        passed: whether all limits were met.
        remark: the reason for a failure; else empty.
        error: largest logit error or probability difference against the native results.
        same: number of images with the same predicted class.
    """

    outcome: Outcome
    ran: bool
    passed: bool
    remark: str = ""
    error: float | None = None
    same: int = 0

    @property
    def failed(self) -> bool:
        """Whether it fails the whole run.

        Missed limits do, and required trials that did not run. OpenVINO and OpenCV need not run
        under emulation: a wheel that QEMU cannot run says nothing about the CPU.
        """
        trial = self.outcome.trial
        optional = trial.kind == "answers" and trial.subject != "onnxruntime"
        excused = self.outcome.skipped or (optional and not trial.row.native)
        return not self.passed and (self.ran or not excused)

    def __str__(self) -> str:
        if self.passed:
            return "pass"
        return f"FAIL: {self.remark}" if self.ran else f"did not run: {self.remark}"


def judged(outcomes: Sequence[Outcome], cards: Mapping[str, ModelCard]) -> list[Verdict]:
    """Evaluate outcomes, including the native ones.

    Args:
        outcomes: the outcomes of all trials.
        cards: model cards, by file name.
    """
    natives = {_key(item.trial): item for item in outcomes if item.trial.row.native}
    return [_verdict(item, natives.get(_key(item.trial)), natives, cards) for item in outcomes]


def _key(trial: Trial) -> tuple[str, str, str]:
    return trial.kind, trial.subject, trial.model


def _verdict(
    outcome: Outcome,
    native: Outcome | None,
    natives: Mapping[tuple[str, str, str], Outcome],
    cards: Mapping[str, ModelCard],
) -> Verdict:
    trial = outcome.trial
    if trial.kind == "tests":
        return _tests(outcome)
    if outcome.failure or not outcome.found:
        return Verdict(outcome, ran=False, passed=False, remark=outcome.failure or "no output")
    if trial.kind == "classify":
        return _classified(outcome, natives.get(("classify", REFERENCE_OPENCV, "")))
    if native is None or not native.found:
        return Verdict(outcome, ran=True, passed=False, remark="no native result to compare with")
    if trial.kind == "export":
        return _exported(outcome, native)
    return _answered(outcome, native, cards[trial.model])


def _answered(outcome: Outcome, native: Outcome, card: ModelCard) -> Verdict:
    found, n = outcome.found, outcome.trial.drawn
    logits = np.asarray(found["logits"], np.float32)
    expected = np.asarray(native.found["logits"], np.float32)[:n]
    error = logit_error(expected, logits, np.asarray(card.golden, np.float32))
    same = int((logits.argmax(1) == expected.argmax(1)).sum())
    limit = LOGIT_LIMITS[card.precision]
    remarks = [outcome.trial.row.mismatch(tuple(found["features"])), found["refused"]]
    if not error <= limit:
        remarks.append(f"logits of drawn images differ by {error:.1e}; limit {limit:.0e}")
    if same < n:
        remarks.append(f"{n - same} of {n} drawn images get a different class")
    remark = "; ".join(filter(None, remarks))
    return Verdict(outcome, True, not remark, remark, error, same)


def _exported(outcome: Outcome, native: Outcome) -> Verdict:
    found, expected = outcome.found, native.found
    remark = ""
    if found["float32"] != expected["float32"]:
        remark = "the float32 network already differs"
    elif found["payload"] != expected["payload"]:
        remark = "payload differs from the native one"
    elif found["golden"] != expected["golden"]:
        remark = "same payload, but different golden logits in its card"
    return Verdict(outcome, True, not remark, remark)


def _tests(outcome: Outcome) -> Verdict:
    failed = re.findall(r"^(?:FAILED|ERROR) \S+?::(\S+)", outcome.out, re.M)
    ran = re.search(r"\d+ (?:passed|failed)", outcome.out) is not None
    passed = not outcome.failure and ran
    remark = "" if passed else ", ".join(failed) or outcome.failure or "no test ran"
    return Verdict(outcome, ran, passed, remark)


def _classified(outcome: Outcome, reference: Outcome | None) -> Verdict:
    answers = outcome.found["answers"]
    if reference is None or "answers" not in reference.found:
        return Verdict(outcome, True, False, f"OpenCV {REFERENCE_OPENCV} gave no result")
    pairs = list(zip(answers, reference.found["answers"], strict=True))
    same = sum(one["label"] == other["label"] for one, other in pairs)
    error = max(
        abs(one["probabilities"][name] - other["probabilities"][name])
        for one, other in pairs
        for name in one["probabilities"]
    )
    remark = ""
    if same < len(pairs):
        remark = f"{len(pairs) - same} of {len(pairs)} images get a different label"
    elif error > PROBABILITY_LIMIT:
        remark = f"a probability differs by {error:.2f}; limit {PROBABILITY_LIMIT}"
    return Verdict(outcome, True, not remark, remark, error, same)
