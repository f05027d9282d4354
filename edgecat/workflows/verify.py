"""What `edgecat verify` compares: models opened on their backends, photographs, layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecat.cli.terminal.console import progress, warn
from edgecat.report.parity import Source
from edgecat.workflows.places import Place, candidate_places, named, on_each, outcome_of, places
from edgecat_export.parity.comparison import Pair, compare, golden_parity
from edgecat_export.parity.evidence import Evidence
from edgecat_export.parity.layers import SEGMENT_BACKENDS, Drift, find_drift
from edgecat_runtime import Classifier, UserError
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.types import Frames

if TYPE_CHECKING:
    from edgecat.data.folder import PictureSet


_LAYER_FRAMES = 8


@dataclass(frozen=True)
class Compared:
    """A candidate and how it compares.

    Attributes:
        path: of the model.
        place: where it ran.
        pair: the result.
        evidence: what the result rests on; None against golden logits.
    """

    path: Path
    place: Place
    pair: Pair
    evidence: Evidence | None = None


def against_golden(model: Path, names: Sequence[str]) -> list[Compared]:
    """Hold a model against its golden logits, on the named backends or on all that open it."""

    def attempt(place: Place) -> Compared:
        pair = golden_parity(model, place.backend, device=place.device)
        return Compared(model, place, replace(pair, backend=place.title))

    return on_each(model, candidate_places(model, names), attempt, asked=bool(names))


def against_first(
    models: Sequence[Path], names: Sequence[str], data: Sequence[Path] | None, limit: int
) -> tuple[Place, list[Compared], list[Source]]:
    """Compare the first model on its best backend with the others on all of theirs.

    Args:
        models: the first is the reference; alone, it is compared with itself on other backends.
        names: backends to limit the comparison to; all where empty.
        data: photographs; None for the golden frames.
        limit: at most so many photographs; 0 for all.

    Returns:
        Where the reference ran, the candidates, and where each frame came from.
    """
    with ExitStack() as stack:
        first, reference = _reference(stack, models[0], names)
        wanted = []
        for path in models[1:] or models:
            found = [p for p in candidate_places(path, names) if (path, p) != (models[0], first)]
            opened = on_each(path, found, partial(_opened, stack, path), asked=bool(names))
            wanted += [(path, place, classifier) for place, classifier in opened]
        if not wanted:
            raise UserError(
                f"only {first.title} opens {models[0]} here, so there is nothing to compare it "
                "with; name a second model or install a second backend"
            )
        sources: list[Source] = []
        batches = (
            [golden_frames(reference.card.height, reference.card.width)]
            if data is None
            else _photographs(reference, data, limit, sources)
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


def drift_of(reference: Path, place: Place, candidate: Compared) -> Drift | None:
    """Find the layer where a candidate drifts; None, with a warning, where that cannot be told.

    The frames are those on which the two were furthest apart, else the golden ones.
    """
    from edgecat_runtime import read_card

    card = read_card(candidate.path)
    backends = _layer_backend(reference, place), _layer_backend(candidate.path, candidate.place)
    for path, name in zip((reference, candidate.path), backends, strict=True):
        if name not in SEGMENT_BACKENDS:
            warn(
                f"--layers cannot look into {path} on {name}: it runs ONNX files on "
                f"{', '.join(SEGMENT_BACKENDS)}. Name the file that it was built from"
            )
            return None
    cases = candidate.evidence.cases if candidate.evidence else []
    frames = golden_frames(card.height, card.width)
    if cases:
        frames = np.stack([case.frame for case in cases[:_LAYER_FRAMES]])
    try:
        return find_drift(
            _graph(reference),
            _graph(candidate.path),
            frames,
            names=(str(reference), str(candidate.path)),
            backends=backends,
            precision=card.precision,
            apart=_apart(reference, candidate.path),
            progress=progress,
        )
    except UserError as error:  # must not hide that the gate failed
        warn(f"--layers: {error}")
        return None


def _apart(reference: Path, candidate: Path) -> bool:
    """Whether two models are known to come from different checkpoints."""
    return len({_origin(reference), _origin(candidate)} - {""}) == 2


def _origin(path: Path) -> str:
    """Hash of the checkpoint that a model comes from, or is; empty where its card does not say."""
    from edgecat_runtime import read_card

    card = read_card(path)
    if path.suffix == ".safetensors":
        return card.checkpoint_sha256 or card.payload_sha256
    return card.checkpoint_sha256


def _reference(stack: ExitStack, path: Path, names: Sequence[str]) -> tuple[Place, Classifier]:
    """Open the reference on the first backend named that opens it, else on its best that starts."""
    found = places(path, names)
    wanted = [place for name in names for place in found if named(place, [name])] or found
    for place in wanted[:-1]:
        outcome = outcome_of(path, place, partial(_opened, stack, path))
        if not isinstance(outcome, EdgecatError):
            return outcome
        warn(f"left out: {outcome}")
    return _opened(stack, path, wanted[-1])


def _opened(stack: ExitStack, path: Path, place: Place) -> tuple[Place, Classifier]:
    """Open a model and see that the backend runs it at all."""
    opened = stack.enter_context(
        Classifier.open(path, backend=place.backend, device=place.device, verify=False)
    )
    opened.infer(golden_frames(opened.card.height, opened.card.width))
    return place, opened


def _photographs(
    classifier: Classifier, data: Sequence[Path], limit: int, sources: list[Source]
) -> Iterator[Frames]:
    """Yield preprocessed photographs in batches, evenly spread, and note where each came from."""
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

    with progress(count, "comparing") as advance:
        for batch, decoded in prefetched(load, range(0, count, 16), workers=2):
            for sentence in batch.skipped:
                warn(f"skipped: {sentence}")
            pictures = [chosen.pictures[index] for index in decoded]
            sources += [Source(item.name, classifier.labels[item.label]) for item in pictures]
            if len(batch.frames):
                yield batch.frames
            advance(len(batch.frames) + len(batch.skipped))


def _layer_backend(path: Path, place: Place) -> str:
    """A checkpoint's layers are looked at in its ONNX form."""
    return "onnxruntime" if path.suffix == ".safetensors" else place.title


def _graph(path: Path) -> bytes:
    """The ONNX graph of a model; a checkpoint is exported in memory."""
    if path.suffix != ".safetensors":
        return path.read_bytes()
    from edgecat.models.checkpoint import load_checkpoint
    from edgecat_export.graph.deployed import onnx_from_model

    return onnx_from_model(*load_checkpoint(path))
