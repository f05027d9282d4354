"""Verdicts: each outcome held against its limits and against the native one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.parity import LOGIT_LIMITS, logit_error
from processors.trials import Outcome, Trial

PROBABILITY_LIMIT = 0.02  # between versions of OpenCV, whose resizing may differ by a grey level
REFERENCE_OPENCV = "5.0.0.93"


@dataclass(frozen=True)
class Verdict:
    """What an outcome is worth.

    Attributes:
        outcome: that was judged.
        ran: whether there was anything to judge.
        passed: whether every limit was kept.
        remark: why not; else empty.
        error: worst logit error against the native answers, or difference of probabilities.
        same: number of images with the same best class.
    """

    outcome: Outcome
    ran: bool
    passed: bool
    remark: str = ""
    error: float | None = None
    same: int = 0

    @property
    def failed(self) -> bool:
        """Whether it counts against the whole.

        What missed a limit does, and what had to run and did not. OpenVINO and OpenCV need not run
        where they are emulated: that QEMU cannot run a wheel says nothing about the processor.
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
    """Judge outcomes, the native ones among them.

    Args:
        outcomes: of all trials.
        cards: of the models, by file name.
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
        return Verdict(outcome, ran=False, passed=False, remark=outcome.failure or "said nothing")
    if trial.kind == "classify":
        return _classified(outcome, natives.get(("classify", REFERENCE_OPENCV, "")))
    if native is None or not native.found:
        return Verdict(outcome, ran=True, passed=False, remark="no native answer to compare with")
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
        remarks.append(f"drawn images are answered {error:.1e} off; at most {limit:.0e} is allowed")
    if same < n:
        remarks.append(f"{n - same} of {n} drawn images get another class")
    remark = "; ".join(filter(None, remarks))
    return Verdict(outcome, True, not remark, remark, error, same)


def _exported(outcome: Outcome, native: Outcome) -> Verdict:
    found, expected = outcome.found, native.found
    remark = ""
    if found["float32"] != expected["float32"]:
        remark = "the float32 network is not the same to begin with"
    elif found["payload"] != expected["payload"]:
        remark = "another payload than natively"
    elif found["golden"] != expected["golden"]:
        remark = "the same payload, but other golden logits in its card"
    return Verdict(outcome, True, not remark, remark)


def _tests(outcome: Outcome) -> Verdict:
    failed = re.findall(r"^(?:FAILED|ERROR) \S+?::(\S+)", outcome.out, re.M)
    ran = re.search(r"\d+ (?:passed|failed)", outcome.out) is not None
    passed = not outcome.failure and ran
    remark = "" if passed else ", ".join(failed) or outcome.failure or "no test was run"
    return Verdict(outcome, ran, passed, remark)


def _classified(outcome: Outcome, reference: Outcome | None) -> Verdict:
    answers = outcome.found["answers"]
    if reference is None or "answers" not in reference.found:
        return Verdict(outcome, True, False, f"OpenCV {REFERENCE_OPENCV} gave no answer")
    pairs = list(zip(answers, reference.found["answers"], strict=True))
    same = sum(one["label"] == other["label"] for one, other in pairs)
    error = max(
        abs(one["probabilities"][name] - other["probabilities"][name])
        for one, other in pairs
        for name in one["probabilities"]
    )
    remark = ""
    if same < len(pairs):
        remark = f"{len(pairs) - same} of {len(pairs)} images get another label"
    elif error > PROBABILITY_LIMIT:
        remark = f"a probability differs by {error:.2f}; at most {PROBABILITY_LIMIT} is allowed"
    return Verdict(outcome, True, not remark, remark, error, same)
