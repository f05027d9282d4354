from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.errors import DeviceError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.pipeline import Pipeline

Make = Callable[..., Any]


def grey(level: int) -> np.ndarray:
    return np.full((24, 32, 3), level, np.uint8)


def stream_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "edgecat stream"]


def test_a_file_gives_every_answer_however_slow_the_taker(scripted: Make, brightness: Make) -> None:
    async def take() -> list[Answer]:
        answers = []
        async for answer in Pipeline(Camera(scripted(map(grey, range(30)))), brightness()).stream():
            await asyncio.sleep(0.002)
            answers.append(answer)
        return answers

    assert [answer.frame.index for answer in asyncio.run(take())] == list(range(30))
    assert not stream_threads()


def test_of_a_live_source_the_newest_answer_with_the_change_that_was_missed(
    scripted: Make, brightness: Make
) -> None:
    answers: list[Answer] = []
    frames = (grey(235 if answers else 20) for _ in range(10**6))

    async def take() -> None:
        pipeline = Pipeline(
            Camera(scripted(frames, live=True, fps=200)), brightness(), smooth=False
        )
        async with aclosing(pipeline.stream()) as stream:
            async for answer in stream:
                answers.append(answer)
                missed = pipeline.summary.frames + 20
                while len(answers) == 1 and pipeline.summary.frames < missed:
                    await asyncio.sleep(0.01)
                if len(answers) == 4:
                    break

    asyncio.run(take())
    first, second, *rest = answers
    assert second.frame.index - first.frame.index >= 20, "unread answers are skipped"
    assert (second.changed, second.before, second.smoothed.label) == (True, "dark", "bright")
    assert [answer.changed for answer in rest] == [False, False]


def test_the_event_loop_is_never_held_up(scripted: Make, brightness: Make) -> None:
    """Inference waits until the event loop has run ten times."""
    classifier, ticks = brightness(), threading.Semaphore(0)
    infer = classifier.infer

    def after_ten_ticks(frames: np.ndarray) -> np.ndarray:
        while ticks.acquire(blocking=False):
            pass
        assert all(ticks.acquire(timeout=20) for _ in range(10)), "the event loop was blocked"
        return infer(frames)

    async def take() -> int:
        async def tick() -> None:
            while True:
                ticks.release()
                await asyncio.sleep(0.001)

        ticking, count = asyncio.create_task(tick()), 0
        async for _ in Pipeline(Camera(scripted([grey(9)] * 3)), classifier).stream():
            count += 1
        ticking.cancel()
        return count

    classifier.infer = after_ten_ticks
    assert asyncio.run(take()) == 3


def test_cancelling_ends_the_loop_and_closes_its_outputs(scripted: Make, brightness: Make) -> None:
    seen: list[Answer] = []

    async def watch(pipeline: Pipeline) -> None:
        async for _ in pipeline.stream():
            pass

    async def cancel() -> None:
        camera = Camera(scripted((grey(1) for _ in range(100_000)), live=True, fps=100))
        task = asyncio.create_task(watch(Pipeline(camera, brightness(), [seen.append])))
        while not seen:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not stream_threads(), "the task has ended when the loop has"

    asyncio.run(cancel())


@pytest.mark.parametrize("live", [True, False])
def test_leaving_the_iteration_ends_the_loop(scripted: Make, brightness: Make, live: bool) -> None:
    async def leave() -> None:
        source = scripted((grey(1) for _ in range(100_000)), live=live, fps=500)
        async for _ in Pipeline(Camera(source), brightness()).stream():
            break

    asyncio.run(leave())  # which cancels what still waits for the loop
    deadline = time.perf_counter() + 20
    while stream_threads() and time.perf_counter() < deadline:
        time.sleep(0.01)
    assert not stream_threads()


def test_what_ends_the_loop_is_raised_after_the_last_answer(
    scripted: Make, brightness: Make
) -> None:
    async def take(answers: list[Answer]) -> None:
        source = scripted([grey(1)] * 2, vanishes=True)
        async for answer in Pipeline(Camera(source), brightness()).stream():
            answers.append(answer)  # noqa: PERF401  (an error comes after some)

    answers: list[Answer] = []
    with pytest.raises(DeviceError, match="stopped delivering frames"):
        asyncio.run(take(answers))
    assert len(answers) == 2
