"""Find the layer at which a model starts to drift from its reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgecat.workflows.comparison import Compared
from edgecat.workflows.reporter import Reporter
from edgecat.workflows.targets import Target
from edgecat_export.parity.layers import Drift, find_drift
from edgecat_export.parity.segment_backends import SEGMENT_BACKENDS
from edgecat_runtime import UserError
from edgecat_runtime.model.golden import golden_frames

_LAYER_FRAMES = 8


def find_drifts(
    reference: Path, target: Target, found: Sequence[Compared], reporter: Reporter
) -> dict[int, Drift]:
    """Compare the failed candidates layer by layer, or all candidates if none failed.

    Args:
        reference: the model they were compared with.
        target: its backend and device.
        found: the candidates.
        reporter: receives the progress.

    Returns:
        The drift of each candidate, by its number; candidates that cannot be analysed are omitted.
    """
    candidates = {
        i: item for i, item in enumerate(found) if (item.path, item.target) != (reference, target)
    }
    if any(item.evidence for item in candidates.values()):
        candidates = {i: item for i, item in candidates.items() if item.evidence}
    if not candidates:
        reporter.warn(
            "--layers needs two models to compare: add a second model, or install a second backend"
        )
    failed = {i: item for i, item in candidates.items() if not item.pair.passed}
    looked = {
        i: drift_of(reference, target, item, reporter) for i, item in (failed or candidates).items()
    }
    return {i: drift for i, drift in looked.items() if drift is not None}


def drift_of(
    reference: Path, target: Target, candidate: Compared, reporter: Reporter
) -> Drift | None:
    """Find the layer where a candidate drifts; None, with a warning, if that is impossible.

    Uses the frames with the largest differences, otherwise the golden frames.
    """
    from edgecat_runtime import read_card

    card = read_card(candidate.path)
    backends = _layer_backend(reference, target), _layer_backend(candidate.path, candidate.target)
    for path, name in zip((reference, candidate.path), backends, strict=True):
        if name not in SEGMENT_BACKENDS:
            reporter.warn(
                f"--layers cannot analyse {path} on {name}: it runs ONNX files on "
                f"{', '.join(SEGMENT_BACKENDS)}. Give the file it was built from"
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
            progress=reporter.progress,
        )
    except UserError as error:  # must not hide the failed gate
        reporter.warn(f"--layers: {error}")
        return None


def _apart(reference: Path, candidate: Path) -> bool:
    """Whether two models are known to come from different checkpoints."""
    return len({_origin(reference), _origin(candidate)} - {""}) == 2


def _origin(path: Path) -> str:
    """Hash of the checkpoint that a model is or was made from; empty if its card lacks it."""
    from edgecat_runtime import read_card

    card = read_card(path)
    if path.suffix == ".safetensors":
        return card.checkpoint_sha256 or card.payload_sha256
    return card.checkpoint_sha256


def _layer_backend(path: Path, target: Target) -> str:
    """A checkpoint's layers are compared in its ONNX export."""
    return "onnxruntime" if path.suffix == ".safetensors" else target.title


def _graph(path: Path) -> bytes:
    """The ONNX graph of a model; a checkpoint is exported in memory."""
    if path.suffix != ".safetensors":
        return path.read_bytes()
    from edgecat.models.checkpoint import load_checkpoint
    from edgecat_export.graph.deployed import onnx_from_model

    return onnx_from_model(*load_checkpoint(path))
