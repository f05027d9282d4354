"""Which model of a channel answers, and why another one was refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Cause = Literal[
    "manifest",
    "signature",
    "channel",
    "replayed",
    "expired",
    "edgecat",
    "target",
    "disk",
    "size",
    "hash",
    "model",
    "labels",
    "self-test",
    "crash",
    "canary",
]
"""Why an update was refused, as a word for events and metrics."""

CAUSES: tuple[Cause, ...] = get_args(Cause)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model of a channel.

    Attributes:
        channel: the channel's name.
        version: from 1 on.
        sha256: of its file, as the channel's manifest gives it.
    """

    channel: str
    version: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """The value of `model` in events, JSON-ready."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.channel} {self.version} ({self.sha256[:12]})"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An update that was refused; the model before it keeps serving.

    Attributes:
        cause: why, in a word.
        version: of the refused model; 0 if no model was named by a trusted manifest.
        sha256: of its file; empty likewise.
    """

    cause: Cause
    version: int = 0
    sha256: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The value of `refused` in events, JSON-ready."""
        named = {"version": self.version, "sha256": self.sha256} if self.version else {}
        return {"cause": self.cause, **named}
