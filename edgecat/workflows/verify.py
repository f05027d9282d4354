"""Whether models give the same predictions on every backend: on photographs, and per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from edgecat.report.page import table
from edgecat.report.parity import Entry, Source, write_report
from edgecat.workflows.comparison import (
    Compared,
    against_first,
    against_golden,
    against_original,
)
from edgecat.workflows.drift import find_drifts
from edgecat.workflows.inputs import Paths, StrPath, many_paths, names_missing_packages
from edgecat.workflows.models import models_to_verify
from edgecat.workflows.reporter import SILENT, Reporter
from edgecat.workflows.targets import check_backends
from edgecat_export.parity.comparison import Pair
from edgecat_export.parity.layers import Drift
from edgecat_runtime import CardMissing, UserError, read_card
from edgecat_runtime.model.trust import NotTrusted, trusted


@dataclass(frozen=True)
class Verification:
    """The comparison of models; true if all of them give the same predictions.

    Attributes:
        reference: the first model.
        compared: each candidate on each backend.
        sources: where each frame came from, in the order of comparison; empty for
            golden frames.
        drifts: per-layer results by candidate number; None if not requested.
        fed: how a reference without a card was given frames; empty for one with a card.

    Example:
        >>> report = verify("vgg16.safetensors", "vgg16.onnx")  # doctest: +SKIP
        >>> [pair.backend for pair in report.pairs if not pair.passed]  # doctest: +SKIP
        []
    """

    reference: Path
    compared: tuple[Compared, ...]
    sources: tuple[Source, ...] = ()
    drifts: Mapping[int, Drift] | None = field(default=None)
    fed: str = ""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The candidates' results, in order."""
        return tuple(item.pair for item in self.compared)

    @property
    def passed(self) -> bool:
        """Whether every pair passed."""
        return all(item.pair.passed for item in self.compared)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return "\n".join(map(str, self.pairs))

    def __repr__(self) -> str:
        passed = sum(pair.passed for pair in self.pairs)
        verdict = "passed" if self.passed else "FAILED"
        return f"{type(self).__name__}({verdict}: {passed} of {len(self.pairs)} pairs)"

    def _repr_html_(self) -> str:
        header = (
            "",
            "model",
            "backend",
            "precision",
            "images",
            "logit error",
            "limit",
            "agreement",
        )
        rows = [
            (
                "PASS" if pair.passed else "<b>FAIL</b>",
                escape(pair.candidate),
                escape(pair.backend),
                pair.precision,
                f"{pair.n:,}",
                f"{pair.max_logit_error:.1e}",
                f"{pair.logit_limit:.0e}",
                f"{pair.agreement:.2%}",
            )
            for pair in self.pairs
        ]
        return table(header, rows, left=(0, 1, 2, 3))

    def to_dict(self) -> dict[str, Any]:
        """The output for `--json`."""
        figures: dict[str, Any] = {
            "passed": self.passed,
            "pairs": [{**asdict(item.pair), "passed": item.pair.passed} for item in self.compared],
        }
        if self.fed:
            figures["reference_fed"] = self.fed
        if self.drifts is not None:
            figures["layers"] = [_plain(drift) for drift in self.drifts.values()]
        return figures

    def write_page(self, path: str | Path) -> None:
        """Write an HTML report: errors, agreement, and the photographs that differ.

        Raises:
            UserError: it cannot be written.
        """
        card = read_card(self.compared[0].path if self.fed else self.reference)
        drifts = self.drifts or {}
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


@names_missing_packages
def verify(
    *models: StrPath,
    data: Paths | None = None,
    limit: int = 500,
    backends: Sequence[str] = (),
    layers: bool = False,
    reporter: Reporter = SILENT,
) -> Verification:
    """Compare models with one another, on every backend that can open them.

    A single model is compared with its golden logits; with several models, or with photographs, the
    first model is the reference for the others. An ONNX file that edgecat did not write can be the
    first: it is given frames as the card of the second, its wrapped form, states.

    Args:
        models: checkpoints, exported models, or results that stand for them; the first is the
            reference. `shipped` is the bundled model, in all of its forms if it is given alone.
            Without any, the newest run's model, else the bundled one.
        data: photographs, folders or tars, of which the test part alone counts where there is one;
            None for the golden frames.
        limit: at most so many photographs, evenly spread; 0 for all.
        backends: to limit the comparison to, such as `("onnxruntime",)`; all where empty.
        layers: whether to find the layer at which a candidate starts to drift.
        reporter: receives progress and warnings; silent by default.

    Returns:
        The comparison; it is truthy if every pair passed.

    Raises:
        UserError: a backend cannot open any of the models, or there is nothing to compare.
        EdgecatError: a model cannot be opened.

    Example:
        >>> report = verify("vgg16.safetensors", "vgg16.onnx", data="photos/")  # doctest: +SKIP
        >>> report  # doctest: +SKIP
        Verification(passed: 3 of 3 pairs)
        >>> report.write_page("verify.html")  # doctest: +SKIP
    """
    return _verified(
        models_to_verify(models),
        data=None if data is None else many_paths(data),
        limit=limit,
        backends=backends,
        layers=layers,
        reporter=reporter,
    )


def _verified(
    models: Sequence[Path],
    *,
    data: Sequence[Path] | None,
    limit: int,
    backends: Sequence[str],
    layers: bool,
    reporter: Reporter,
) -> Verification:
    check_backends(models, backends)
    if len(models) > 1 and _foreign(models):
        if layers:
            raise UserError(
                f"{models[0]} has no model card, and its layers have other names than those of its "
                "wrapped form; leave out --layers"
            )
        compared, sources, fed = against_original(
            models, backends, data, limit=limit, reporter=reporter
        )
        return Verification(models[0], tuple(compared), tuple(sources), fed=fed)
    found = against_golden(models[0], backends, reporter) if len(models) == 1 else []
    first = found[0].target if found else None
    sources = []
    if data is not None or len(models) > 1:
        first, compared, sources = against_first(
            models, backends, data, limit=limit, reporter=reporter
        )
        found += compared
    drifts = None
    if layers:
        drifts = find_drifts(models[0], first, found, reporter) if first else {}
    return Verification(models[0], tuple(found), tuple(sources), drifts)


def _foreign(models: Sequence[Path]) -> bool:
    """Whether the reference, and it alone, is an ONNX file without a card.

    Raises:
        CardMissing: another model has none.
        NotTrusted: signatures are required, which such a file cannot have.
    """
    bare = [path for path in models if path.suffix == ".onnx" and _lacks_card(path)]
    if models[0] in bare and len(bare) > 1:
        read_card(bare[1])
    if bare and models[0] not in bare:
        raise CardMissing(
            f"{bare[0]} has no model card. To compare its wrapped form with it, name it first: "
            f"edgecat verify {bare[0]} {models[0]}"
        )
    if bare and (required := trusted(None)) is not None:
        raise NotTrusted(
            f"{bare[0]} has no model card and so no signature by a key in {required.source}. "
            "Compare it where no signatures are required"
        )
    return bool(bare)


def _lacks_card(path: Path) -> bool:
    try:
        read_card(path)
    except CardMissing:
        return True
    return False


def _plain(drift: Drift) -> dict[str, object]:
    first = drift.first.name if drift.first else None
    return {**asdict(drift), "first": first, "verdict": drift.verdict}
