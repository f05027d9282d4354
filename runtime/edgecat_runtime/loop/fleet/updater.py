"""One attempt to update: manifest, decision, download, proof; nothing is changed by a failure."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from edgecat_runtime._version import __version__
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import BackendMissing, DeviceError, EdgecatError, UserError
from edgecat_runtime.loop.fleet.decide import (
    Decision,
    UpdateRefused,
    check_manifest,
    decide,
    time_now,
)
from edgecat_runtime.loop.fleet.device import Device
from edgecat_runtime.loop.fleet.opening import Opening
from edgecat_runtime.loop.fleet.origin import Origin
from edgecat_runtime.loop.fleet.state import Installed, Refused
from edgecat_runtime.loop.fleet.store import Store
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.channel import (
    ChannelError,
    Manifest,
    Release,
    Target,
    labels_hash,
    read_manifest,
)
from edgecat_runtime.model.trust import NotTrusted, Trust
from edgecat_runtime.system.hashing import file_sha256

log = logging.getLogger("edgecat_runtime")

_PAUSE, _LONGEST_PAUSE = 60.0, 6 * 3600.0
_LONGEST = 4000


class Offer(NamedTuple):
    """A model that has proved itself on this board.

    Attributes:
        model: as the state holds it.
        classifier: open.
        returns: whether it is an older one, to which the channel returns.
    """

    model: Installed
    classifier: Classifier
    returns: bool


class Updater:
    """Asks a channel for a model.

    Args:
        store: the board's folder.
        origin: the channel.
        opening: how models are opened here.
        device: chooses among files.
        board: the board's id.
        refused: called with every refusal, each time that it is found.
        stopped: asked in between; if it returns true, the attempt ends.
        clock: in seconds, steady.

    Attributes:
        manifest: the newest one that was accepted by this object.
    """

    def __init__(
        self,
        store: Store,
        origin: Origin,
        opening: Opening,
        *,
        device: Device,
        board: str,
        refused: Callable[[UpdateRefused], None],
        stopped: Callable[[], bool],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.manifest: Manifest | None = None
        self._store, self._origin, self._opening = store, origin, opening
        self._device, self._board = device, board
        self._refused, self._stopped, self._clock = refused, stopped, clock
        self._data, self._tag = b"", ""
        self._pauses: dict[str, tuple[float, float]] = {}

    def attempt(self) -> Offer | None:
        """Take the release that is meant for this board; None if it has it, or is refused it.

        Raises:
            DeviceError: the channel cannot be reached; what was downloaded so far is kept.
            UserError: its address or certificate is refused, the folder cannot be written, or
                cryptography is not installed.
            UpdateRefused: the manifest is refused.
            ChildCancelled: stopped.
        """
        trust = self._opening.trust()
        manifest = self._checked(trust)
        under = f"{__version__} {_trust_hash(trust)}"
        told: set[str] = set()
        while True:
            decision = decide(
                manifest,
                self._store.state,
                self._board,
                under=under,
                suiting=self._device.suiting,
            )
            for refusal in decision.passed_over:
                if not (refusal.refusal.sha256 and refusal.refusal.sha256 in told):
                    self._refused(refusal)
            if decision.release is None or decision.target is None:
                return None
            sha256 = decision.target.sha256
            if self._clock() < self._pauses.get(sha256, (0.0, 0.0))[0]:
                return None
            try:
                return self._taken(decision, decision.release, decision.target)
            except UpdateRefused as error:
                told.add(sha256)
                if not self._noted(error, decision.release.version, sha256, under):
                    return None

    def _noted(self, error: UpdateRefused, version: int, sha256: str, under: str) -> bool:
        """Report a refused file; whether it is remembered, so that another one may be tried."""
        cause, reason = error.refusal.cause, _printable(str(error))
        self._refused(UpdateRefused(cause, reason, version, sha256))
        if cause in ("disk", "size", "hash"):  # the server's fault, or may pass
            self._pause(sha256)
            return False
        lasting = Refused(version, sha256, cause, reason, under)
        self._store.save(self._store.state.with_refused(lasting))
        return True

    def _checked(self, trust: Trust) -> Manifest:
        """The manifest: fetched, unless it is still the same, and verified each time."""
        fetched = self._origin.manifest(self._tag if self._data else "")
        data = self._data if fetched is None else fetched.data
        try:
            manifest = read_manifest(data, trust, name=f"{self._origin.name}/manifest.json")
        except NotTrusted as error:
            raise UpdateRefused("signature", str(error)) from error
        except ChannelError as error:
            raise UpdateRefused("manifest", str(error)) from error
        state, digest = self._store.state, hashlib.sha256(data).hexdigest()
        check_manifest(manifest, digest, state, time_now())
        if fetched is not None:
            self._data, self._tag = fetched
        offered = max(state.offered, manifest.newest)
        self._store.save(
            replace(
                state,
                channel=manifest.channel,
                sequence=manifest.sequence,
                manifest_sha256=digest,
                offered=offered,
            )
        )
        self.manifest = manifest
        return manifest

    def _taken(self, decision: Decision, release: Release, target: Target) -> Offer:
        model = Installed(release.version, target.sha256, target.form, release.labels_sha256)
        if not self._store.holds(model):
            self._download(model, target)
        path = self._store.path(model)
        self._check_card(path, release)
        classifier = self._opening.proved(model, path, stopped=self._stopped)
        classifier.version = self._store.state.version_of(model)
        return Offer(model, classifier, decision.returns)

    def _download(self, model: Installed, target: Target) -> None:
        store = self._store
        store.tidy(model)
        part = store.part(model)
        missing = target.size - (part.stat().st_size if part.is_file() else 0)
        if missing > store.free_bytes():
            raise UpdateRefused(
                "disk",
                f"version {model.version} has {target.size / 1e6:.1f} MB; the disk of "
                f"{store.folder} has no room for it. Free some space",
            )
        self._origin.fetch(target, part, self._stopped)
        if (found := file_sha256(part)) != target.sha256:
            part.unlink(missing_ok=True)
            raise UpdateRefused(
                "hash",
                f"{self._origin.name}/{target.file} has SHA-256 {found[:12]}... It was damaged on "
                "its way, or is another file. Publish it again",
            )
        try:
            store.keep(model, target.signature)
        except UserError as error:
            raise UpdateRefused("disk", str(error)) from error

    def _check_card(self, path: Path, release: Release) -> None:
        try:
            card = read_card(path, trust=self._opening.keys)
        except BackendMissing:
            raise
        except NotTrusted as error:
            raise UpdateRefused("signature", str(error)) from error
        except EdgecatError as error:
            raise UpdateRefused("model", str(error)) from error
        if labels_hash(card.labels) != release.labels_sha256:
            raise UpdateRefused(
                "labels", f"{path.name} has other class names than the manifest says"
            )

    def _pause(self, sha256: str) -> None:
        """Do not download a file again and again."""
        pause = min(2 * self._pauses.get(sha256, (0.0, _PAUSE / 2))[1], _LONGEST_PAUSE)
        self._pauses[sha256] = (self._clock() + pause, pause)


def nothing_offered(origin: Origin, board: str) -> DeviceError:
    """The error for a board without a model for which the channel has none."""
    return DeviceError(
        f"{origin.name} offers no model to this board ({board}), which has none yet. Publish one "
        "for all boards"
    )


def _printable(reason: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in reason)[:_LONGEST]


def _trust_hash(trust: Trust) -> str:
    """What changes with the trusted and the revoked keys and models."""
    lines: Sequence[str] = sorted(
        [
            *(key.fingerprint for key in trust.keys),
            *(f"-{key.fingerprint}" for key in trust.revoked_keys),
            *(f"-{model}" for model in trust.revoked_models),
        ]
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
