"""Sealed, verified and only then renamed: how every ONNX file is written."""

from __future__ import annotations

from pathlib import Path

from edgecat_export.parity.comparison import Pair, golden_parity
from edgecat_runtime.backends import available_backends
from edgecat_runtime.errors import BackendMissing, GateError, UserError
from edgecat_runtime.model.artifact import read_card, seal_onnx
from edgecat_runtime.model.card import CardError, ModelCard
from edgecat_runtime.system.atomic import atomic_path


def save_onnx(
    payload: bytes, card: ModelCard, path: str | Path, *, served: bool = True
) -> list[Pair]:
    """Seal an ONNX model with its card and write it if every backend here reproduces its logits.

    Args:
        payload: the deployed graph, unsealed.
        card: with its golden logits.
        path: the `.onnx` file to write.
        served: whether the backends here may serve the file. A file for TensorRT's builder only,
            such as TensorRT's int8 form, was checked on conversion; the results of a CPU's kernels
            for it mean nothing.

    Returns:
        The result on the golden frames of each installed backend that can open the file.

    Raises:
        GateError: a backend returns different logits; nothing is written.
        BackendMissing: no backend is installed to verify the file with.
        UserError: the file cannot be written.
    """
    sealed = seal_onnx(payload, card)
    with atomic_path(path) as temporary:
        temporary.write_bytes(sealed)
        del sealed
        if not served:
            return []
        backends = available_backends(temporary, device="cpu")
        proofs = [_proof(temporary, backend, str(path)) for backend in backends]
        pairs = [pair for pair in proofs if pair is not None]
        if not pairs:
            raise BackendMissing(
                "no backend is installed to verify the export with: pip install "
                "'edgecat-runtime[onnx]'"
            )
        if failed := [pair for pair in pairs if not pair.passed]:
            raise GateError(f"{path} was not written: {failed[0]}")
    return pairs


def _proof(path: Path, backend: str, name: str) -> Pair | None:
    """A backend's result on the golden frames; None if it cannot open such a graph."""
    try:
        return golden_parity(path, backend, name=name)
    except CardError:
        raise
    except UserError:  # for example, an older OpenCV
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
