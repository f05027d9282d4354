"""Compare models with one another, each on every backend that can open it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecat.report.parity import Source
from edgecat.workflows.places import Place, candidate_places, named, on_each, outcome_of, places
from edgecat.workflows.reporter import Reporter
from edgecat_export.parity.comparison import Pair, compare, golden_parity
from edgecat_export.parity.evidence import Evidence
from edgecat_runtime import Classifier, UserError
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.types import Frames

if TYPE_CHECKING:
    from edgecat.data.folder import PictureSet


@dataclass(frozen=True)
class Compared:
    """A candidate and its comparison with the reference.

    Attributes:
        path: model file.
        place: backend and device.
        pair: the result.
        evidence: the data behind the result; None for a comparison with golden logits.
    """

    path: Path
    place: Place
    pair: Pair
    evidence: Evidence | None = None


def against_golden(model: Path, names: Sequence[str], reporter: Reporter) -> list[Compared]:
    """Compare a model with its golden logits, on the named backends or on all that can open it."""

    def attempt(place: Place) -> Compared:
        pair = golden_parity(model, place.backend, device=place.device)
        return Compared(model, place, replace(pair, backend=place.title))

    found = candidate_places(model, names)
    return on_each(model, found, attempt, asked=bool(names), reporter=reporter)


def against_first(
    models: Sequence[Path],
    names: Sequence[str],
    data: Sequence[Path] | None,
    *,
    limit: int,
    reporter: Reporter,
) -> tuple[Place, list[Compared], list[Source]]:
    """Compare the first model on its best backend with the others on all their backends.

    Args:
        models: the first is the reference; a single one is compared with itself on other backends.
        names: backends to use; empty for all.
        data: photographs; None for the golden frames.
        limit: maximum number of photographs; 0 for all.
        reporter: receives the progress.

    Returns:
        The reference's place, the candidates, and the source of each frame.
    """
    with ExitStack() as stack:
        first, reference = _reference(stack, models[0], names, reporter)
        wanted = []
        for path in models[1:] or models:
            found = [p for p in candidate_places(path, names) if (path, p) != (models[0], first)]
            attempt = partial(_opened, stack, path)
            opened = on_each(path, found, attempt, asked=bool(names), reporter=reporter)
            wanted += [(path, place, classifier) for place, classifier in opened]
        if not wanted:
            raise UserError(
                f"only {first.title} can open {models[0]} here, so there is nothing to compare it "
                "with; add a second model or install a second backend"
            )
        sources: list[Source] = []
        batches = (
            [golden_frames(reference.card.height, reference.card.width)]
            if data is None
            else _photographs(reference, data, limit, sources, reporter)
        )
        titles = [str(path) for path in (models[0], *(path for path, _, _ in wanted))]
        golden = np.asarray(reference.card.golden, np.float32)
        evidence = [Evidence(golden) for _ in wanted]
        candidates = [classifier for _, _, classifier in wanted]
        pairs = compare(reference, candidates, batches, names=titles, tallies=evidence)
    compared = [
        Compared(path, place, replace(pair, backend=place.title), found)
        for (path, place, _), pair, found in zip(wanted, pairs, evidence, strict=True)
    ]
    return first, compared, sources


def _reference(
    stack: ExitStack, path: Path, names: Sequence[str], reporter: Reporter
) -> tuple[Place, Classifier]:
    """Open the reference on the first named backend that can, otherwise on its best working one."""
    found = places(path, names)
    wanted = [place for name in names for place in found if named(place, [name])] or found
    for place in wanted[:-1]:
        outcome = outcome_of(path, place, partial(_opened, stack, path))
        if not isinstance(outcome, EdgecatError):
            return outcome
        reporter.warn(f"skipped: {outcome}")
    return _opened(stack, path, wanted[-1])


def _opened(stack: ExitStack, path: Path, place: Place) -> tuple[Place, Classifier]:
    """Open a model and check that the backend can run it."""
    opened = stack.enter_context(
        Classifier.open(path, backend=place.backend, device=place.device, verify=False)
    )
    opened.infer(golden_frames(opened.card.height, opened.card.width))
    return place, opened


def _photographs(
    classifier: Classifier,
    data: Sequence[Path],
    limit: int,
    sources: list[Source],
    reporter: Reporter,
) -> Iterator[Frames]:
    """Yield evenly spaced, preprocessed photographs in batches, and record their sources."""
    from edgecat.data.batches import Batch, load_batch, prefetched
    from edgecat.data.folder import scan

    found = scan(data, labels=classifier.labels).judged()
    count = min(limit, len(found)) if limit else len(found)
    spread = tuple(found.pictures[i * len(found) // count] for i in range(count))
    chosen: PictureSet = replace(found, pictures=spread)

    def load(start: int) -> tuple[Batch, list[int]]:
        decoded: list[int] = []

        def prepare(image: Frames, index: int) -> Frames:
            decoded.append(index)
            return classifier.preprocess(image)

        indices = range(start, min(start + 16, count))
        return load_batch(chosen.pictures, indices, prepare), decoded

    with reporter.progress(count, "comparing") as advance:
        for batch, decoded in prefetched(load, range(0, count, 16), workers=2):
            for sentence in batch.skipped:
                reporter.warn(f"skipped: {sentence}")
            pictures = [chosen.pictures[index] for index in decoded]
            sources += [Source(item.name, classifier.labels[item.label]) for item in pictures]
            if len(batch.frames):
                yield batch.frames
            advance(len(batch.frames) + len(batch.skipped))
