"""A board that follows its channel while it classifies: swaps, canary, crashes, silence."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import StatusEvent
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.loop.fleet.canary import CanaryLimits
from edgecat_runtime.loop.fleet.device import Device
from edgecat_runtime.loop.fleet.follower import Follower
from edgecat_runtime.loop.fleet.opening import Opening
from edgecat_runtime.loop.fleet.options import FollowOptions
from edgecat_runtime.loop.fleet.origin import FolderOrigin, Origin, WebOrigin
from edgecat_runtime.loop.fleet.starting import MOST_STARTS
from edgecat_runtime.loop.fleet.store import Store
from edgecat_runtime.loop.fleet.updater import Offer
from edgecat_runtime.loop.reload import Reloaded
from edgecat_runtime.model.channel import (
    MANIFEST,
    Manifest,
    Release,
    Target,
    labels_hash,
    sealed_manifest,
)
from edgecat_runtime.model.prediction import Prediction
from edgecat_runtime.model.signing import new_key, read_key, sign_model
from edgecat_runtime.outputs.callback import CallbackSink
from edgecat_runtime.outputs.events import event_from_answer, event_from_signal
from edgecat_runtime.outputs.predictions import prediction_from_answer
from edgecat_runtime.pipeline import Pipeline
from edgecat_runtime.web.loop_status import LoopStatus
from edgecat_runtime.web.metrics import exposition
from fleet.models import TOLERANCE, model_bytes
from fleet.server import Server

pytest.importorskip("cryptography", reason="pip install 'edgecat-runtime[sign]'")
pytest.importorskip("onnxruntime")

PATIENCE = 120.0
CREATED = "2026-01-31T12:00:00Z"
PROBABILITIES = {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.95}


class Yard:
    """A channel in a folder and one board, with a clock that only the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.channel = folder, folder / "channel"
        (self.channel / "models").mkdir(parents=True)
        new_key(folder / "ours")
        self.sequence = 0
        self.now = 1000.0
        self.followers: list[Follower] = []

    def publish(self, number: int, *, version: int = 0, broken: bool = False) -> str:
        """Publish a model under its number, or as another version."""
        path = self.folder / "model.onnx"
        path.write_bytes(model_bytes(PROBABILITIES[number], seed=number, broken=broken))
        sign_model(path, read_key(self.folder / "ours"))
        data = path.read_bytes()
        target = Target(len(data), hashlib.sha256(data).hexdigest(), "onnx", "fp32")
        (self.channel / target.file).write_bytes(data)
        labels = labels_hash(("cat", "dog"))
        offered = Release(version or number, CREATED, 100, "ab" * 8, labels, (target,))
        self.sequence += 1
        manifest = Manifest("yard", self.sequence, CREATED, (offered,))
        sealed = sealed_manifest(manifest, read_key(self.folder / "ours"))
        (self.channel / MANIFEST).write_bytes(sealed)
        return target.sha256

    def follower(
        self,
        *,
        canary: CanaryLimits | None = None,
        origin: Origin | None = None,
        clock: Callable[[], float] | None = None,
        every: float = 1.0,
    ) -> Follower:
        """The board, started anew."""
        for before in self.followers:
            before.close()
        made = Follower(
            origin or FolderOrigin(self.channel),
            Store(self.folder / "board"),
            Opening(self.folder / "ours.pub", options={"backend": "onnxruntime"}),
            device=Device(backend="onnxruntime"),
            options=FollowOptions(every=every, board="board-1", canary=canary),
            clock=clock or (lambda: self.now),
        )
        self.followers = [made]
        return made

    def tick(self, follower: Follower, seconds: float = 5.0) -> Reloaded | None:
        """Let time pass, and the board look once."""
        self.now += seconds
        follower.tick()
        return follower.take()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    for follower in made.followers:
        follower.close()


def dark(camera: type, fps: float = 50.0) -> Camera:
    frames = (np.zeros((32, 32, 3), np.uint8) for _ in count())
    return Camera(camera(frames, live=True, fps=fps))


def answers(yard: Yard, follower: Follower, number: int, confidence: float, unsure: int) -> None:
    """Let the model in use answer: the last `unsure` of `number` answers are unsure."""
    model = follower._store.state.name
    shares = {"cat": confidence, "dog": 1 - confidence}
    for index in range(number):
        yard.now += 0.01
        raw = Prediction("cat", confidence, shares, (0.0, 0.0))
        sure = index < number - unsure
        decided = raw if sure else replace(raw, label=None, confidence=0.0)
        frame: Any = None
        follower.observe(Answer(frame, raw, decided, False, 0.0, 0.0, model=model))


