"""How a channel is followed."""

from __future__ import annotations

from dataclasses import dataclass

from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.fleet.canary import CanaryLimits


@dataclass(frozen=True)
class FollowOptions:
    """How a channel is followed.

    Attributes:
        every: seconds between two polls, give or take a tenth.
        board: the board's id; empty: see `board_id`.
        canary: when a new model goes back; None: never.

    Raises:
        UserError: a number is out of range.
    """

    every: float = 300.0
    board: str = ""
    canary: CanaryLimits | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.every <= 7 * 86_400:
            raise UserError(
                f"the channel is to be polled every {self.every:g} s; expected 1 s to a week"
            )
