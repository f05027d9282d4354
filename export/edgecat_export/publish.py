"""Sealed, proved and only then named: how every ONNX file comes into being."""

from __future__ import annotations

from pathlib import Path

from edgecat_export.parity import Pair, golden_parity
from edgecat_runtime.artifact import read_card, seal_onnx
from edgecat_runtime.atomic import atomic_path
from edgecat_runtime.backends import available_backends
from edgecat_runtime.card import ModelCard
from edgecat_runtime.errors import BackendMissing, GateError, UserError

# OpenCV's engine takes the float32 graph only.
_REDUCED = ("onnxruntime", "openvino")


def save_onnx(payload: bytes, card: ModelCard, path: str | Path) -> list[Pair]:
    """Seal an ONNX model with its card and write it once every backend here gives its answer.

    Args:
        payload: the deployed graph, unsealed.
        card: with its golden logits.
        path: the `.onnx` file to write.

    Returns:
        How each installed backend that takes this precision answered the golden frames.

    Raises:
        GateError: a backend answers differently; nothing is written.
        BackendMissing: no backend is installed to prove the file with.
        UserError: the file cannot be written.
    """
    sealed = seal_onnx(payload, card)
    with atomic_path(path) as temporary:
        temporary.write_bytes(sealed)
        del sealed
        backends = [
            name
            for name in available_backends(temporary)
            if card.precision == "fp32" or name in _REDUCED
        ]
        if not backends:
            raise BackendMissing(
                "no backend is installed to prove the export with: pip install "
                "'edgecat-runtime[onnx]'"
            )
        pairs = [golden_parity(temporary, backend, name=str(path)) for backend in backends]
        if failed := [pair for pair in pairs if not pair.passed]:
            raise GateError(f"{path} was not written: {failed[0]}")
    return pairs


def read_onnx(path: str | Path) -> tuple[bytes, ModelCard]:
    """Read a sealed ONNX file: the model without its card, and the card.

    Raises:
        CardError: no such file, no ONNX model, or no card.
        CardDamaged: it was changed after it was sealed.
        UserError: it cannot be read.
    """
    card = read_card(path)
    try:
        with Path(path).open("rb") as file:
            return file.read(card.payload_bytes), card
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path") from error