def test_a_model_takes_over_between_two_frames_and_each_answer_names_its_own(
    yard: Yard, scripted: type
) -> None:
    hashes = {1: yard.publish(1)}
    signals: list[StatusEvent] = []
    follower = yard.follower(clock=time.monotonic)
    seen: list[Answer] = []
    deadline = time.monotonic() + PATIENCE
    with dark(scripted) as camera, follower.open() as classifier:
        sink = CallbackSink(lambda answer: None, on_signal=signals.append)
        pipeline = Pipeline(camera, classifier, [sink], reload=follower, smooth=False)
        page = LoopStatus(pipeline)
        metrics = exposition(page, lambda: 0)
        for answer in pipeline:
            seen.append(answer)
            if len(seen) == 5:
                hashes[3] = yard.publish(3, broken=True)
            if len(seen) > 5 and 2 not in hashes and pipeline.updates.refusals["self-test"]:
                hashes[2] = yard.publish(2, version=4)
            if answer.model.version == 4 or time.monotonic() > deadline:
                break
        text = metrics()[0].decode()
        status = page.status()["updates"]
    versions = [answer.model.version for answer in seen]
    assert sorted(set(versions)) == [1, 4]
    assert versions == sorted(versions)
    assert all(b.frame.index == a.frame.index + 1 for a, b in pairwise(seen)) or camera.dropped
    for answer in seen:
        wanted = 0.9 if answer.model.version == 1 else 0.8
        assert answer.raw.probabilities["cat"] == pytest.approx(wanted, abs=TOLERANCE)
        named = {"channel": "yard", "version": answer.model.version}
        named["sha256"] = hashes[1 if answer.model.version == 1 else 2]
        assert event_from_answer(answer)["model"] == named
        assert prediction_from_answer(answer)["model"] == named
    events = [event_from_signal(signal) for signal in signals]
    kinds = [(event["event"], event["model"]["version"]) for event in events]
    assert kinds == [("started", 1), ("refused", 1), ("reloaded", 4), ("stopped", 4)]
    refused = {"cause": "self-test", "version": 3, "sha256": hashes[3]}
    assert events[1]["refused"] == refused
    assert "still serving version 1" in events[1]["reason"]
    labels = 'board="board-1",channel="yard"'
    for line in (
        f"edgecat_model_version{{{labels}}} 4.0",
        f"edgecat_model_version_offered{{{labels}}} 4.0",
        f'edgecat_update_refusals_total{{{labels},reason="self-test"}} 1.0',
        f'edgecat_update_refusals_total{{{labels},reason="canary"}} 0.0',
        f"edgecat_update_failures_total{{{labels}}} 0.0",
    ):
        assert line in text, text
    assert (status["version"], status["sha256"]) == (4, hashes[2])


def test_a_refusal_is_told_once(yard: Yard) -> None:
    yard.publish(1)
    follower = yard.follower()
    follower.open().close()
    yard.publish(2, broken=True)
    news = yard.tick(follower)
    assert news is not None
    assert news.classifier is None
    assert news.refusal is not None
    assert all(yard.tick(follower) is None for _ in range(3))
    (yard.channel / MANIFEST).write_bytes(b"{}")
    assert yard.tick(follower).refusal.cause == "manifest"
    assert yard.tick(follower) is None
    yard.publish(3)
    taken = yard.tick(follower)
    assert taken.classifier is not None
    taken.classifier.close()
    (yard.channel / MANIFEST).write_bytes(b"{}")
    assert yard.tick(follower).refusal.cause == "manifest", "again, after a good one"
    assert follower.status().refusals["manifest"] == 2
    assert follower.status().version == 3


LIMITS = CanaryLimits(10, 0.15, 100)
CANARIES: list[tuple[str, int, float, int, float, bool | None]] = [
    ("alike", 200, 0.88, 10, 600, True),
    ("confidence falls", 200, 0.60, 0, 160, False),
    ("confidence rises", 200, 1.00, 0, 160, None),
    ("unsure rises", 200, 0.90, 60, 160, False),
    ("too soon", 200, 0.60, 0, 60, None),
    ("too few frames", 99, 0.10, 99, 600, None),
    ("a slow camera", 100, 0.60, 0, 6000, False),
    ("not yet over", 200, 0.88, 10, 300, None),
]


