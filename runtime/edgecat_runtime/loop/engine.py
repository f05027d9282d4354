"""The classifier in a loop: reopened when it fails, replaced when its file is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter

from edgecat_runtime.camera.frames import EventKind, Fitted, Frame
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import DeviceError, EdgecatError
from edgecat_runtime.loop.reload import Reloader, Replacements
from edgecat_runtime.loop.updates import UpdateStatus, Updating
from edgecat_runtime.model.versions import Refusal
from edgecat_runtime.types import Frames, Image, Logits

log = logging.getLogger("edgecat_runtime")

REOPEN_SECONDS = 60.0


class Engine:
    """Preprocesses and classifies frames, and keeps a working classifier.

    Args:
        classifier: classifies each frame; left open at the end.
        reopen: reopens the classifier when it fails, at most once per `REOPEN_SECONDS`.
        reload: whether to watch the classifier's file, and to open it again when its contents
            change (with `reopen`, if given); or what else provides replacements.
        tell: called with `reopened`, `reloaded` or `refused`, the reason, and what was refused if
            a channel offered it.

    Attributes:
        classifier: the classifier in use.

    Raises:
        UserError: `reload`, and the classifier was not opened from a file.
    """

    def __init__(
        self,
        classifier: Classifier,
        reopen: Callable[[], Classifier] | None,
        *,
        reload: bool | Replacements,
        tell: Callable[[EventKind, str, Refusal | None], None],
    ) -> None:
        self.classifier = classifier
        self._reopen = reopen
        self._reopened_at = float("-inf")
        self._own: Classifier | None = None
        self._reloader: Replacements | None = (
            (Reloader(classifier, reopen) if reload else None)
            if isinstance(reload, bool)
            else reload
        )
        self._tell = tell

    def start(self) -> None:
        """Start watching the file."""
        if self._reloader is not None:
            self._reloader.start()

    def stop(self) -> None:
        """Stop watching the file."""
        if self._reloader is not None:
            self._reloader.close()

    def close(self) -> None:
        """Close what was opened here."""
        if self._own is not None:
            self._own.close()

    @property
    def updates(self) -> UpdateStatus | None:
        """How the channel that replaces the classifier is being followed; None without one."""
        return self._reloader.status() if isinstance(self._reloader, Updating) else None

    def take_over(self) -> None:
        """Switch to a reloaded classifier from the next frame on."""
        if self._reloader is None or (news := self._reloader.take()) is None:
            return
        if news.classifier is not None:
            self._reloader.retire(self.classifier)
            self.classifier = self._own = news.classifier
        state: EventKind = "refused" if news.classifier is None else "reloaded"
        self._tell(state, news.reason, news.refusal)

    def fit(self, image: Image) -> Fitted:
        """Fit an image to the network."""
        classifier, start = self.classifier, perf_counter()
        pixels = classifier.preprocess(image)
        return Fitted(pixels, classifier.card.fit, perf_counter() - start)

    def fitted(self, frame: Frame) -> Fitted:
        """The preprocessed frame: as prepared before, if that suits this classifier."""
        there, card = frame.fitted, self.classifier.card
        if there and (*there.pixels.shape[:2], there.fit) == (card.height, card.width, card.fit):
            return there
        return self.fit(frame.image)

    def infer(self, batch: Frames) -> Logits:
        """Run the classifier; if it fails, reopen it and retry once.

        Args:
            batch: uint8 (n, height, width, 3) BGR, fitted.

        Returns:
            (n, classes).

        Raises:
            EdgecatError: it fails and cannot be reopened, or has failed too recently.
        """
        try:
            return self.classifier.infer(batch)
        except Exception as error:
            if self._reopen is None or perf_counter() - self._reopened_at < REOPEN_SECONDS:
                raise _engine_error(error) from error
            log.warning("the engine failed, reopening it: %s", error)
            reason = str(_engine_error(error))
        self.classifier.close()
        try:
            self.classifier = self._own = self._reopen()
            self._reopened_at = perf_counter()
            logits = self.classifier.infer(batch)
        except Exception as error:
            raise _engine_error(error, " again after it was reopened") from error
        self._tell("reopened", reason, None)
        log.info("the engine is open again, with %s", self.classifier.backend)
        return logits


def _engine_error(error: Exception, when: str = "") -> EdgecatError:
    if isinstance(error, EdgecatError) and not when:
        return error
    return DeviceError(f"the engine failed{when}: {str(error) or type(error).__name__}")
