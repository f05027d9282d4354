"""A running camera loop, as outputs and the web page see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.loop.answers import Answer, Summary
from edgecat_runtime.loop.updates import UpdateStatus
from edgecat_runtime.system.clocks import Clock


class Loop(Protocol):
    """What a `Pipeline` shows of itself while it runs."""

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """Where its frames come from, in the order of the cameras' numbers."""
        ...

    @property
    def classifier(self) -> Classifier:
        """The classifier in use; another one after a reload."""
        ...

    @property
    def updates(self) -> UpdateStatus | None:
        """How the channel of models is being followed; None without one."""
        ...

    @property
    def clocks(self) -> dict[str, Clock]:
        """Durations of each stage by name."""
        ...

    @property
    def summary(self) -> Summary:
        """The statistics so far."""
        ...

    def stop(self) -> None:
        """End the loop after the current frame; may be called from any thread."""
        ...

    def __iter__(self) -> Iterator[Answer]:
        """Run the loop, yielding the answer to every frame."""
        ...
