"""The one state, which several faces change and one loop reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from edgecat.deepvis.actions import BY_KEY, BY_NAME
from edgecat.deepvis.state import Scene, State, Unit
from edgecat_runtime.errors import UserError


class Desk:
    """The one state, which several faces change and one loop reads; for any thread.

    Args:
        scene: what there is to point at.
        state: at the start.
    """

    def __init__(self, scene: Scene, state: State | None = None) -> None:
        self.scene = scene
        self._state = state or State()
        self._lock = Lock()
        self._listeners: list[Callable[[State], None]] = []

    @property
    def state(self) -> State:
        """The newest state."""
        return self._state

    def act(self, name: str) -> State:
        """Do one action, by its name, and return the new state.

        Raises:
            UserError: there is no such action.
        """
        if name not in BY_NAME:
            raise UserError(f"there is no action {name!r}; expected one of {', '.join(BY_NAME)}")
        return self._change(lambda state: BY_NAME[name].change(state, self.scene))

    def press(self, key: str) -> bool:
        """Do what a key is bound to; whether it is bound."""
        action = BY_KEY.get(key)
        if action is not None:
            self.act(action.name)
        return action is not None

    def select(self, unit: Unit) -> State:
        """Put the cursor on a unit, or on the nearest that exists."""
        return self._change(lambda state: replace(state, unit=self.scene.clamped(unit)))

    def lay_out(self, columns: int) -> None:
        """Be told how many units stand side by side now."""
        self.scene = replace(self.scene, columns=max(1, columns))

    def listen(self, listener: Callable[[State], None]) -> None:
        """Call a function with every new state, in the thread that changed it."""
        self._listeners.append(listener)

    def _change(self, change: Callable[[State], State]) -> State:
        with self._lock:
            before = self._state
            state = self._state = change(before)
        if state != before:
            for listener in self._listeners:
                listener(state)
        return state
