"""A training run's configuration out of a command's options."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from edgecat.training.config import TrainConfig


def config_from(context: typer.Context, **others: Any) -> TrainConfig:
    """Take every option that is named as a field of the configuration.

    Args:
        context: of the command, with its options.
        others: fields by name, in place of the options.

    Raises:
        UserError: an option has a value that it cannot have.
    """
    from edgecat.training.config import TrainConfig

    named = {field.name for field in fields(TrainConfig)}
    given = {name: value for name, value in context.params.items() if name in named} | others
    paths = {name: str(given[name] or "") for name in ("output", "teacher")}
    return TrainConfig(**(given | paths))
