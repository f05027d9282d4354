"""Whether models give the same predictions on every backend: on photographs, and per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgecat.report.parity import Entry, Source, write_report
from edgecat.workflows.comparison import Compared, against_first, against_golden
from edgecat.workflows.drift import find_drifts
from edgecat.workflows.places import check_backends
from edgecat.workflows.reporter import SILENT, Reporter
from edgecat_export.parity.layers import Drift
from edgecat_runtime import read_card


@dataclass(frozen=True)
class Verification:
    """The comparison of models; true if all of them give the same predictions.

    Attributes:
        reference: the first model.
        compared: each candidate on each backend.
        sources: where each frame came from, in the order of comparison; empty for
            golden frames.
        drifts: per-layer results by candidate number; None if not requested.
    """

    reference: Path
    compared: tuple[Compared, ...]
    sources: tuple[Source, ...] = ()
    drifts: Mapping[int, Drift] | None = field(default=None)

    @property
    def passed(self) -> bool:
        """Whether every pair passed."""
        return all(item.pair.passed for item in self.compared)

    def __bool__(self) -> bool:
        return self.passed

    def to_dict(self) -> dict[str, Any]:
        """The output for `--json`."""
        figures: dict[str, Any] = {
            "passed": self.passed,
            "pairs": [{**asdict(item.pair), "passed": item.pair.passed} for item in self.compared],
        }
        if self.drifts is not None:
            figures["layers"] = [_plain(drift) for drift in self.drifts.values()]
        return figures

    def write_page(self, path: str | Path) -> None:
        """Write an HTML report: errors, agreement, and the photographs that differ.

        Raises:
            UserError: it cannot be written.
        """
        card, drifts = read_card(self.reference), self.drifts or {}
        write_report(
            path,
            [
                Entry(item.pair, item.evidence, drifts.get(number))
                for number, item in enumerate(self.compared)
            ],
            labels=card.labels,
            sources=self.sources,
            temperature=card.temperature,
        )


def verify(
    models: Sequence[Path],
    *,
    data: Sequence[Path] | None = None,
    limit: int = 500,
    backends: Sequence[str] = (),
    layers: bool = False,
    reporter: Reporter = SILENT,
) -> Verification:
    """Compare models with one another, on every backend that can open them.

    A single model is compared with its golden logits; with several models, or with photographs, the
    first model is the reference for the others.

    Args:
        models: checkpoints and exported models; the first is the reference.
        data: photographs, folders or tars; if they have a test part, only that is used;
            None for the golden frames.
        limit: maximum number of photographs, evenly spaced; 0 for all.
        backends: backends to use; empty for all.
        layers: whether to find the layer at which a candidate starts to drift.
        reporter: receives the progress.

    Raises:
        UserError: a backend cannot open any of the models, or there is nothing to compare.
        EdgecatError: a model cannot be opened.
    """
    check_backends(models, backends)
    found = against_golden(models[0], backends, reporter) if len(models) == 1 else []
    first = found[0].place if found else None
    sources: list[Source] = []
    if data is not None or len(models) > 1:
        first, compared, sources = against_first(
            models, backends, data, limit=limit, reporter=reporter
        )
        found += compared
    drifts = None
    if layers:
        drifts = find_drifts(models[0], first, found, reporter) if first else {}
    return Verification(models[0], tuple(found), tuple(sources), drifts)


def _plain(drift: Drift) -> dict[str, object]:
    first = drift.first.name if drift.first else None
    return {**asdict(drift), "first": first, "verdict": drift.verdict}
