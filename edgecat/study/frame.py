"""What every study is: a frozen configuration that runs, and gives figures and a page's parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module

from edgecat_runtime.errors import UserError

Advance = Callable[[int], None]
Cell = str | int | float

STUDIES: Mapping[str, tuple[str, str]] = {
    "activations": ("Activations", "Why do deep networks of sigmoids not learn?"),
    "batch": ("Batch", "One sure step a pass, or many rough ones?"),
    "learning-rate": ("LearningRate", "How long may a step be?"),
    "optimizers": ("Optimizers", "Which way down is the fastest?"),
    "dropout": ("Dropout", "Does forgetting on purpose help to see?"),
    "convolution": ("Convolution", "What do convolution and pooling do to a picture?"),
    "architectures": ("Architectures", "Which architecture for the same little training?"),
    "sequence": ("SequenceStudy", "Why is a video more than its frames?"),
}
"""By name: the class, in the module of the same name, and the question that it answers."""


@dataclass(frozen=True)
class Section:
    """A part of the page.

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
    """Plain figures, for a CSV file: a name for each column, and the rows."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Outcome:
    """What a study found.

    Attributes:
        lead: one sentence: what was done, on what.
        finding: two sentences, computed from the figures.
        facts: large values, each with a few plain words.
        sections: of the page.
        tables: for CSV files, by what is added to the study's name: "" for the main one.
        figures: the few that matter, for JSON.
        script: inline JavaScript of the page; empty for none.
        skipped: a sentence for each picture that could not be used.
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
    """A study's configuration; the same one gives the same figures, times apart.

    Attributes:
        data: folders of class folders and tar files; empty for drawn pets.
        seeds: how many times everything is done, each with other weights and another order.
        seed: the first of them.
    """

    data: tuple[str, ...] = ()
    seeds: int = 3
    seed: int = 0

    @property
    @abstractmethod
    def steps(self) -> int:
        """How often `run` calls `advance(1)`, or what its calls add up to."""

    @abstractmethod
    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Do it.

        Raises:
            UserError: the pictures cannot be used.
        """

    @property
    def each_seed(self) -> range:
        """The seeds."""
        return range(self.seed, self.seed + self.seeds)


def find_study(name: str) -> type[Study]:
    """Look up a study by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in STUDIES:
        raise UserError(f"there is no study {name!r}; expected one of {', '.join(STUDIES)}")
    module = import_module(f"edgecat.study.{name.replace('-', '_')}")
    found: type[Study] = getattr(module, STUDIES[name][0])
    return found
