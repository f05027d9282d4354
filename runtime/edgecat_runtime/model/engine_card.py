"""The card inside a TensorRT engine: found in the file's bytes, so any machine can read it.

An engine ("plan") stores the network's name verbatim near its beginning, and that name is the card.
Reading it needs neither TensorRT nor the GPU that the engine was built for; the card's own digest
proves that it is a card and intact. The card also has the SHA-256 of all other bytes: it is built
with a placeholder, whose 64 characters `sealed_plan` replaces, so that nothing else moves.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.card import (
    MAX_BYTES,
    CardDamaged,
    CardMissing,
    ModelCard,
    with_payload_hash,
)

UNSEALED = "0" * 64
"""The hash in the card of an engine that is not sealed yet, or cannot be: it stands for none."""

# JSON escapes quotes inside strings, so a card's first and last keys occur only as keys. The last
# is searched first: digests are few, and each looks back only as far as a card is long.
_FIRST = b'{"architecture":'
_LAST = re.compile(rb',"digest":"[0-9a-f]{64}"\}')


def card_in_plan(plan: Any) -> ModelCard | None:
    """Find the card in an engine.

    Args:
        plan: the serialised engine, anything with the buffer protocol.

    Returns:
        The card, with class numbers for labels if it omits them; None if there is none.

    Raises:
        CardDamaged: the card does not match its digest.
        CardError: the card has a newer schema.
    """
    _, _, text = next(_texts(plan), (0, 0, ""))
    return ModelCard.from_json(text) if text else None


def sealed_plan(plan: Any) -> bytearray:
    """Write the hash of an engine's bytes into its card.

    Args:
        plan: an engine whose card has `UNSEALED` for its payload hash.

    Returns:
        A copy of it, of the same length, in which 64 characters of the card and its digest differ.

    Raises:
        CardMissing: it has no such card.
    """
    start, end, text = next(_texts(plan), (0, 0, ""))
    if UNSEALED not in text:
        raise CardMissing("the engine has no card that can be sealed")
    sealed = bytearray(plan)
    sealed[start:end] = with_payload_hash(text, _hash_around(sealed, start, end)).encode()
    return sealed


def _hash_around(plan: Any, start: int, end: int) -> str:
    """SHA-256 of all bytes but the card's."""
    with memoryview(plan) as view:
        digest = hashlib.sha256(view[:start])
        digest.update(view[end:])
    return digest.hexdigest()


def _texts(plan: Any) -> Iterator[tuple[int, int, str]]:
    """What looks like a card, and where, in time proportional to the engine's length."""
    end = 0
    while found := _LAST.search(plan, end):
        start, end = max(found.start() - MAX_BYTES, end), found.end()
        del found  # it would keep the plan open while an error is handled
        before = bytes(memoryview(plan)[start:end])
        if (first := before.rfind(_FIRST)) >= 0:
            yield start + first, end, before[first:].decode(errors="replace")


def read_plan(file: BinaryIO, path: Path) -> ModelCard:
    """Read the card of an open engine file; `path` names it in errors.

    Returns:
        The card. Its payload hash has been compared with the file; it is empty if the engine has
        none, as those of earlier releases.

    Raises:
        CardDamaged: the engine or its card was modified after it was written.
        CardError: the file is empty, has no card, or a card with a newer schema.
    """
    if file.seek(0, 2):  # an empty file cannot be mapped
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as plan:
            if card := _whole_card(plan, path) or _named(plan, path):
                return card
    raise CardMissing(
        f"{path} has no model card. Build it with edgecat export MODEL.onnx --to "
        f"{'trt-rtx' if path.suffix == '.rtx' else 'trt'}"
    )


def _whole_card(plan: Any, path: Path) -> ModelCard | None:
    """The card in an engine whose hash, if it has one, is right; None if there is no card."""
    start, end, text = next(_texts(plan), (0, 0, ""))
    if not text:
        return None
    card = ModelCard.from_json(text)
    if card.payload_sha256 not in ("", UNSEALED, _hash_around(plan, start, end)):
        raise CardDamaged(
            f"{path} was modified after it was written, or is truncated: its hash does not match. "
            "Copy it again or export it again"
        )
    return _without_placeholder(card)


def _without_placeholder(card: ModelCard) -> ModelCard:
    return replace(card, payload_sha256="") if card.payload_sha256 == UNSEALED else card


def _named(plan: Any, path: Path) -> ModelCard | None:
    """Read the name through TensorRT, if installed, if it is not stored as plain text."""
    from edgecat_runtime.nvidia.tensorrt import KINDS, tensorrt

    kind = next(kind for kind in KINDS.values() if kind.suffix == path.suffix)
    with suppress(EdgecatError, TypeError):  # not installed; TypeError: no GPU for a runtime
        api = tensorrt(kind.flavour)
        engine = api.trt.Runtime(api.logger).deserialize_cuda_engine(plan)
        if engine is not None:  # where its card lies, and so its hash, is not known
            return replace(ModelCard.from_json(engine.name), payload_sha256="")
    return None
