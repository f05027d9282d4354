"""Publish models on a channel that a fleet follows: new ones, in shares, and back again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecat.workflows.fleet.model import PublishedModel, read_model
from edgecat.workflows.fleet.place import Place, open_place
from edgecat.workflows.fleet.writing import (
    ALL,
    Publication,
    current,
    expiry,
    now,
    returns_from,
    served,
    trust_of,
    written,
)
from edgecat.workflows.reporter import SILENT, Reporter
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.channel import Manifest, Release, sealed_manifest, utc_time
from edgecat_runtime.model.signing import PrivateKey


@dataclass(frozen=True)
class ReleaseOptions:
    """What is said of a release.

    Attributes:
        channel: the channel's name; empty: that of the channel there, else of its folder.
        version: empty (0): one more than the highest so far.
        percent: percentage of the boards that take it, 0 to 100.
        min_edgecat: the oldest edgecat that runs it; empty: any.
        note: for people.
        sequence: number of the manifest; 0: one more than the last.
    """

    channel: str = ""
    version: int = 0
    percent: int = ALL
    min_edgecat: str = ""
    note: str = ""
    sequence: int = 0


def publish(
    models: Sequence[Path],
    to: str,
    key: PrivateKey,
    *,
    options: ReleaseOptions | None = None,
    expires: float | None = None,
    verify: bool = True,
    reporter: Reporter = SILENT,
) -> Publication:
    """Publish a version of a model; the manifest is written last.

    Args:
        models: signed: an ONNX file, and engines of it for kinds of device.
        to: a folder, or the address of one; see `open_place`.
        key: signs the manifest.
        options: what is said of the release.
        expires: days after which boards take nothing from this manifest; None: never.
        verify: whether to self-test an ONNX model here first.
        reporter: receives warnings.

    Raises:
        GateError: a model is not signed by a trusted key, was modified or fails its self-test.
        UserError: the version does not go up, the class names change, or nothing can be written.
        DeviceError: the server cannot be reached.
    """
    options = options or ReleaseOptions()
    place, trust = open_place(to), trust_of(key)
    read = [read_model(path, trust, verify=verify, reporter=reporter) for path in models]
    before = current(place, trust)
    version = _version(options.version, before, place)
    release = Release(
        version=version,
        created=utc_time(now()),
        percent=options.percent,
        salt=secrets.token_hex(8),
        labels_sha256=_labels(read, before, place),
        targets=tuple(model.target for model in read),
        min_edgecat=options.min_edgecat,
        note=options.note,
    )
    fallback = before.releases if before else ()
    manifest = Manifest(
        channel=options.channel or (before.channel if before else _name_of(to)),
        sequence=_sequence(options.sequence, before),
        created=utc_time(now()),
        releases=served((release, *fallback)),
        expires=expiry(expires),
        returns_from=returns_from(before, release),
    )
    _check_channel(manifest, before, place)
    sealed = sealed_manifest(manifest, key)
    for model in read:
        place.write(model.target.file, model.data)
    return written(place, manifest, sealed, key)


def _version(given: int, before: Manifest | None, place: Place) -> int:
    newest = before.newest if before else 0
    if given and given <= newest:
        raise UserError(
            f"version {given} does not go up: {place.name} has offered version {newest}. Leave out "
            "--version, or go back with edgecat fleet return"
        )
    return given or newest + 1


def _sequence(given: int, before: Manifest | None) -> int:
    last = before.sequence if before else 0
    if given and given <= last:
        raise UserError(f"--sequence is {given}; expected more than {last}")
    return given or last + 1


def _labels(read: Sequence[PublishedModel], before: Manifest | None, place: Place) -> str:
    found = {model.labels_sha256 for model in read}
    if len(found) != 1:
        raise UserError(
            "the models have different class names, or an engine's do not fit into it. Publish "
            "the ONNX file"
        )
    (labels,) = found
    if before and before.releases[0].labels_sha256 != labels:
        raise UserError(
            f"the class names differ from those of version {before.releases[0].version} on "
            f"{place.name}: boards would refuse it. Publish it on another channel"
        )
    return labels


def _check_channel(manifest: Manifest, before: Manifest | None, place: Place) -> None:
    if before and manifest.channel != before.channel:
        raise UserError(
            f"{place.name} is channel {before.channel!r}, not {manifest.channel!r}. Give it a "
            "folder of its own"
        )


def _name_of(to: str) -> str:
    name = to.rstrip("/").rpartition("/")[2].partition("?")[0]
    return "".join(c for c in name if c.isascii() and (c.isalnum() or c in "-_"))[:64] or "models"
