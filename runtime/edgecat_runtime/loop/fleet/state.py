"""What a board remembers of its channel, across power cuts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgecat_runtime.model.fields import Fields, unique_keys
from edgecat_runtime.model.versions import CAUSES, Cause, ModelVersion, Refusal

FORMAT = 1
_HASH = re.compile(r"[0-9a-f]{64}")
_FORM = re.compile(r"[a-z]{1,10}")
_HIGHEST = 1 << 53
_LONGEST = 4000
_MOST_REFUSED = 200


@dataclass(frozen=True)
class Installed:
    """A model on this board.

    Attributes:
        version: its number on the channel.
        sha256: of its file.
        form: the file's suffix, without the dot.
        labels_sha256: of its class names; another model has to have the same.
        settled: whether it has been served without a crash, and has passed the canary.
        starts: number of times that it was opened while it was not settled.
    """

    version: int
    sha256: str
    form: str
    labels_sha256: str
    settled: bool = False
    starts: int = 0


@dataclass(frozen=True)
class Refused:
    """A model that is not tried again.

    Attributes:
        version: its number on the channel.
        sha256: of its file.
        cause: why, in a word.
        reason: why, in a sentence.
        under: the edgecat and the keys that refused it: with others it is tried again; empty:
            never.
    """

    version: int
    sha256: str
    cause: Cause
    reason: str
    under: str = ""

    @property
    def refusal(self) -> Refusal:
        """The same for events."""
        return Refusal(self.cause, self.version, self.sha256)


@dataclass(frozen=True)
class Statistics:
    """How a model did on live frames.

    Attributes:
        frames: their number.
        confidence: mean probability of the most probable class, 0 to 1.
        unsure: fraction of frames whose decision was `unsure`, 0 to 1.
    """

    frames: int
    confidence: float
    unsure: float

    def __str__(self) -> str:
        return f"confidence {self.confidence:.3f}, unsure {self.unsure:.1%}"


@dataclass(frozen=True)
class State:
    """What a board remembers.

    Attributes:
        channel: name of the channel; empty before the first manifest.
        sequence: of the newest manifest that was accepted.
        manifest_sha256: of that manifest's bytes: another one with the same number is refused.
        offered: the highest version that was offered.
        current: the model in use; None before the first one.
        previous: the last settled one before it.
        before: how the previous model did, if the current one is still compared with it.
        refused: models that are not tried again.
    """

    channel: str = ""
    sequence: int = 0
    manifest_sha256: str = ""
    offered: int = 0
    current: Installed | None = None
    previous: Installed | None = None
    before: Statistics | None = None
    refused: tuple[Refused, ...] = ()

    @property
    def name(self) -> ModelVersion | None:
        """The model in use, as events name it."""
        return self.version_of(self.current) if self.current else None

    def version_of(self, model: Installed) -> ModelVersion:
        """A model as events name it."""
        return ModelVersion(self.channel, model.version, model.sha256)

    def refusing(self, sha256: str, under: str) -> Refused | None:
        """Why a model is not tried again; None if it is.

        Args:
            sha256: of its file.
            under: this edgecat and these keys, as in `Refused`.
        """
        found = (one for one in self.refused if one.sha256 == sha256)
        return next((one for one in found if one.under in ("", under)), None)

    def with_refused(self, refused: Refused) -> State:
        """The state with one more refused model."""
        kept = [one for one in self.refused if one.sha256 != refused.sha256]
        return replace(self, refused=(*kept, refused)[-_MOST_REFUSED:])

    def taking(self, model: Installed, before: Statistics | None) -> State:
        """The state once a model has taken over.

        A model that was not settled is not gone back to, unless there is no other.
        """
        now = self.current
        keeps = now is not None and (now.settled or self.previous is None)
        previous = now if keeps else self.previous
        return replace(self, current=model, previous=previous, before=before)

    def settled(self) -> State:
        """The state once the current model has proved itself; the previous one is kept."""
        assert self.current is not None
        return replace(self, current=replace(self.current, settled=True, starts=0), before=None)

    def returned(self, refused: Refused) -> State:
        """The state once the previous model serves again in place of a refused one."""
        assert self.previous is not None
        back = replace(self.previous, settled=True, starts=0)
        state = replace(self, current=back, previous=None, before=None)
        return state.with_refused(refused)

    def to_json(self) -> str:
        """The text of its file."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: bytes) -> State:
        """Read the text of its file.

        Raises:
            ValueError: it is not one.
        """
        try:
            content = json.loads(text, object_pairs_hook=unique_keys)
            if not isinstance(content, dict) or content.get("format") != FORMAT:
                raise ValueError(f"it is not a state of format {FORMAT}")
            return _state(content)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"it is not a state: {error}") from error


def _state(content: dict[str, Any]) -> State:
    found = Fields(content)
    before = found["before"]
    return State(
        channel=found.line("channel", 64),
        sequence=found.integer("sequence", 0, _HIGHEST),
        manifest_sha256=found.text("manifest_sha256", _HASH, empty=True),
        offered=found.integer("offered", 0, _HIGHEST),
        current=_installed(found["current"]),
        previous=_installed(found["previous"]),
        before=None if before is None else _statistics(Fields(before)),
        refused=tuple(_refused(Fields(one)) for one in found["refused"]),
    )


def _statistics(found: Fields) -> Statistics:
    return Statistics(
        found.integer("frames", 0, _HIGHEST), found.number("confidence"), found.number("unsure")
    )


def _installed(content: Mapping[str, Any] | None) -> Installed | None:
    if content is None:
        return None
    found = Fields(content)
    return Installed(
        found.integer("version", 1, _HIGHEST),
        found.text("sha256", _HASH),
        found.text("form", _FORM),
        found.text("labels_sha256", _HASH),
        found["settled"] is True,
        found.integer("starts", 0, _HIGHEST),
    )


def _refused(found: Fields) -> Refused:
    cause = found["cause"]
    if cause not in CAUSES:
        raise ValueError(f"cause is {cause!r}")
    version = found.integer("version", 0, _HIGHEST)
    reason, under = found.line("reason", _LONGEST), found.line("under", 200)
    return Refused(version, found.text("sha256", _HASH), cause, reason, under)
