"""The base of every study: a frozen configuration whose `run` returns figures and sections."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module

from edgecat_runtime.errors import UserError

Advance = Callable[[int], None]
Cell = str | int | float

STUDIES: Mapping[str, tuple[str, str]] = {
    "activations": ("Activations", "Why do deep sigmoid networks fail to train?"),
    "batch": ("Batch", "Full batch or mini-batches?"),
    "learning-rate": ("LearningRate", "How large can the learning rate be?"),
    "optimizers": ("Optimizers", "Which optimiser is the fastest?"),
    "dropout": ("Dropout", "Does dropout improve generalisation?"),
    "convolution": ("Convolution", "What do convolution and pooling do to an image?"),
    "architectures": ("Architectures", "Which architecture for a short training?"),
    "shortcuts": ("Shortcuts", "Do shortcuts save the gradient of a deep network?"),
    "sequence": ("SequenceStudy", "Is a video more than its frames?"),
}
"""By name: the class, in the module of the same name, and the question it answers."""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        title: plain text.
        text: plain text, one paragraph.
        html: figures and tables, in the classes of `page.css`.
    """

    title: str
    text: str
    html: str


@dataclass(frozen=True)
class Table:
    """Plain figures for a CSV file: column names and rows."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Outcome:
    """The results of a study.

    Attributes:
        lead: one sentence: the experiment and its data.
        finding: two sentences, computed from the figures.
        facts: headline values, each with a short description.
        sections: sections of the page.
        tables: for CSV files, by suffix to the study's name: "" for the main one.
        figures: the key figures, for JSON.
        script: inline JavaScript of the page; may be empty.
        skipped: one message per image that could not be used.
    """

    lead: str
    finding: tuple[str, str]
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    tables: Mapping[str, Table]
    figures: Mapping[str, object] = field(default_factory=dict)
    script: str = ""
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Study(ABC):
    """A study's configuration; it determines all figures except times.

    Attributes:
        data: folders of class folders and tar files; empty for drawn pets.
        seeds: number of repetitions, each with different weights and order.
        seed: the first seed.
    """

    data: tuple[str, ...] = ()
    seeds: int = 3
    seed: int = 0

    @property
    @abstractmethod
    def steps(self) -> int:
        """The sum of the arguments of all calls of `advance` in `run`."""

    @abstractmethod
    def measured(self, advance: Advance = lambda steps: None) -> Callable[[], Outcome]:
        """Take the measurements; return what presents them, in the language spoken when called.

        Raises:
            UserError: the images cannot be used.
        """

    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Take the measurements and present them; raises as `measured`."""
        return self.measured(advance)()

    @property
    def each_seed(self) -> range:
        """The seeds."""
        return range(self.seed, self.seed + self.seeds)


def find_study(name: str) -> type[Study]:
    """Look up a study by name.

    Raises:
        UserError: unknown study.
    """
    if name not in STUDIES:
        raise UserError(f"unknown study {name!r}; expected one of {', '.join(STUDIES)}")
    module = import_module(f"edgecat.study.{name.replace('-', '_')}")
    found: type[Study] = getattr(module, STUDIES[name][0])
    return found
