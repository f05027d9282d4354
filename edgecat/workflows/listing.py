"""The models at hand: the bundled one, and those of the training runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecat.evaluation.curves import wilson
from edgecat.pretrained import CHECKPOINT, FP16, INT8
from edgecat.workflows.models import SHIPPED_NAME, models_to_serve
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import ModelCard

SUFFIXES = (".safetensors", ".onnx", ".trt", ".rtx")


@dataclass(frozen=True)
class Form:
    """One file of a model.

    Attributes:
        path: the file.
        bytes: its size.
        kind: its format and precision, such as `onnx int8`, or the format alone if it is damaged.
        problem: why it cannot be used; empty if it can.
    """

    path: Path
    bytes: int
    kind: str
    problem: str = ""


@dataclass(frozen=True)
class KnownModel:
    """A model and its files.

    Attributes:
        name: `shipped`, or the run's folder.
        forms: its files.
        default: whether it answers where no model is named.
        card: of its first intact file; None if there is none.
    """

    name: str
    forms: tuple[Form, ...]
    default: bool
    card: ModelCard | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of the accuracy, 0..1; None if it was never measured."""
        card = self.card
        if card is None or card.accuracy is None:
            return None
        return wilson(round(card.accuracy * card.accuracy_n), card.accuracy_n)

    def to_dict(self) -> dict[str, Any]:
        """The output for `--json`."""
        card = self.card
        return {
            "name": self.name,
            "default": self.default,
            "architecture": card and card.architecture,
            "labels": list(card.labels) if card else [],
            "accuracy": card and card.accuracy,
            "n": card.accuracy_n if card else 0,
            "interval": self.interval and list(self.interval),
            "forms": [
                {"file": str(form.path), "bytes": form.bytes, "kind": form.kind}
                | ({"problem": form.problem} if form.problem else {})
                for form in self.forms
            ],
        }


def list_models(runs: Path = Path("runs")) -> tuple[KnownModel, ...]:
    """The bundled model, then every run under `runs` that has a model, by name.

    A damaged file is listed with its problem.
    """
    default = models_to_serve()[0]
    files: dict[Path, list[Path]] = {}
    for path in sorted(runs.glob("*/*")):
        if path.suffix in SUFFIXES and not path.name.startswith((".", "resume")):
            files.setdefault(path.parent, []).append(path)
    found = [_known(SHIPPED_NAME, (CHECKPOINT, FP16, INT8), default)]
    return (*found, *(_known(str(run), paths, default) for run, paths in files.items()))


def _known(name: str, paths: Sequence[Path], default: Path) -> KnownModel:
    forms, first = [], None
    for path in sorted(paths, key=lambda path: (SUFFIXES.index(path.suffix), path.name)):
        form, card = _form(path)
        forms.append(form)
        first = first or card
    return KnownModel(name, tuple(forms), default in paths, first)


def _form(path: Path) -> tuple[Form, ModelCard | None]:
    size, kind = path.stat().st_size, path.suffix.removeprefix(".")
    try:
        card = read_card(path)
    except EdgecatError as error:
        return Form(path, size, kind, str(error)), None
    return Form(path, size, f"{kind} {card.precision}"), card
