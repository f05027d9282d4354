"""What a board does about a manifest: take a release, stay as it is, or refuse."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from edgecat_runtime._version import __version__
from edgecat_runtime.errors import GateError
from edgecat_runtime.loop.fleet.state import State
from edgecat_runtime.model.channel import Manifest, Release, Target, rollout_position, utc_time
from edgecat_runtime.model.versions import Cause, Refusal


class UpdateRefused(GateError):
    """An update is not taken; the model in use keeps serving.

    Args:
        cause: why, in a word.
        reason: why, in a sentence.
        version: of the refused model; 0 if none was named.
        sha256: of its file.
    """

    def __init__(self, cause: Cause, reason: str, version: int = 0, sha256: str = "") -> None:
        super().__init__(reason)
        self.refusal = Refusal(cause, version, sha256)


@dataclass(frozen=True)
class Decision:
    """What to do.

    Attributes:
        release: the release to take; None to stay.
        target: its file for this device.
        returns: whether it goes back to a lower version.
        passed_over: newer releases that this board refuses.
    """

    release: Release | None = None
    target: Target | None = None
    returns: bool = False
    passed_over: tuple[UpdateRefused, ...] = ()


def check_manifest(manifest: Manifest, digest: str, state: State, now: datetime) -> None:
    """Refuse an old manifest, one of another channel, and one that has expired.

    Args:
        manifest: whose signature has been verified.
        digest: SHA-256 of its file.
        state: what the board remembers.
        now: the time.

    Raises:
        UpdateRefused: likewise.
    """
    if state.channel and manifest.channel != state.channel:
        raise UpdateRefused(
            "channel",
            f"the manifest is of channel {manifest.channel!r}; this board follows "
            f"{state.channel!r}. Give another channel a folder of its own",
        )
    if manifest.sequence < state.sequence:
        raise UpdateRefused(
            "replayed",
            f"manifest {manifest.sequence} is older than manifest {state.sequence}, which was "
            "seen before: an old copy is being served",
        )
    if manifest.sequence == state.sequence and digest != state.manifest_sha256:
        raise UpdateRefused(
            "replayed",
            f"there are two manifests with number {manifest.sequence}. Publish again, from one "
            "place at a time",
        )
    if manifest.expires and utc_time(now) >= manifest.expires:
        raise UpdateRefused(
            "expired",
            f"manifest {manifest.sequence} expired at {manifest.expires}. Publish again, or set "
            "this board's clock",
        )


def decide(
    manifest: Manifest,
    state: State,
    board: str,
    *,
    under: str,
    suiting: Callable[[Sequence[Target]], list[Target]],
) -> Decision:
    """Choose a release: the first whose roll-out includes the board and that suits it.

    Args:
        manifest: which was checked.
        state: what the board remembers.
        board: its id.
        under: this edgecat and the trusted keys, as in `Refused`.
        suiting: the files that may run here, best first.
    """
    passed: list[UpdateRefused] = []
    current = state.current
    for release in manifest.releases:
        if current is not None and release.version == current.version:
            break
        if rollout_position(release.salt, board) >= release.percent:
            continue
        returns = current is not None and release.version < current.version
        if returns and (current is None or current.version > manifest.returns_from):
            break  # versions only go up
        target, refused = _target(release, state, under, suiting)
        if target is not None:
            return Decision(release, target, returns, tuple(passed))
        passed.append(refused)
    return Decision(passed_over=tuple(passed))


def _target(
    release: Release,
    state: State,
    under: str,
    suiting: Callable[[Sequence[Target]], list[Target]],
) -> tuple[Target | None, UpdateRefused]:
    version = release.version
    if release.min_edgecat and _numbers(__version__) < _numbers(release.min_edgecat):
        return None, UpdateRefused(
            "edgecat",
            f"version {version} needs edgecat {release.min_edgecat}; this is {__version__}. Update "
            "edgecat",
            version,
        )
    now = state.current
    if now is not None and release.labels_sha256 != now.labels_sha256:
        return None, UpdateRefused(
            "labels",
            f"version {version} has other class names than version {now.version}. Publish it on "
            "another channel",
            version,
        )
    refusal = UpdateRefused(
        "target", f"version {version} has no file that suits this device", version
    )
    for target in suiting(release.targets):
        before = state.refusing(target.sha256, under)
        if before is None:
            return target, refusal
        refusal = UpdateRefused(before.cause, before.reason, version, target.sha256)
    return None, refusal


def time_now() -> datetime:
    """The time of this board's clock."""
    return datetime.now(timezone.utc)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers at the beginning of a version, so that 0.10 is newer than 0.9."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
