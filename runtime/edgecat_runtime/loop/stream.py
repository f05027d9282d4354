"""The camera loop in asyncio: answers arrive while the event loop does other things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from threading import Condition, Thread

from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.loop.running import Loop


async def stream_answers(loop: Loop) -> AsyncGenerator[Answer, None]:
    """Run the loop on a background thread and yield its answers; see `Pipeline.stream`."""
    mailbox = _Mailbox(loop)
    thread = Thread(target=mailbox.fill, name="edgecat stream", daemon=True)
    thread.start()
    try:
        while (answer := await mailbox.take()) is not None:
            yield answer
    finally:
        mailbox.close()
        await mailbox.finished.wait()
        thread.join()  # the thread has nothing left to do


class _Mailbox:
    """One slot per camera, between the loop's thread and an event loop.

    Created in the event loop, where `take`, `close` and `finished` must be used.
    """

    def __init__(self, loop: Loop) -> None:
        self.finished = asyncio.Event()
        self._running = loop
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._answers: dict[int, Answer] = {}
        self._changed = Condition()
        self._closed = False
        self._error: BaseException | None = None

    def fill(self) -> None:
        """Run the loop; called on its thread."""
        try:
            for answer in self._running:
                if not self._put(answer):
                    break
        except BaseException as error:
            self._error = error  # re-raised by `take`
        finally:
            with suppress(RuntimeError):  # the event loop was closed
                self._loop.call_soon_threadsafe(self._finish)

    async def take(self) -> Answer | None:
        """Wait for an answer; None at the end. Raises the error that ended the loop."""
        while True:
            with self._changed:  # held for microseconds
                for camera in self._answers:
                    self._changed.notify_all()
                    return self._answers.pop(camera)
                self._filled.clear()
            if self.finished.is_set():
                break
            await self._filled.wait()
        if self._error is not None:
            raise self._error
        return None

    def close(self) -> None:
        """Let the loop's thread end."""
        self._running.stop()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _put(self, answer: Answer) -> bool:
        """Store an answer; a live camera's replaces one not yet taken. False once closed."""
        camera = answer.frame.camera
        live = self._running.cameras[camera].source.live
        with self._changed:
            self._changed.wait_for(lambda: live or self._closed or camera not in self._answers)
            if self._closed:
                return False
            missed = self._answers.pop(camera, None)
            self._answers[camera] = answer if missed is None else _since(missed, answer)
        try:
            self._loop.call_soon_threadsafe(self._filled.set)
        except RuntimeError:  # the event loop was closed
            return False
        return True

    def _finish(self) -> None:
        self.finished.set()
        self._filled.set()


def _since(missed: Answer, answer: Answer) -> Answer:
    """Return the answer with the label change since before the missed one."""
    label, status = missed.previous_label, missed.previous_status
    changed = (label, status) != (answer.smoothed.label, answer.smoothed.status)
    return replace(answer, previous_label=label, previous_status=status, changed=changed)
