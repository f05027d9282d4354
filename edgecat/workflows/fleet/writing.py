"""What publishing and changing a channel have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from edgecat.workflows.fleet.place import Place, manifest_file
from edgecat.workflows.fleet.shown import manifest_dict
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.channel import (
    MANIFEST,
    Manifest,
    Release,
    read_manifest,
    utc_time,
)
from edgecat_runtime.model.signing import PrivateKey
from edgecat_runtime.model.trust import Trust, trusted

ALL = 100
"""Percent."""


@dataclass(frozen=True)
class Publication:
    """What is on a channel now.

    Attributes:
        place: where.
        manifest: the one that was written.
        key: who signed it.
    """

    place: str
    manifest: Manifest
    key: str

    def to_dict(self) -> dict[str, Any]:
        """The output of `--json`."""
        return {"place": self.place, "signed_by": self.key, **manifest_dict(self.manifest)}


def trust_of(key: PrivateKey) -> Trust:
    """Whose manifests and models are carried on: those trusted here, and one's own."""
    given = trusted(None)
    if given is None:
        return Trust(frozenset({key.public}), source="the keys of this publisher")
    return replace(given, keys=given.keys | ({key.public} - given.revoked_keys.keys()))


def current(place: Place, trust: Trust) -> Manifest | None:
    """The manifest that is there now, verified; None if there is no channel yet."""
    data = place.read(MANIFEST)
    return None if data is None else read_manifest(data, trust, name=f"{place.name}/{MANIFEST}")


def required(place: Place, trust: Trust) -> Manifest:
    """The manifest that is there now; raises UserError if there is no channel."""
    found = current(place, trust)
    if found is None:
        raise UserError(f"{place.name} holds no channel. Make one: edgecat fleet publish MODEL")
    return found


def served(releases: Sequence[Release]) -> tuple[Release, ...]:
    """Releases up to the first that all boards take: no board gets to those behind it."""
    kept: list[Release] = []
    for release in releases:
        kept.append(release)
        if release.percent == ALL:
            break
    return tuple(kept)


def returns_from(before: Manifest | None, release: Release) -> int:
    """A return stays in force until all boards take a higher version."""
    if before is None or (release.percent == ALL and release.version > before.returns_from):
        return 0
    return before.returns_from


def written(place: Place, manifest: Manifest, sealed: bytes, key: PrivateKey) -> Publication:
    """Write a manifest: first where it is kept, then where boards look; read it back."""
    for file in (manifest_file(manifest.sequence), MANIFEST):
        place.write(file, sealed)
    if place.read(MANIFEST) != sealed:
        raise UserError(
            f"{place.name}/{MANIFEST} does not hold what was written. Is another address cached, "
            "or does someone else publish there?"
        )
    return Publication(place.name, manifest, str(key.public))


def expiry(days: float | None) -> str:
    """When a manifest written now expires; empty: never."""
    return utc_time(now() + timedelta(days=days)) if days is not None else ""


def now() -> datetime:
    """The time."""
    return datetime.now(timezone.utc)
