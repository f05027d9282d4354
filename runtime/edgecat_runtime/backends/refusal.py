"""The error for a model that fails its self-test here, and what is known about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from edgecat_runtime._version import __version__
from edgecat_runtime.backends import available_backends
from edgecat_runtime.errors import GateError
from edgecat_runtime.model.card import ModelCard, Precision
from edgecat_runtime.system import machine

# From the precision that depends most on the processor to the one that depends least on it.
_FORMS: tuple[Precision, ...] = ("int8", "fp16", "fp32")


class WrongAnswer(GateError):
    """A model fails its self-test: its golden-frame logits differ here.

    Attributes:
        reason: by how much, briefly.
    """

    def __init__(self, sentence: str, reason: str = "") -> None:
        super().__init__(sentence)
        self.reason = reason or sentence


def wrong_answer(
    name: str, card: ModelCard, backend: str, device: str, *, error: float, limit: float
) -> WrongAnswer:
    """The error for a model that fails its self-test on one backend.

    Args:
        name: name of the model; its path, if it comes from a file.
        card: its card, as `read_card` returned it.
        backend: name of the backend.
        device: the device it ran on.
        error: maximum logit error, relative to the spread of the golden logits.
        limit: the maximum error allowed.
    """
    others = [other for other in available_backends(name) if other != backend]
    return WrongAnswer(
        f"{name} on {backend}: logits of the golden frames differ by {error:.1e} of their "
        f"spread (limit {limit:.0e}). {advice([(Path(name), card)], {device}, others=others)}",
        f"logits of the golden frames differ by {error:.1e} of their spread (limit {limit:.0e})",
    )


def advice(
    models: Sequence[tuple[Path, ModelCard]],
    devices: Collection[str],
    *,
    others: Sequence[str] = (),
) -> str:
    """What is known about models that failed their self-test, and what to use instead.

    Args:
        models: files, and their cards as `read_card` returned them: if a card has a hash, it has
            been compared with the file.
        devices: the devices they ran on.
        others: backends that have not been tried.
    """
    precisions = {card.precision for _, card in models}
    here = f"computed differently on this {_device(precisions, devices)}"
    if all(card.payload_sha256 for _, card in models):
        whole = "The file is intact (its hash matches)"
        if len({path for path, _ in models}) > 1:
            whole = "The files are intact (their hashes match)"
        known = f"{whole}: either it is {here}, or it was wrong when it was written"
    else:  # an engine, or a model that comes from no file
        known = f"It has no hash to verify: it is damaged, foreign, badly built, or {here}"
    safer = _FORMS[max(map(_FORMS.index, precisions)) + 1 :]
    uses = [f"another backend ({', '.join(others)})"] if others else []
    uses += [f"the {' or '.join(safer)} version"] if safer else []
    again = "train" if any(path.suffix == ".safetensors" for path, _ in models) else "export"
    way = f"Use {' or '.join(uses)}, or {again}" if uses else again.capitalize()
    return f"{known}. {way} it again with edgecat {__version__} or later"


def _device(precisions: Collection[Precision], devices: Collection[str]) -> str:
    """Where models ran; for int8 on a processor, with the instructions used."""
    if set(devices) != {"cpu"}:
        return f"machine's {' and '.join(sorted(devices))}"
    if "int8" not in precisions:
        return f"processor ({machine.processor()})"
    path = machine.int8_path()
    trap = ", which saturates where weights use all 8 bits" if path == "avx2" else ""
    return f"processor ({machine.processor()}; int8 path: {path}{trap})"
