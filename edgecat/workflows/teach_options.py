"""The options of `edgecat teach`; importing them costs no numpy."""

from __future__ import annotations

from dataclasses import dataclass

from edgecat_runtime.errors import UserError


@dataclass(frozen=True)
class TeachOptions:
    """What a session of teaching writes, and how it trains.

    Attributes:
        output: folder of the class folders. Images that are there already are taken in.
        runs: folder that gets the training runs.
        epochs: passes over the images when training (default: 4 to 20, by their number).
        device: device to train on: auto, cpu, cuda, cuda:1, ...

    Example:
        >>> TeachOptions(output="photos").device
        'auto'
    """

    output: str = "photos"
    runs: str = "runs"
    epochs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"--epochs is {self.epochs}; expected 1 or more")
