"""`edgecat verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from edgecat_export.parity import Pair
    from edgecat_runtime import Classifier


def verify(
    model: Annotated[list[Path], typer.Argument(help="Models; the first is the reference.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Photographs to compare on: folders or tars; default: golden frames."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="At most so many photographs, evenly spread; 0 for all.")
    ] = 500,
    json: Annotated[bool, typer.Option("--json", help="Print figures as JSON.")] = False,
) -> None:
    """Prove that models, on every backend present, give the same answer.

    One model alone is held against its golden logits; with more, or with photographs, the first is
    the reference for the others.

    Example: `edgecat verify vgg16.safetensors vgg16.onnx --data photos/test`
    """
    from dataclasses import asdict

    from edgecat.cli.console import print_json, say
    from edgecat_runtime.errors import GateError

    pairs = _golden_pairs(model[0]) if len(model) == 1 else []
    if data is not None or len(model) > 1:
        pairs += _compared_pairs(model, data, limit)
    passed = all(pair.passed for pair in pairs)
    if json:
        rows = [{**asdict(pair), "passed": pair.passed} for pair in pairs]
        print_json({"passed": passed, "pairs": rows})
    else:
        for pair in pairs:
            say(str(pair))
    if not passed:
        raise GateError("the models do not give the same answer; see the pairs that failed above")


def _golden_pairs(model: Path) -> list[Pair]:
    from edgecat.cli.models import openable_backends
    from edgecat_export.parity import golden_parity

    return [golden_parity(model, backend) for backend in openable_backends(model)]


def _compared_pairs(models: list[Path], data: list[Path] | None, limit: int) -> list[Pair]:
    """The first model on its best backend against the others on all of theirs."""
    from contextlib import ExitStack

    from edgecat.cli.models import openable_backends
    from edgecat_export.parity import compare
    from edgecat_runtime import Classifier, UserError
    from edgecat_runtime.golden import golden_frames

    first = openable_backends(models[0])[0]
    wanted = [(path, backend) for path in models for backend in openable_backends(path)]
    wanted = [(path, name) for path, name in wanted if path != models[0] or len(models) == 1]
    wanted = [pair for pair in wanted if pair != (models[0], first)]
    if not wanted:
        raise UserError(
            f"only {first} opens {models[0]} here, so there is nothing to compare it with; "
            "name a second model or install a second backend"
        )
    with ExitStack() as stack:
        opened = [
            stack.enter_context(Classifier.open(path, backend=backend, verify=False))
            for path, backend in [(models[0], first), *wanted]
        ]
        reference = opened[0]
        batches = (
            [golden_frames(reference.card.height, reference.card.width)]
            if data is None
            else _photographs(reference, data, limit)
        )
        names = [str(models[0]), *(str(path) for path, _ in wanted)]
        return compare(reference, opened[1:], batches, names=names)


def _photographs(
    classifier: Classifier, data: list[Path], limit: int
) -> Iterator[NDArray[np.uint8]]:
    """Preprocessed photographs in batches, at most `limit` of them, evenly spread."""
    from dataclasses import replace

    from edgecat.cli.console import progress, warn
    from edgecat.data.folder import scan
    from edgecat.training.loader import served_batches

    found = scan(data, labels=classifier.labels)
    count = min(limit, len(found)) if limit else len(found)
    spread = tuple(found.pictures[i * len(found) // count] for i in range(count))
    with progress(count, "comparing") as advance:
        chosen = replace(found, pictures=spread)
        for batch in served_batches(chosen, classifier.preprocess, batch_size=16):
            for sentence in batch.skipped:
                warn(f"skipped: {sentence}")
            if len(batch.frames):
                yield batch.frames
            advance(len(batch.frames) + len(batch.skipped))