@pytest.mark.parametrize(
    ("frames", "confidence", "unsure", "seconds", "settled"),
    [row[1:] for row in CANARIES],
    ids=[row[0] for row in CANARIES],
)
def test_a_model_whose_live_predictions_depart_goes_back_by_itself(
    yard: Yard, frames: int, confidence: float, unsure: int, seconds: float, settled: bool | None
) -> None:
    first = yard.publish(1)
    follower = yard.follower(canary=LIMITS)
    follower.open().close()
    yard.now += 61
    answers(yard, follower, 200, 0.9, 0)
    second = yard.publish(2)
    taken = yard.tick(follower)
    assert taken.classifier is not None
    assert follower.status().canary
    taken.classifier.close()
    answers(yard, follower, frames, confidence, unsure)
    news = yard.tick(follower, seconds)
    state = follower._store.state
    if settled is not False:
        assert news is None
        assert state.current.sha256 == second
        assert state.current.settled == bool(settled)
        return
    assert news.classifier is not None
    news.classifier.close()
    assert news.classifier.version.sha256 == first
    assert "went back from version 2 to version 1" in news.reason
    refusal = follower.take().refusal
    assert (refusal.cause, refusal.version, refusal.sha256) == ("canary", 2, second)
    assert yard.tick(follower) is None, "and does not take it again"
    assert (follower.status().version, follower.status().offered) == (1, 2)
    restarted = yard.follower(canary=LIMITS)
    restarted.open().close()
    assert restarted.status().version == 1
    yard.publish(4)
    taken = yard.tick(restarted)
    while taken.classifier is None:  # version 2 is told of once more, by the new process
        taken = restarted.take()
    assert taken.classifier.version.version == 4
    taken.classifier.close()


def test_a_restart_does_not_end_the_canary(yard: Yard) -> None:
    yard.publish(1)
    follower = yard.follower(canary=LIMITS)
    follower.open().close()
    answers(yard, follower, 200, 0.9, 0)
    yard.publish(2)
    yard.tick(follower).classifier.close()
    again = yard.follower(canary=LIMITS)
    again.open().close()
    answers(yard, again, 200, 0.5, 0)
    news = yard.tick(again, 200)
    assert news.classifier.version.version == 1
    news.classifier.close()


def test_without_enough_frames_before_there_is_no_comparison(yard: Yard) -> None:
    yard.publish(1)
    follower = yard.follower(canary=LIMITS)
    follower.open().close()
    answers(yard, follower, 20, 0.9, 0)
    yard.publish(2)
    yard.tick(follower).classifier.close()
    answers(yard, follower, 200, 0.1, 0)
    assert yard.tick(follower, 700) is None
    assert follower._store.state.current.settled


def test_answers_of_the_model_before_are_not_counted(yard: Yard) -> None:
    yard.publish(1)
    follower = yard.follower(canary=LIMITS)
    follower.open().close()
    answers(yard, follower, 200, 0.9, 0)
    old = follower._store.state.name
    yard.publish(2)
    yard.tick(follower).classifier.close()
    raw = Prediction("cat", 0.1, {"cat": 0.1, "dog": 0.9}, (0.0, 0.0))
    frame: Any = None
    for _ in range(500):
        follower.observe(Answer(frame, raw, raw, False, 0.0, 0.0, model=old))
    assert yard.tick(follower, 700) is None
    assert not follower._store.state.current.settled, "it waits for frames of its own"


def test_a_model_that_ends_its_process_again_and_again_is_gone_back_from(yard: Yard) -> None:
    yard.publish(1)
    follower = yard.follower()
    follower.open().close()
    yard.tick(follower, 61)
    yard.publish(2)
    yard.tick(follower).classifier.close()
    served = []
    for _ in range(MOST_STARTS + 2):  # each ends before a minute is over
        follower = yard.follower()
        follower.open().close()
        served.append(follower.status().version)
    assert served == [*[2] * MOST_STARTS, 1, 1]
    assert follower._store.state.refused[0].cause == "crash"


def test_a_minute_of_service_is_enough(yard: Yard) -> None:
    yard.publish(1)
    follower = yard.follower()
    follower.open().close()
    yard.publish(2)
    yard.tick(follower).classifier.close()
    for _ in range(MOST_STARTS + 2):
        follower = yard.follower()
        follower.open().close()
        yard.tick(follower, 61)
    assert follower.status().version == 2


def test_a_damaged_file_is_replaced_and_the_model_before_serves_meanwhile(yard: Yard) -> None:
    yard.publish(1)
    follower = yard.follower()
    follower.open().close()
    second = yard.publish(2)
    yard.tick(follower).classifier.close()
    path = yard.folder / "board" / "models" / f"{second}.onnx"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    follower = yard.follower()
    classifier = follower.open()
    assert classifier.version.version == 1
    classifier.close()
    taken = yard.tick(follower)
    assert taken.classifier.version.version == 2, "fetched again"
    taken.classifier.close()


