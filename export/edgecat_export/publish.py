"""Sealed, verified and only then renamed: how every ONNX file is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgecat_export.parity.comparison import Pair, golden_parity
from edgecat_runtime.backends import available_backends, backend_entries
from edgecat_runtime.errors import BackendMissing, GateError, UserError
from edgecat_runtime.model.artifact import read_card, seal_onnx
from edgecat_runtime.model.card import CardError, ModelCard
from edgecat_runtime.model.trust import own_output
from edgecat_runtime.system.atomic import atomic_path
from edgecat_runtime.system.foreign_text import one_line


def save_onnx(
    payload: bytes,
    card: ModelCard,
    path: str | Path,
    *,
    served: bool = True,
    backends: Sequence[str] = (),
    refused: Callable[[str], None] = lambda sentence: None,
) -> list[Pair]:
    """Seal an ONNX model with its card and write it if every backend here reproduces its logits.

    Args:
        payload: the deployed graph, unsealed.
        card: with its golden logits.
        path: the `.onnx` file to write.
        served: whether the backends here may serve the file. A file for TensorRT's builder only,
            such as TensorRT's int8 form, was checked on conversion; the results of a CPU's kernels
            for it mean nothing.
        backends: those to prove the file on; empty for all that are installed.
        refused: called with a sentence about each backend that does not run the file.

    Returns:
        The result on the golden frames of each installed backend that can open the file.

    Raises:
        GateError: a backend returns different logits; nothing is written.
        BackendMissing: no backend is installed to verify the file with.
        UserError: the file cannot be written, or no backend runs it.
    """
    sealed = seal_onnx(payload, card)
    with atomic_path(path) as temporary, own_output():
        temporary.write_bytes(sealed)
        del sealed
        if not served:
            return []
        installed = available_backends(temporary, device="cpu")
        reasons: list[str] = []
        for name in backends:
            backend_entries(temporary, name=name, device="cpu")  # raises where there is none
        proofs = [_proof(temporary, name, str(path), reasons) for name in backends or installed]
        pairs = [pair for pair in proofs if pair is not None]
        for reason in reasons:
            refused(reason)
        if not pairs and reasons:
            raise UserError(f"{path} was not written: {'; '.join(reasons)}")
        if not pairs:
            raise BackendMissing(
                "no backend is installed to verify the export with: pip install "
                "'edgecat-runtime[onnx]'"
            )
        if failed := [pair for pair in pairs if not pair.passed]:
            others = [pair.backend for pair in pairs if pair.passed]
            fix = f". To serve it on {others[0]} alone: --backend {others[0]}" if others else ""
            raise GateError(f"{path} was not written: {failed[0]}{fix}")
    return pairs


def _proof(path: Path, backend: str, name: str, reasons: list[str]) -> Pair | None:
    """How a backend answers the golden frames; None from one that does not run such a graph.

    Libraries raise whatever they like for a graph that they do not know: that is no fault of the
    others.
    """
    try:
        return golden_parity(path, backend, name=name)
    except (CardError, GateError):
        raise
    except Exception as error:
        reason = one_line(error)
        reasons.append(f"{backend} does not run it: {reason}".replace(str(path), name))
        return None


def read_onnx(path: str | Path) -> tuple[bytes, ModelCard]:
    """Read a sealed ONNX file: the model without its card, and the card.

    Raises:
        CardError: no such file, not an ONNX model, or no card.
        CardDamaged: it was modified after it was sealed.
        UserError: it cannot be read.
    """
    card = read_card(path)
    try:
        with Path(path).open("rb") as file:
            return file.read(card.payload_bytes), card
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path") from error
