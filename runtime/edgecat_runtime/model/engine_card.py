"""The card inside a TensorRT engine: found in the file's bytes, so any machine can read it.

An engine ("plan") stores the network's name verbatim near its beginning, and that name is the card.
Reading it needs neither TensorRT nor the GPU that the engine was built for; the card's own digest
proves that it is a card and intact.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.card import MAX_BYTES, CardMissing, ModelCard

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
    text = next(_texts(plan), "")
    return ModelCard.from_json(text) if text else None


def _texts(plan: Any) -> Iterator[str]:
    """What looks like a card, in time proportional to the engine's length."""
    end = 0
    while found := _LAST.search(plan, end):
        start, end = max(found.start() - MAX_BYTES, end), found.end()
        del found  # it would keep the plan open while an error is handled
        before = bytes(memoryview(plan)[start:end])
        if (first := before.rfind(_FIRST)) >= 0:
            yield before[first:].decode(errors="replace")


def read_plan(file: BinaryIO, path: Path) -> ModelCard:
    """Read the card of an open engine file; `path` names it in errors.

    Raises:
        CardDamaged: the card was modified after it was written.
        CardError: the file is empty, has no card, or a card with a newer schema.
    """
    if file.seek(0, 2):  # an empty file cannot be mapped
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as plan:
            if card := card_in_plan(plan) or _named(plan, path):
                return card
    raise CardMissing(
        f"{path} has no model card. Build it with edgecat export MODEL.onnx --to "
        f"{'trt-rtx' if path.suffix == '.rtx' else 'trt'}"
    )


def _named(plan: Any, path: Path) -> ModelCard | None:
    """Read the name through TensorRT, if installed, if it is not stored as plain text."""
    from edgecat_runtime.nvidia.tensorrt import KINDS, tensorrt

    kind = next(kind for kind in KINDS.values() if kind.suffix == path.suffix)
    with suppress(EdgecatError, TypeError):  # not installed; TypeError: no GPU for a runtime
        api = tensorrt(kind.flavour)
        engine = api.trt.Runtime(api.logger).deserialize_cuda_engine(plan)
        return ModelCard.from_json(engine.name) if engine is not None else None
    return None
