"""What a board serves when it starts: its model, or the one before if that does not start."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.loop.fleet.decide import UpdateRefused
from edgecat_runtime.loop.fleet.opening import Opening
from edgecat_runtime.loop.fleet.state import Installed, Refused
from edgecat_runtime.loop.fleet.store import Store

log = logging.getLogger("edgecat_runtime")

MOST_STARTS = 3
"""A model that was started this often and never served for a minute is gone back from."""


def started(
    store: Store, opening: Opening, tell: Callable[[UpdateRefused], None]
) -> Classifier | None:
    """Open the model that a board has, or the one before.

    Args:
        store: the board's folder.
        opening: how models are opened.
        tell: called with why a model was gone back from.

    Returns:
        The classifier; None if the board has no model that can be served.
    """
    while (model := store.state.current) is not None:
        if not model.settled and _crashed(store, model, tell):
            continue
        model = store.state.current or model
        if store.holds(model):
            try:
                classifier = opening.again(store.path(model))
            except EdgecatError as error:
                tell(UpdateRefused("self-test", str(error), model.version, model.sha256))
            else:
                classifier.version = store.state.name
                return classifier
        else:
            log.warning("the file of version %d is missing; it is fetched again", model.version)
        state = store.state
        store.note(replace(state, current=state.previous, previous=None, before=None))
    return None


def _crashed(store: Store, model: Installed, tell: Callable[[UpdateRefused], None]) -> bool:
    """Count a start; whether the model was gone back from because it was started too often."""
    state = store.state
    if model.starts < MOST_STARTS or state.previous is None:
        store.note(replace(state, current=replace(model, starts=model.starts + 1)))
        return False
    reason = (
        f"version {model.version} was started {model.starts} times and never served for a minute; "
        f"version {state.previous.version} serves again"
    )
    store.note(state.returned(Refused(model.version, model.sha256, "crash", reason)))
    tell(UpdateRefused("crash", reason, model.version, model.sha256))
    return True
