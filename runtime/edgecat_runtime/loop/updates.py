"""How a loop that follows a channel of models shows where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from edgecat_runtime.model.versions import Cause


@dataclass(frozen=True)
class UpdateStatus:
    """Where a board stands on its channel.

    Attributes:
        channel: the channel's name; empty before its first manifest.
        board: the board's id.
        version: of the model in use.
        sha256: of its file.
        offered: the highest version that the channel has offered.
        sequence: of the newest manifest that was accepted.
        contact_seconds: since the channel last answered with a manifest of its own, whether
            anything of it was taken or not; None if it never did.
        canary: whether the model in use is still being compared with the one before.
        refusals: updates refused since the start, by cause; every cause is present.
        failures: attempts since the start that did not reach the channel, or broke off.
        trouble: what the last attempt ended with; empty if all is well.
    """

    channel: str
    board: str
    version: int
    sha256: str
    offered: int
    sequence: int
    contact_seconds: float | None
    canary: bool
    refusals: Mapping[Cause, int]
    failures: int
    trouble: str = ""

    def gauges(self) -> dict[str, tuple[str, float]]:
        """Metrics by name, each with its description and its value."""
        contact = float("nan") if self.contact_seconds is None else self.contact_seconds
        return {
            "model_version": ("Version of the model in use.", self.version),
            "model_version_offered": ("Highest version that the channel offered.", self.offered),
            "model_canary": ("1 while the model is compared with the one before.", self.canary),
            "update_contact_seconds": ("Time since the channel last answered.", contact),
        }

    def to_dict(self) -> dict[str, Any]:
        """The value of `updates` in `/api/status`, JSON-ready."""
        values = asdict(self)
        if self.contact_seconds is not None:
            values["contact_seconds"] = round(self.contact_seconds, 1)
        return values


@runtime_checkable
class Updating(Protocol):
    """Replacements that come from a channel."""

    def status(self) -> UpdateStatus:
        """Where it stands; called from any thread."""
        ...
