"""What a channel offers, to everyone and to one board."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgecat.workflows.fleet.place import Place, open_place
from edgecat.workflows.fleet.shown import manifest_dict, release_lines
from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.fleet.decide import time_now
from edgecat_runtime.loop.fleet.device import board_id
from edgecat_runtime.model.channel import (
    MANIFEST,
    Manifest,
    read_manifest,
    rollout_position,
    utc_time,
)
from edgecat_runtime.model.trust import trusted


@dataclass(frozen=True)
class ChannelStatus:
    """What a channel offers.

    Attributes:
        place: where it is.
        manifest: what it offers.
        trusted: whether it is signed by a trusted key; None if no keys were given.
        expired: whether boards take nothing from it any more.
        board: the id of a board.
        version: the release meant for that board, if it has none yet; 0: none is.
        damaged: files that are missing or not what the manifest says, if they were fetched.
    """

    place: str
    manifest: Manifest
    trusted: bool | None
    expired: bool
    board: str
    version: int
    damaged: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The output of `--json`."""
        return {
            "place": self.place,
            "trusted": self.trusted,
            "expired": self.expired,
            "board": self.board,
            "board_version": self.version or None,
            "damaged": list(self.damaged),
            **manifest_dict(self.manifest),
        }

    def __str__(self) -> str:
        manifest = self.manifest
        signed = {True: "trusted", None: "not checked: give --trust KEYS"}[self.trusted]
        lines = [
            f"{self.place}: channel {manifest.channel}, manifest {manifest.sequence} of "
            f"{manifest.created}, signature {signed}",
            *release_lines(manifest),
        ]
        if manifest.expires:
            lines.append(f"{'EXPIRED' if self.expired else 'expires'} at {manifest.expires}")
        meant = f"version {self.version}" if self.version else "nothing"
        lines.append(f"board {self.board}: {meant}")
        return "\n".join([*lines, *(f"damaged or missing: {file}" for file in self.damaged)])


def channel_status(channel: str, *, board: str = "", files: bool = False) -> ChannelStatus:
    """Read and verify a channel.

    Args:
        channel: a folder, or the address of one.
        board: a board's id; empty: that of this machine.
        files: whether to fetch every model and compare its hash.

    Raises:
        UserError: there is no channel.
        GateError: its manifest is not signed by a trusted key, if keys are given.
        DeviceError: the server cannot be reached.
    """
    place, trust = open_place(channel), trusted(None)
    data = place.read(MANIFEST)
    if data is None:
        raise UserError(f"{place.name} holds no channel: there is no {MANIFEST}. Check the path")
    manifest = read_manifest(data, trust, name=f"{place.name}/{MANIFEST}")
    identity = board_id(board)
    meant = (r for r in manifest.releases if rollout_position(r.salt, identity) < r.percent)
    chosen = next(meant, None)
    return ChannelStatus(
        place=place.name,
        manifest=manifest,
        trusted=None if trust is None else True,
        expired=bool(manifest.expires) and utc_time(time_now()) >= manifest.expires,
        board=identity,
        version=chosen.version if chosen else 0,
        damaged=tuple(_damaged(place, manifest)) if files else (),
    )


def _damaged(place: Place, manifest: Manifest) -> Iterator[str]:
    for target in (target for release in manifest.releases for target in release.targets):
        data = place.read(target.file)
        if data is None or hashlib.sha256(data).hexdigest() != target.sha256:
            yield target.file
