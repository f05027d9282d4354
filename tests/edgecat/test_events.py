"""TensorBoard's event files, read back."""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecat.training import tensorboard as events
from edgecat.training.config import TrainConfig
from edgecat.training.interruption import Interrupted
from edgecat.training.loop import train
from edgecat.training.run_folder import read_config
from edgecat.training.watcher import Watcher
from edgecat_runtime.errors import BackendMissing


def _events(path: Path) -> Iterator[Any]:
    """The records of one file: length, its checksum, the event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    data = path.read_bytes()
    while data:
        length = struct.unpack_from("<Q", data)[0]
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def _files(folder: Path) -> list[Path]:
    """In the order of their first steps."""
    return sorted(folder.glob("events.out.tfevents.*"), key=lambda path: int(path.suffix[1:]))


def _scalars(folder: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows: a file that starts at a step withdraws what was there from it on."""
    shown: dict[str, dict[int, float]] = {}
    for path in _files(folder):
        for event in _events(path):
            if event.session_log.status == 1:
                for points in shown.values():
                    for step in [step for step in points if step >= event.step]:
                        del points[step]
            for value in event.summary.value:
                shown.setdefault(value.tag, {})[event.step] = value.simple_value
    return shown


class _InterruptedAt(Watcher):
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def stepped(self, pictures: int, loss: Callable[[], float]) -> None:
        self.steps -= 1
        if self.steps == 0:
            os.kill(os.getpid(), signal.SIGINT)


def test_events_hold_the_metrics_and_go_on_after_an_interruption(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboardX")
    monkeypatch.setattr(events, "_EVERY", 2)
    config = replace(config, tensorboard=True)
    whole = train(replace(config, name="whole"))
    with pytest.raises(Interrupted) as caught:
        train(config, watcher=_InterruptedAt(8))
    resumed = train(read_config(caught.value.folder), resume=caught.value.folder)
    shown = _scalars(whole.folder)
    assert list(shown["loss/training"]) == [5, 10, 15]
    assert list(shown["loss/so_far"]) == [2, 4, 6, 8, 10, 12, 14]
    for name, value in (("loss/training", "train_loss"), ("accuracy/validation", "val_accuracy")):
        expected = [getattr(row, value) for row in whole.history]
        assert list(shown[name].values()) == pytest.approx(expected)
    again = _scalars(resumed.folder)
    del shown["images_per_second"], again["images_per_second"]
    assert again == shown


def test_steps_after_the_saved_state_are_withdrawn(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a `kill -9`: events ran ahead of the state."""
    pytest.importorskip("tensorboardX")
    monkeypatch.setattr(events, "_EVERY", 1)

    class Halted(Watcher):
        left = 8

        def stepped(self, pictures: int, loss: Callable[[], float]) -> None:
            self.left -= 1
            if not self.left:
                raise RuntimeError

    config = replace(config, tensorboard=True)
    with pytest.raises(RuntimeError):
        train(config, watcher=Halted())
    folder = Path(config.output) / config.name
    assert max(_scalars(folder)["loss/so_far"]) == 7
    resumed = train(read_config(folder), resume=folder)
    assert list(_scalars(resumed.folder)["loss/so_far"]) == list(range(1, 16))
    before, after = ([event.step for event in _events(path)] for path in _files(folder))
    assert {6, 7} <= set(before) & set(after)


def test_without_the_library_nothing_is_begun(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(BackendMissing, match=r"pip install 'edgecat\[tensorboard\]'"):
        train(replace(config, tensorboard=True))
    assert not Path(config.output).exists()
