"""Learns while one looks: features of new images, and a new head after each change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from time import perf_counter

import numpy as np

from edgecat_runtime.images import ImageError, read_image
from edgecat_runtime.loop.teach.captures import Capture
from edgecat_runtime.loop.teach.features import Backbone, FeatureCache
from edgecat_runtime.loop.teach.store import HIDDEN, Store
from edgecat_runtime.loop.teach.taught import Taught, learn

log = logging.getLogger("edgecat_runtime")

_PUBLISH_SECONDS = 1.0
_JOIN_SECONDS = 10.0


class Learner:
    """Keeps a head fitted to a store, on a thread of its own.

    Between two fits it rests as long as the last one took, so that it takes half a core at most.

    Args:
        store: the images.
        backbone: describes them; left open.
        told: called with what was learned, on the learner's thread; None if there is nothing.

    Attributes:
        taught: the newest result; None if nothing was taught.
        seconds: from a change to its result, the last time.
        skipped: a sentence for each image that cannot be read.
    """

    def __init__(
        self, store: Store, backbone: Backbone, told: Callable[[Taught | None], None]
    ) -> None:
        self.taught: Taught | None = None
        self.seconds = 0.0
        self.skipped: dict[str, str] = {}
        self._store, self._backbone, self._told = store, backbone, told
        self._cache: FeatureCache | None = None
        self._changed, self._stop = Event(), Event()
        self._since = perf_counter()
        self._thread = Thread(target=self._run, name="edgecat teach", daemon=True)

    def start(self) -> None:
        """Begin with what is there."""
        self._changed.set()
        self._thread.start()

    def notice(self) -> None:
        """Learn again: the store has changed."""
        if not self._changed.is_set():
            self._since = perf_counter()
        self._changed.set()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._changed.wait()
            self._changed.clear()
            since = self._since
            try:
                started = perf_counter()
                self._learn()
                self.seconds = perf_counter() - since
                self._stop.wait(perf_counter() - started)
            except Exception:  # the next change may mend it
                log.exception("edgecat teach failed to learn from %s", self._store.folder)

    def _learn(self) -> None:
        """Describe what is new, and fit; while there is much, publish what is known so far."""
        captures = self._store.captures()
        published = perf_counter()
        for capture in captures:
            if capture.key in self.skipped or self._known(capture) is not None:
                continue
            if self._stop.is_set():
                return
            self._describe(capture)
            if perf_counter() - published > _PUBLISH_SECONDS:
                self._publish(captures)
                published = perf_counter()
        self._publish(captures)

    def _publish(self, captures: list[Capture]) -> None:
        known = [(one, values) for one in captures if (values := self._known(one)) is not None]
        rows = np.stack([values for _, values in known]) if known else None
        self.taught = None if rows is None else learn([one for one, _ in known], rows)
        self._told(self.taught)

    def _known(self, capture: Capture) -> np.ndarray | None:
        """An image's features, if they are known; a file that is moved meanwhile has none."""
        if self._cache is None:
            return None
        try:
            return self._cache.get(FeatureCache.key(capture.path(self._store.folder)))
        except OSError:
            return None

    def _describe(self, capture: Capture) -> None:
        """Cache an image's features; one at a time, a batch is no faster and takes more memory."""
        path = capture.path(self._store.folder)
        try:
            key = FeatureCache.key(path)
            frame = self._backbone.fitted(read_image(path))
        except OSError:
            return  # moved or deleted: the change is noticed
        except ImageError as error:
            if path.exists():
                self.skipped[capture.key] = str(error)
            return
        values = self._backbone.features(frame[None])[0]
        if self._cache is None:
            name = f"features-{self._backbone.digest}.bin"
            self._cache = FeatureCache(self._store.folder / HIDDEN / name, len(values))
        self._cache.put(key, values)
