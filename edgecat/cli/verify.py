"""`edgecat verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options.common import Json

if TYPE_CHECKING:
    from edgecat.report.parity import Source
    from edgecat.workflows.places import Place
    from edgecat.workflows.verify import Compared
    from edgecat_export.parity.layers import Drift


def verify(
    model: Annotated[list[Path], typer.Argument(help="Models; the first is the reference.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Photographs to compare on: folders or tars, of which those under test/ alone "
            "count where there are any; default: golden frames."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="At most so many photographs, evenly spread; 0 for all.")
    ] = 500,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Only on this backend; may be given several times. Default: all."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write an HTML page: errors, agreement, photographs that differ."),
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Find the layer at which a candidate starts to drift.")
    ] = False,
    json: Json = False,
) -> None:
    """Prove that models, on every backend present, give the same answer.

    One model alone is held against its golden logits; with more, or with photographs, the first is
    the reference for the others.

    Example: `edgecat verify vgg16.safetensors vgg16.onnx --data photos/test --report verify.html`
    """
    from edgecat.workflows import verify as comparing
    from edgecat.workflows.places import check_backends
    from edgecat_runtime.errors import GateError

    names = backend or []
    check_backends(model, names)
    found = comparing.against_golden(model[0], names) if len(model) == 1 else []
    first = found[0].place if found else None
    sources: list[Source] = []
    if data is not None or len(model) > 1:
        first, compared, sources = comparing.against_first(model, names, data, limit)
        found += compared
    passed = all(item.pair.passed for item in found)
    drifts = _drifts(model[0], first, found) if layers and first else {}
    if json:
        _print(found, drifts, passed=passed, layers=layers)
    else:
        _show(found, drifts, model[0])
    if report is not None:
        from edgecat.report.parity import Entry, write_report
        from edgecat_runtime import read_card

        card = read_card(model[0])
        entries = [Entry(item.pair, item.evidence, drifts.get(i)) for i, item in enumerate(found)]
        write_report(
            report, entries, labels=card.labels, sources=sources, temperature=card.temperature
        )
    if not passed:
        raise GateError(
            "the models do not give the same answer; see the pairs that failed above"
            + ("" if layers else _advice(model))
        )


def _advice(models: list[Path]) -> str:
    if len(models) > 1:
        return ". Add --layers to see where they part"
    return (
        ". Name the checkpoint or the ONNX file that it was made from first, and add --layers to "
        "see where they part"
    )


def _drifts(reference: Path, first: Place, found: list[Compared]) -> dict[int, Drift]:
    """Layer by layer: the candidates that failed, or all of them where none did."""
    from edgecat.cli.terminal.console import warn
    from edgecat.workflows import verify as comparing

    candidates = {
        i: item for i, item in enumerate(found) if (item.path, item.place) != (reference, first)
    }
    if any(item.evidence for item in candidates.values()):
        candidates = {i: item for i, item in candidates.items() if item.evidence}
    if not candidates:
        warn("--layers needs two to compare: name a second model, or install a second backend")
    failed = {i: item for i, item in candidates.items() if not item.pair.passed}
    looked = {
        i: comparing.drift_of(reference, first, item) for i, item in (failed or candidates).items()
    }
    return {i: drift for i, drift in looked.items() if drift is not None}


def _print(found: list[Compared], drifts: dict[int, Drift], *, passed: bool, layers: bool) -> None:
    """The figures as JSON."""
    from dataclasses import asdict

    from edgecat.cli.terminal.console import print_json

    rows = [{**asdict(item.pair), "passed": item.pair.passed} for item in found]
    extra = {"layers": [_plain(drift) for drift in drifts.values()]} if layers else {}
    print_json({"passed": passed, "pairs": rows, **extra})


def _show(found: list[Compared], drifts: dict[int, Drift], reference: Path) -> None:
    from edgecat.cli.terminal.console import say, table

    for item in found:
        say(str(item.pair))
    for i, drift in drifts.items():
        say()
        say(f"{drift.candidate} on {drift.backend} against {drift.reference}, layer by layer")
        if ".safetensors" in (reference.suffix, found[i].path.suffix):
            say(
                "(the checkpoint stands in as its ONNX form, so an exporter's fault does not show "
                "here; the pairs above compare with PyTorch itself)"
            )
        lines = [
            (item.name, item.operator, f"{item.own:.1e}", f"{item.accumulated:.1e}")
            for item in drift.layers
        ]
        table(("layer", "operator", "own error", "accumulated"), lines)
        say(drift.verdict)


def _plain(drift: Drift) -> dict[str, object]:
    from dataclasses import asdict

    first = drift.first.name if drift.first else None
    return {**asdict(drift), "first": first, "verdict": drift.verdict}
