"""What is said of a model that answers its golden frames differently here: what is known of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from edgecat_runtime import machine
from edgecat_runtime.backends import available_backends
from edgecat_runtime.card import ModelCard, Precision
from edgecat_runtime.errors import GateError

# From the form that depends most on the processor to the one that depends least on it.
_FORMS: tuple[Precision, ...] = ("int8", "fp16", "fp32")


class WrongAnswer(GateError):
    """A model answers its golden frames differently here.

    Attributes:
        reason: by how much, in a few words.
    """

    def __init__(self, sentence: str, reason: str = "") -> None:
        super().__init__(sentence)
        self.reason = reason or sentence


def wrong_answer(
    name: str, card: ModelCard, backend: str, device: str, *, error: float, limit: float
) -> WrongAnswer:
    """The refusal of a model on one backend.

    Args:
        name: of the model; its path, where it comes from a file.
        card: as `read_card` gave it.
        backend: that answered.
        device: that it ran on.
        error: worst logit error, relative to the spread of the golden logits.
        limit: the greatest error that would have been allowed.
    """
    others = [other for other in available_backends(name) if other != backend]
    return WrongAnswer(
        f"{name} on {backend} answers its golden frames {error:.1e} of their spread off (limit "
        f"{limit:.0e}). {advice([(Path(name), card)], {device}, others=others)}",
        f"its golden frames are answered {error:.1e} of their spread off (limit {limit:.0e})",
    )


def advice(
    models: Sequence[tuple[Path, ModelCard]],
    devices: Collection[str],
    *,
    others: Sequence[str] = (),
) -> str:
    """What is known of models that answered wrongly, and what to use in their place.

    Args:
        models: files, and their cards as `read_card` gave them: where a card has a hash, that was
            compared with the file.
        devices: that they ran on.
        others: backends that have not been tried.
    """
    from edgecat_runtime import __version__

    precisions = {card.precision for _, card in models}
    here = f"computed differently on this {_device(precisions, devices)}"
    if all(card.payload_sha256 for _, card in models):
        whole = "The file is intact (its hash matches)"
        if len({path for path, _ in models}) > 1:
            whole = "The files are intact (their hashes match)"
        known = f"{whole}: either it is {here}, or it was wrong when it was written"
    else:  # an engine, or a model that comes from no file
        known = f"There is no hash to check it with: it is damaged, foreign, badly built, or {here}"
    safer = _FORMS[max(map(_FORMS.index, precisions)) + 1 :]
    uses = [f"another backend ({', '.join(others)})"] if others else []
    uses += [f"the {' or '.join(safer)} form"] if safer else []
    again = "train" if any(path.suffix == ".safetensors" for path, _ in models) else "export"
    way = f"Use {' or '.join(uses)}, or {again}" if uses else again.capitalize()
    return f"{known}. {way} it again with edgecat {__version__} or later"


def _device(precisions: Collection[Precision], devices: Collection[str]) -> str:
    """Where models ran; of int8 on a processor, with the instructions that it is computed by."""
    if set(devices) != {"cpu"}:
        return f"machine's {' and '.join(sorted(devices))}"
    if "int8" not in precisions:
        return f"processor ({machine.processor()})"
    path = machine.int8_path()
    trap = ", which saturates where weights use all 8 bits" if path == "avx2" else ""
    return f"processor ({machine.processor()}; int8 path: {path}{trap})"
