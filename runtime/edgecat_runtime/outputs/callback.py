"""A plain function as an output of the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.outputs.sink import Sink

if TYPE_CHECKING:
    from edgecat_runtime.camera.frames import StatusEvent
    from edgecat_runtime.loop.answers import Answer

Callback = Callable[["Answer"], object]


class CallbackSink(Sink):
    """Calls a function with each answer, on its own thread.

    `Pipeline(..., outputs=[function])` is short for `[CallbackSink(function)]`. An exception from
    the function is reported once and ends its calls, never the loop.

    Args:
        function: called with each answer; its return value is ignored.
        on_signal: called with each status event: a source was lost, an engine reloaded, ...
        only_changes: whether to call it only for the first answer and when the label changes.
        inline: whether to call it on the loop's thread, where a slow function slows the loop.

    Example:
        >>> door = CallbackSink(open_for_cats, only_changes=True)  # doctest: +SKIP
        >>> Pipeline(camera, classifier, [print, door]).run()  # doctest: +SKIP
    """

    def __init__(
        self,
        function: Callback,
        *,
        on_signal: Callable[[StatusEvent], object] | None = None,
        only_changes: bool = False,
        inline: bool = False,
    ) -> None:
        self.name = f"the function {getattr(function, '__name__', type(function).__name__)}"
        self.only_changes = only_changes
        self.inline = inline
        self._function = function
        self._on_signal = on_signal

    def write(self, answer: Answer, picture: NDArray[np.uint8]) -> None:
        """Call the function."""
        self._function(answer)

    def signal(self, signal: StatusEvent) -> None:
        """Call the status callback, if there is one."""
        if self._on_signal is not None:
            self._on_signal(signal)


def sink_from_output(output: Sink | Callback) -> Sink:
    """Return a sink unchanged, and a function wrapped in one.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(output, Sink):
        return output
    if not callable(output):
        raise TypeError(f"output is {output!r}; expected a Sink or a function of one answer")
    return CallbackSink(output)
