"""Options come from the dataclasses: every field has one, and the docstring is its help."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import pytest
import typer
from typer.models import OptionInfo
from typer.testing import CliRunner

from edgecat.cli.camera import camera
from edgecat.cli.compress import compress
from edgecat.cli.deepvis.live import live
from edgecat.cli.options.from_fields import descriptions, options_of
from edgecat.cli.train import train
from edgecat.models import ARCHITECTURES
from edgecat.training import config
from edgecat.training.config import TrainConfig
from edgecat_runtime.camera.source import SourceOptions

NOT_FIELDS = {"context", "resume", "find_lr", "config", "verbose", "json"}


def option(command: Any, name: str) -> OptionInfo:
    hint = inspect.signature(command).parameters[name].annotation
    (found,) = (one for one in get_args(hint) if isinstance(one, OptionInfo))
    return found


def test_the_options_of_train_are_the_fields_of_its_configuration() -> None:
    parameters = set(inspect.signature(train).parameters)
    assert parameters - NOT_FIELDS == {field.name for field in fields(TrainConfig)}


@pytest.mark.parametrize(("command", "without"), [(camera, set()), (live, {"realtime"})])
def test_the_options_of_a_camera_are_those_of_a_source(command: Any, without: set[str]) -> None:
    wanted = {field.name for field in fields(SourceOptions)}
    assert wanted & set(inspect.signature(command).parameters) == wanted - without


def test_compress_has_the_options_of_its_fine_tuning() -> None:
    parameters = inspect.signature(compress).parameters
    assert list(parameters) == [
        "paths",
        "engine",
        "keep",
        "max_loss",
        "output",
        "resume",
        "epochs",
        "batch_size",
        "lr",
        "val",
        "seed",
        "threads",
        "device",
        "json",
    ]
    assert (parameters["epochs"].default, parameters["lr"].default) == (5, 0.02)
    assert option(compress, "lr").help == "Peak learning rate."


@pytest.mark.parametrize("kind", [TrainConfig, SourceOptions])
def test_every_field_is_described(kind: type) -> None:
    described = descriptions(kind)
    assert list(described) == [field.name for field in fields(kind)]
    assert all(text.endswith(".") for text in described.values()), described


def test_defaults_are_those_of_the_dataclass() -> None:
    parameters = inspect.signature(train).parameters
    for one in fields(TrainConfig):
        default = parameters[one.name].default
        if one.name in ("output", "teacher"):
            default = str(default or "")
        if one.name != "data":
            assert default == one.default, one.name


def test_choices_and_suggestions_are_those_of_the_tables() -> None:
    assert tuple(ARCHITECTURES) == config.ARCHITECTURES
    for name, values in {**config.CHOICES, "arch": config.ARCHITECTURES}.items():
        found = option(train, name)
        assert all(value in (found.help or "") for value in values), name
        assert found.autocompletion is not None
        assert tuple(found.autocompletion("")) == values
        assert found.autocompletion(values[0]) == [v for v in values if v.startswith(values[0])]


@pytest.mark.parametrize("table", [config.CHOICES, config.RANGES])
def test_the_tables_name_fields_only(table: dict[str, Any]) -> None:
    assert set(table) <= {field.name for field in fields(TrainConfig)}


@dataclass(frozen=True)
class Sandwich:
    """What is between two slices.

    Attributes:
        slices: number of slices. More than two make a tower.
        salad: add lettuce, which
            wilts.
        toast: toast it first.
        sauce: kind of sauce.
        recipe: number of the recipe.

    Raises:
        ValueError: never.
    """

    slices: int = 2
    salad: bool = True
    toast: bool = False
    sauce: str = "mayonnaise"
    recipe: int = field(default=1, metadata={"option": False})


def test_options_of_any_dataclass() -> None:
    app = typer.Typer()
    seen: dict[str, Any] = {}

    @app.command()
    @options_of(Sandwich, after="name", choices={"sauce": ("mayonnaise", "mustard", "none")})
    def make(name: Annotated[str, typer.Argument()], json: bool = False, **options: Any) -> None:
        seen.update(options, name=name, json=json)

    ran = CliRunner().invoke(app, ["blt", "--no-salad", "--slices", "3", "--toast"])
    assert ran.exit_code == 0, ran.output
    assert seen == {
        "name": "blt",
        "json": False,
        "slices": 3,
        "salad": False,
        "toast": True,
        "sauce": "mayonnaise",
        "recipe": 1,
    }
    assert option(make, "slices").help == "Number of slices."
    assert option(make, "salad").help == "Add lettuce, which wilts."
    assert option(make, "sauce").help == "Kind of sauce: mayonnaise, mustard or none."
    assert list(inspect.signature(make).parameters) == [
        *("name", "slices", "salad", "toast", "sauce", "recipe", "json")
    ]
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "--salad" in shown
    assert "--no-toast" not in shown
    assert "--recipe" not in shown
    assert CliRunner().invoke(app, ["blt", "--slices", "two"]).exit_code == 2


def test_options_are_typed_as_the_fields() -> None:
    hints = get_type_hints(TrainConfig)
    for name in ("size", "width", "dropout", "patience", "augment"):
        hint, *_ = get_args(inspect.signature(train).parameters[name].annotation)
        assert hint == hints[name], name
    hint, *_ = get_args(inspect.signature(train).parameters["output"].annotation)
    assert hint is Path
