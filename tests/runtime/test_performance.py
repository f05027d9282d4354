"""What the loop costs and how long it holds out, in short; the long forms are in benchmarks/."""

from __future__ import annotations

import re
import runpy
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.pipeline import Pipeline

Make = Callable[..., Any]
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_next_frame_is_decoded_while_this_one_is_answered(
    scripted: Make, brightness: Make
) -> None:
    """Classify each frame only once the next is being decoded: sequential code would deadlock."""
    network, decoded = brightness(), threading.Semaphore(0)
    infer = network.infer

    def frames() -> Iterator[np.ndarray]:
        for _ in range(15):
            yield np.zeros((24, 32, 3), np.uint8)
            decoded.release()  # the next frame is being requested

    def after_the_next_one(batch: np.ndarray) -> np.ndarray:
        assert decoded.acquire(timeout=20), "the next frame was not decoded meanwhile"
        return infer(batch)

    network.infer = after_the_next_one
    assert Pipeline(Camera(scripted(frames())), network).run().frames == 15


def test_the_cost_of_the_loop_is_measured(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["camera.py", "--engine", str(tiny_onnx), "--frames", "20", "--rounds", "3"]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(BENCHMARKS / "camera.py"))["main"]()
    out = capsys.readouterr().out
    assert re.search(r"overhead: \d+\.\d+ ms per frame", out)
    ratios = re.findall(r"pipeline / (?:bare engine|plain loop): (\d+\.\d+)", out)
    assert len(ratios) == 4, "with a core left to capture, and without"
    assert all(float(ratio) > 0.3 for ratio in ratios), "the network is next to nothing here"


def test_a_frame_does_not_grow_old_where_a_plain_loop_drifts() -> None:
    ours, plain, _ = runpy.run_path(str(BENCHMARKS / "latency.py"))["measured"](3.0)
    assert plain.ages[-1] > 3 * ours.p95(), "measured side by side in one run"
    assert ours.times[-1] > 3, "the run was complete"


def test_the_loop_holds_out() -> None:
    run = runpy.run_path(str(BENCHMARKS / "soak.py"))["soaked"](4000)
    assert run.frames == run.called == 4000
    assert run.events == 5 + 2, "labels, start and stop"
    first, *_, last = run.looks
    assert last.threads <= first.threads, "one left by an earlier test may end meanwhile"
    assert last.descriptors <= first.descriptors
    assert run.growth < 0.05
