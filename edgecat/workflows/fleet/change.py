"""Change what a channel offers without a new model: another roll-out, or a return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from edgecat.workflows.fleet.place import Place, history, open_place
from edgecat.workflows.fleet.writing import (
    ALL,
    Publication,
    expiry,
    now,
    required,
    returns_from,
    served,
    trust_of,
    written,
)
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.channel import (
    Manifest,
    Release,
    read_manifest,
    sealed_manifest,
    utc_time,
)
from edgecat_runtime.model.signing import PrivateKey
from edgecat_runtime.model.trust import Trust


def roll_out(
    percent: int, to: str, key: PrivateKey, *, expires: float | None = None
) -> Publication:
    """Roll the newest release out to another percentage of the boards; those that have it keep it.

    Args:
        percent: 0 to 100; a higher one only adds boards.
        to: as for `publish`.
        key: likewise.
        expires: likewise.

    Raises:
        UserError: there is no channel, or nothing can be written.
        GateError: its manifest is not signed by a trusted key.
        DeviceError: the server cannot be reached.
    """
    place, trust = open_place(to), trust_of(key)
    before = required(place, trust)
    newest, *others = before.releases
    if percent < ALL and not others:
        others = list(_earlier(place, trust, before, lambda one: one.version < newest.version))
    release = replace(newest, percent=percent)
    manifest = _next(before, (release, *others), returns_from(before, release), expires)
    return written(place, manifest, sealed_manifest(manifest, key), key)


def return_to(
    version: int, to: str, key: PrivateKey, *, expires: float | None = None
) -> Publication:
    """Have all boards go back to an earlier version: the only way for a version to go down.

    Args:
        version: that was published before.
        to: as for `publish`.
        key: likewise.
        expires: likewise.

    Raises:
        UserError: it was never published, is the newest, or its files are gone.
        GateError: a manifest is not signed by a trusted key.
        DeviceError: the server cannot be reached.
    """
    place, trust = open_place(to), trust_of(key)
    before = required(place, trust)
    if version >= before.newest:
        raise UserError(
            f"the newest version on {place.name} is {before.newest}; expected a lower one to "
            f"return to, got {version}"
        )
    found = next(_earlier(place, trust, before, lambda one: one.version == version), None)
    if found is None:
        raise UserError(f"version {version} was not published on {place.name}")
    for target in found.targets:
        data = place.read(target.file)
        if data is None or len(data) != target.size:
            raise UserError(f"{place.name}/{target.file} is gone. Publish that model anew")
    release = replace(found, percent=ALL)
    manifest = _next(before, (release,), before.newest, expires)
    return written(place, manifest, sealed_manifest(manifest, key), key)


def _earlier(
    place: Place, trust: Trust, before: Manifest, wanted: Callable[[Release], bool]
) -> Iterator[Release]:
    """Releases of earlier manifests, newest first; at most one that all boards take."""
    for name, data in history(place, before.sequence):
        for release in read_manifest(data, trust, name=f"{place.name}/{name}").releases:
            if wanted(release):
                yield replace(release, percent=ALL)
                return


def _next(
    before: Manifest, releases: Sequence[Release], returns_from: int, expires: float | None
) -> Manifest:
    return replace(
        before,
        sequence=before.sequence + 1,
        created=utc_time(now()),
        releases=served(releases),
        returns_from=returns_from,
        expires=expiry(expires),
    )
