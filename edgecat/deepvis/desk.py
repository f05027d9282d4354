"""The shared state, changed by several user interfaces and read by one loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from edgecat.deepvis.actions import BY_KEY, BY_NAME
from edgecat.deepvis.state import Scene, State, Unit
from edgecat_runtime.errors import UserError


class Desk:
    """The shared state, changed by several user interfaces and read by one loop; thread-safe.

    Args:
        scene: what the state can point at.
        state: the initial state.
    """

    def __init__(self, scene: Scene, state: State | None = None) -> None:
        self.scene = scene
        self._state = state or State()
        self._lock = Lock()
        self._listeners: list[Callable[[State], None]] = []

    @property
    def state(self) -> State:
        """The current state."""
        return self._state

    def act(self, name: str) -> State:
        """Run an action by name, and return the new state.

        Raises:
            UserError: unknown action.
        """
        if name not in BY_NAME:
            raise UserError(f"unknown action {name!r}; expected one of {', '.join(BY_NAME)}")
        return self._change(lambda state: BY_NAME[name].change(state, self.scene))

    def press(self, key: str) -> bool:
        """Run the action bound to a key; return whether there is one."""
        action = BY_KEY.get(key)
        if action is not None:
            self.act(action.name)
        return action is not None

    def select(self, unit: Unit) -> State:
        """Move the cursor to a unit, or to the nearest existing one."""
        return self._change(lambda state: replace(state, unit=self.scene.clamped(unit)))

    def lay_out(self, columns: int) -> None:
        """Set the number of columns of the grid."""
        self.scene = replace(self.scene, columns=max(1, columns))

    def listen(self, listener: Callable[[State], None]) -> None:
        """Call a function with every new state, on the thread that changed it."""
        self._listeners.append(listener)

    def _change(self, change: Callable[[State], State]) -> State:
        with self._lock:
            before = self._state
            state = self._state = change(before)
        if state != before:
            for listener in self._listeners:
                listener(state)
        return state
