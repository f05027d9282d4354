"""What is shown where there is no label: a status, whose words no class may be named."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from edgecat_runtime.errors import UserError


class Status(str, Enum):
    """The status of a camera; its value is the word in events, MQTT messages and JSON.

    Attributes:
        WAITING: no frame has been classified since the start, or since the source is back.
        LIVE: frames are arriving.
        NO_SIGNAL: the source is lost.
        UNSURE: frames are arriving, and show none of the classes.
        ENDED: the source has ended.
        STOPPED: the loop is not running.
    """

    WAITING = "waiting"
    LIVE = "live"
    NO_SIGNAL = "no signal"
    UNSURE = "unsure"
    ENDED = "ended"
    STOPPED = "stopped"

    def __str__(self) -> str:
        return self.value


RESERVED = (Status.WAITING, Status.NO_SIGNAL, Status.UNSURE, Status.STOPPED)
"""The statuses that are shown in place of a label."""


def displayed(label: str | None, status: Status) -> str:
    """The label, or the word for the status if there is no label."""
    return status.value if label is None else label


def check_class_names(
    names: Sequence[str], fix: str = "Give it another name with a labels file (--labels)"
) -> None:
    """Refuse class names that could be mistaken for a status.

    Args:
        names: of all classes.
        fix: how to rename one, for the message.

    Raises:
        UserError: a name is reserved.
    """
    words = [status.value for status in RESERVED]
    for name in names:
        if name in words:
            raise UserError(
                f"a class is named {name!r}; expected any name but {', '.join(words)}, which are "
                f"shown where there is no label. {fix}"
            )
