"""How a board opens its models: first in a child process, then here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import EdgecatError, UserError
from edgecat_runtime.loop.fleet.decide import UpdateRefused
from edgecat_runtime.loop.fleet.state import Installed
from edgecat_runtime.loop.trial import why_not
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.trust import VARIABLE, Trust, trusted

log = logging.getLogger("edgecat_runtime")

_BUILT = (".trt", ".rtx")

Build = Callable[[Path, Callable[[], bool]], None]


class Opening:
    """Opens models of a channel with the same options each time.

    Args:
        trust: a file of public keys; None: that of EDGECAT_TRUST.
        options: of `Classifier.open_fastest`: backend, device, labels, threads, cache.
        opened: opens the fastest of some files; None: `Classifier.open_fastest`.
        build: builds an engine for this device beside an ONNX file, signed; it is called before
            a model is tried, with a function that says whether it is to stop; None: no engine.

    Raises:
        UserError: no keys are trusted: a board takes no models from just anyone.
    """

    def __init__(
        self,
        trust: str | PathLike[str] | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        opened: Callable[[Sequence[Path]], Classifier] | None = None,
        build: Build | None = None,
    ) -> None:
        self.keys = trust
        defaults: dict[str, Any] = {"backend": "auto", "device": "auto", "labels": None}
        defaults |= {"threads": None, "cache": None}
        self._options = {**defaults, **(options or {}), "trust": trust}
        self._opened = opened or self._fastest
        self._build = build
        self.trust()

    def trust(self) -> Trust:
        """The trusted keys, read anew: they may have changed.

        Raises:
            UserError: they cannot be read, or there are none.
        """
        if (found := trusted(self.keys)) is None:
            raise UserError(
                "a channel is followed only with trusted keys. Give --trust KEYS, or set "
                f"{VARIABLE}"
            )
        return found

    def again(self, path: Path) -> Classifier:
        """Open a model that has been served before.

        Raises:
            EdgecatError: as `Classifier.open_fastest`.
        """
        return self._opened(self._variants(path))

    def proved(self, model: Installed, path: Path, *, stopped: Callable[[], bool]) -> Classifier:
        """Open a new model once a child process has opened and self-tested it.

        Raises:
            UpdateRefused: it fails, crashes, or needs too much time or memory.
            ChildCancelled: stopped.
        """
        if self._build is not None and path.suffix == ".onnx":
            try:
                self._build(path, stopped)
            except EdgecatError as error:
                log.warning("no engine was built for version %d: %s", model.version, error)
        paths = self._variants(path)
        if refusal := why_not({**self._options, "paths": paths}, cancelled=stopped):
            raise UpdateRefused("self-test", refusal)
        try:
            return self._opened(paths)
        except Exception as error:
            log.debug("%s cannot be opened", path, exc_info=True)
            raise UpdateRefused("self-test", str(error) or type(error).__name__) from error

    def _variants(self, path: Path) -> list[Path]:
        """The engines that were built here from an ONNX file, if they are whole, and the file."""
        found = []
        for engine in map(path.with_suffix, _BUILT if path.suffix == ".onnx" else ()):
            if engine.is_file():
                try:
                    read_card(engine, trust=self.keys)
                    found.append(engine)
                except EdgecatError as error:
                    log.warning("%s is not used: %s", engine, error)
        return [*found, path]

    def _fastest(self, paths: Sequence[Path]) -> Classifier:
        return Classifier.open_fastest(paths, **self._options)