def test_a_board_off_for_a_week_catches_up_at_once(yard: Yard) -> None:
    yard.publish(1)
    follower = yard.follower()
    follower.open().close()
    for version in (2, 3, 4):
        yard.publish(version)
    follower = yard.follower()
    follower.open().close()
    taken = yard.tick(follower, 7 * 86_400)
    assert taken.classifier.version.version == 4
    taken.classifier.close()


def test_with_neither_a_model_nor_a_server_the_reason_is_given(yard: Yard) -> None:
    with pytest.raises(DeviceError, match="cannot be reached"):
        yard.follower(origin=WebOrigin("http://127.0.0.1:1")).open()
    yard.publish(1)
    yard.follower().open().close()
    away = yard.follower(origin=WebOrigin("http://127.0.0.1:1"))
    away.open().close()
    assert away.status().version == 1, "from the disk, at once"
    assert away.status().contact_seconds is None


def test_failures_are_retried_soon_then_less_often(yard: Yard) -> None:
    yard.publish(1)
    follower = yard.follower(every=60)
    follower.open().close()
    (yard.channel / MANIFEST).rename(yard.folder / "away")
    pauses = []
    for _ in range(9):
        yard.now = follower._due = max(yard.now, follower._due)
        follower.tick()
        pauses.append(follower._due - yard.now)
    for pause, wanted in zip(pauses, (1, 2, 4, 8, 16, 32, 60, 60, 60), strict=True):
        assert 0.9 * wanted <= pause <= 1.1 * wanted
    assert follower.status().failures == 9
    assert "cannot read" in follower.status().trouble
    (yard.folder / "away").rename(yard.channel / MANIFEST)
    yard.now = follower._due
    follower.tick()
    assert 54 <= follower._due - yard.now <= 66
    assert follower.status().trouble == ""


def test_closing_does_not_wait_for_a_slow_server(yard: Yard) -> None:
    yard.publish(1)
    server = Server(yard.channel)
    try:
        follower = yard.follower(origin=WebOrigin(server.url), clock=time.monotonic)
        follower.open().close()
        server.rate = 20_000
        sent = server.sent
        yard.publish(2)
        follower.start()
        deadline = time.monotonic() + PATIENCE
        while server.sent == sent and time.monotonic() < deadline:
            time.sleep(0.01)
        follower.close()
        assert 0 < server.sent - sent < 300_000, "half of the file was still to come"
    finally:
        server.kill()


def test_a_reopened_engine_is_the_channel_s_model(yard: Yard) -> None:
    yard.publish(1)
    follower = yard.follower()
    follower.open().close()
    with follower.reopen() as classifier:
        assert classifier.version.version == 1


@pytest.mark.parametrize(
    "given", [{"every": 0.5}, {"every": 1e9}, {"board": "x" * 65}], ids=lambda given: str(given)
)
def test_options_out_of_range_are_a_sentence(yard: Yard, given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="expected"):
        Follower(
            FolderOrigin(yard.channel),
            Store(yard.folder / "other"),
            Opening(yard.folder / "ours.pub"),
            options=FollowOptions(**given),
        )
    with pytest.raises(UserError, match="minutes above 0"):
        CanaryLimits(0)


def test_an_offer_that_cannot_be_noted_down_is_not_handed_over(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.publish(1)
    follower = yard.follower()
    follower.open().close()
    yard.publish(2)
    save = follower._store.save

    def full(state: Any) -> None:
        if state.current is not None and state.current.version == 2:
            raise UserError("cannot write state.json: the disk is full")
        save(state)

    monkeypatch.setattr(follower._store, "save", full)
    assert yard.tick(follower) is None
    assert follower.status().version == 1
    assert "the disk is full" in follower.status().trouble
    monkeypatch.setattr(follower._store, "save", save)
    taken = yard.tick(follower)
    assert isinstance(taken, Reloaded)
    assert not isinstance(taken, Offer)
    taken.classifier.close()


def test_a_disk_that_takes_nothing_does_not_keep_a_board_from_starting(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.publish(1)
    yard.follower().open().close()
    follower = yard.follower()

    def full(state: Any) -> None:
        raise UserError("cannot write state.json: the disk is full")

    monkeypatch.setattr(follower._store, "save", full)
    follower.open().close()
    assert follower.status().version == 1
    assert yard.tick(follower, 61) is None
    assert "the disk is full" in follower.status().trouble
