"""What is shown where there is no label: a status, whose words no class may be named."""

from __future__ import annotations

from enum import Enum


class Status(str, Enum):
    """The status of a camera; its value is the word in events, MQTT messages and JSON.

    Attributes:
        WAITING: no frame has been classified since the start, or since the source is back.
        LIVE: frames are arriving.
        NO_SIGNAL: the source is lost.
        UNSURE: frames are arriving, and show none of the classes.
        ENDED: the source has ended.
        STOPPED: the loop is not running.

    Example:
        >>> Status.NO_SIGNAL == "no signal"
        True
    """

    WAITING = "waiting"
    LIVE = "live"
    NO_SIGNAL = "no signal"
    UNSURE = "unsure"
    ENDED = "ended"
    STOPPED = "stopped"

    def __str__(self) -> str:
        return self.value


SHOWN_FOR_LABELS = (Status.WAITING, Status.NO_SIGNAL, Status.UNSURE, Status.STOPPED)
"""The statuses that are shown in place of a label: their words are reserved."""


def displayed(label: str | None, status: Status) -> str:
    """The label, or the word for the status if there is no label."""
    return status.value if label is None else label
