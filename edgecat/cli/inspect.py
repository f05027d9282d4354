"""`edgecat inspect`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options.common import ModelToo

if TYPE_CHECKING:
    from edgecat_runtime import ModelCard


def inspect(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A checkpoint or an exported model (default: the newest run's, else the bundled "
            "one).",
            show_default=False,
        ),
    ] = None,
    engine: ModelToo = None,
    json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Verify a model file against its model card, and show the card.

    Example: `edgecat inspect runs/pets/vgg16.onnx`
    """
    from edgecat.cli.terminal.console import print_json, say
    from edgecat.workflows.models import models_to_serve
    from edgecat_runtime import read_card

    path = models_to_serve(file or engine)[0]
    card = read_card(path)
    if json:
        print_json(card.to_dict())
        return
    measured = f"{card.accuracy:.2%} of {card.accuracy_n}" if card.accuracy is not None else "-"
    rows = {
        "file": str(path),
        "architecture": _architecture(card),
        "labels": ", ".join(card.labels[:12]) + (" ..." if card.classes > 12 else ""),
        "frames": f"{card.width}x{card.height} uint8 BGR, {card.fit}",
        "normalised": f"mean {_numbers(card.mean)}, std {_numbers(card.std)}, of RGB in 0..1",
        "precision": card.precision,
        "accuracy": measured,
        "payload": f"{(card.payload_bytes or path.stat().st_size) / 1e6:.1f} MB, "
        f"{f'SHA-256 {card.payload_sha256[:16]}' if card.payload_sha256 else 'without a hash'}",
        "signed by": _signer(path),
        "made with": ", ".join(f"{name} {version}" for name, version in card.tools.items()),
    }
    for name, value in rows.items():
        say(f"{name:<13} {value}")


def _numbers(values: Iterable[float]) -> str:
    return ",".join(f"{value:.4g}" for value in values)


def _architecture(card: ModelCard) -> str:
    batch_norm = "batch norm" if card.batch_norm else ""
    activation = "" if card.activation == "relu" else card.activation
    options = ", ".join(filter(None, (card.head, batch_norm, activation)))
    return f"{card.architecture} ({options})" if options else card.architecture


def _signer(path: Path) -> str:
    """The key of a file's signature, and whether it is right."""
    from edgecat_runtime.errors import BackendMissing
    from edgecat_runtime.model.artifact import read_stored
    from edgecat_runtime.model.signature import signed_message, stored_signature

    stored = read_stored(path)
    signature = stored_signature(path, stored.signature)
    if signature is None:
        return "-"
    try:
        state = (
            ""
            if signature.matches(signed_message(path, stored.text))
            else ", WRONG: modified after signing"
        )
    except BackendMissing as error:
        state = f", not checked: {error}"
    return f"{signature.key.fingerprint}{state}"
