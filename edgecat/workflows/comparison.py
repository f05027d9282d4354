"""Compare models with one another, each on every backend that can open it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecat.report.parity import Source
from edgecat.workflows.reporter import Reporter
from edgecat.workflows.targets import Target, candidate_targets, named, on_each, outcome_of, targets
from edgecat_export.parity.comparison import Pair, compare, golden_parity
from edgecat_export.parity.evidence import Evidence
from edgecat_runtime import Classifier, UserError
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.types import Frames

if TYPE_CHECKING:
    from edgecat.data.folder import ImageSet


Opened = tuple[Path, Target, Classifier]
"""A model file, opened on a target."""


@dataclass(frozen=True)
class Compared:
    """A candidate and its comparison with the reference.

    Attributes:
        path: model file.
        target: backend and device.
        pair: the result.
        evidence: the data behind the result; None for a comparison with golden logits.
    """

    path: Path
    target: Target
    pair: Pair
    evidence: Evidence | None = None


def against_golden(model: Path, names: Sequence[str], reporter: Reporter) -> list[Compared]:
    """Compare a model with its golden logits, on the named backends or on all that can open it."""

    def attempt(target: Target) -> Compared:
        pair = golden_parity(model, target.backend, device=target.device)
        return Compared(model, target, replace(pair, backend=target.title))

    found = candidate_targets(model, names)
    return on_each(model, found, attempt, asked=bool(names), reporter=reporter)


def against_first(
    models: Sequence[Path],
    names: Sequence[str],
    data: Sequence[Path] | None,
    *,
    limit: int,
    reporter: Reporter,
) -> tuple[Target, list[Compared], list[Source]]:
    """Compare the first model on its best backend with the others on all their backends.

    Args:
        models: the first is the reference; a single one is compared with itself on other backends.
        names: backends to use; empty for all.
        data: photographs; None for the golden frames.
        limit: maximum number of photographs; 0 for all.
        reporter: receives the progress.

    Returns:
        The reference's target, the candidates, and the source of each frame.
    """
    with ExitStack() as stack:
        first, reference = _reference(stack, models[0], names, reporter)
        wanted: list[Opened] = []
        for path in models[1:] or models:
            found = [p for p in candidate_targets(path, names) if (path, p) != (models[0], first)]
            wanted += _on_each(stack, path, found, names, reporter)
        if not wanted:
            raise UserError(
                f"only {first.title} can open {models[0]} here, so there is nothing to compare it "
                "with; add a second model or install a second backend"
            )
        frames = golden_frames(reference.card.height, reference.card.width)
        compared, sources = _compared(
            (models[0], reference),
            wanted,
            lambda kept: (
                [frames] if data is None else _photographs(reference, data, limit, kept, reporter)
            ),
        )
    return first, compared, sources


def against_original(
    models: Sequence[Path],
    names: Sequence[str],
    data: Sequence[Path] | None,
    *,
    limit: int,
    reporter: Reporter,
) -> tuple[list[Compared], list[Source], str]:
    """Compare wrapped models with the foreign file that they were made from.

    Args:
        models: the foreign file, then wrapped ones; the first one's card says how frames are fed.
        names: backends for the wrapped models; empty for all.
        data: photographs; None for the frames that an export is proved on.
        limit: maximum number of photographs; 0 for all.
        reporter: receives the progress.

    Returns:
        The candidates, the source of each frame, and how the foreign file was fed, for people.

    Raises:
        UserError: the foreign file does not run, or has another number of classes than the card.
    """
    from edgecat_export.graph.foreign_file import read_foreign
    from edgecat_export.graph.foreign_parity import original_model

    payload = read_foreign(models[0])
    with ExitStack() as stack:
        wanted: list[Opened] = []
        for path in models[1:]:
            wanted += _on_each(stack, path, candidate_targets(path, names), names, reporter)
        first = wanted[0][2]
        original = original_model(payload, first.card, first)
        reference = stack.enter_context(Classifier(original, original.card))
        same = [(path, target, original.same_terms(opened)) for path, target, opened in wanted]
        compared, sources = _compared(
            (models[0], reference),
            same,
            lambda kept: (
                [original.frames]
                if data is None
                else _photographs(reference, data, limit, kept, reporter)
            ),
        )
    for item in compared:
        if item.evidence is not None:
            item.evidence.cases = [
                replace(
                    case,
                    expected=original.as_logits(case.expected[None])[0],
                    found=original.as_logits(case.found[None])[0],
                )
                for case in item.evidence.cases
            ]
    return compared, sources, original.fed


def _compared(
    reference: tuple[Path, Classifier],
    candidates: Sequence[Opened],
    frames: Callable[[list[Source]], Iterable[Frames]],
) -> tuple[list[Compared], list[Source]]:
    """Compare open classifiers; `frames` gets a list to add the source of each frame to."""
    sources: list[Source] = []
    titles = [str(path) for path in (reference[0], *(path for path, _, _ in candidates))]
    golden = np.asarray(reference[1].card.golden, np.float32)
    evidence = [Evidence(golden) for _ in candidates]
    opened = [classifier for _, _, classifier in candidates]
    pairs = compare(reference[1], opened, frames(sources), names=titles, tallies=evidence)
    compared = [
        Compared(path, target, replace(pair, backend=target.title), found)
        for (path, target, _), pair, found in zip(candidates, pairs, evidence, strict=True)
    ]
    return compared, sources


def _on_each(
    stack: ExitStack,
    path: Path,
    found: Sequence[Target],
    names: Sequence[str],
    reporter: Reporter,
) -> list[Opened]:
    """A candidate, opened on each of several targets."""
    attempt = partial(_opened, stack, path)
    opened = on_each(path, found, attempt, asked=bool(names), reporter=reporter)
    return [(path, target, classifier) for target, classifier in opened]


def _reference(
    stack: ExitStack, path: Path, names: Sequence[str], reporter: Reporter
) -> tuple[Target, Classifier]:
    """Open the reference on the first named backend that can, otherwise on its best working one."""
    found = targets(path, names)
    wanted = [target for name in names for target in found if named(target, [name])] or found
    for target in wanted[:-1]:
        outcome = outcome_of(path, target, partial(_opened, stack, path))
        if not isinstance(outcome, EdgecatError):
            return outcome
        reporter.warn(f"skipped: {outcome}")
    return _opened(stack, path, wanted[-1])


def _opened(stack: ExitStack, path: Path, target: Target) -> tuple[Target, Classifier]:
    """Open a model and check that the backend can run it."""
    opened = stack.enter_context(
        Classifier.open(path, backend=target.backend, device=target.device, verify=False)
    )
    opened.infer(golden_frames(opened.card.height, opened.card.width))
    return target, opened


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
    chosen: ImageSet = replace(found, pictures=spread)

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
