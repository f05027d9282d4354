"""`edgecat models`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options.common import Json

if TYPE_CHECKING:
    from edgecat.workflows.listing import KnownModel

_NAMED = 4  # labels


def models(
    runs: Annotated[Path, typer.Option(help="Folder with the training runs.")] = Path("runs"),
    json: Json = False,
) -> None:
    """List the bundled model and those of your training runs, with their files.

    The default, used when no model is given, is marked with *. The accuracy was measured on images
    held out from training, with the 95 % confidence margin.

    Example: `edgecat models`
    """
    from edgecat.cli.terminal.console import print_json, say, table, warn
    from edgecat.workflows.listing import list_models

    found = list_models(runs)
    if json:
        print_json([model.to_dict() for model in found])
        return
    rows = [_row(model) for model in found]
    table(["  model", "architecture", "labels", "accuracy", "files"], rows)
    say()
    for model in found:
        for form in model.forms:
            say(f"{model.name:<{_width(found)}}  {form.bytes / 1e6:>7.1f} MB  {form.path}")
            if form.problem:
                warn(f"{model.name}: {form.problem}")


def _width(found: Sequence[KnownModel]) -> int:
    return max(len(model.name) for model in found)


def _row(model: KnownModel) -> list[str]:
    card = model.card
    name = f"{'*' if model.default else ' '} {model.name}"
    kinds = ", ".join(form.kind for form in model.forms)
    if card is None:
        return [name, "-", "-", "-", kinds]
    labels = ", ".join(card.labels[:_NAMED])
    if card.classes > _NAMED:
        labels += f" and {card.classes - _NAMED:,} more"
    measured = "-"
    if card.accuracy is not None and model.interval is not None:
        low, high = model.interval
        measured = f"{card.accuracy:.2%} ({low:.1%} to {high:.1%}) of {card.accuracy_n:,}"
    return [name, card.architecture, labels, measured, kinds]
