"""The card inside a TensorRT engine: found in the file's bytes, so any machine can read it.

An engine ("plan") keeps the network's name as it is, near its beginning, and that name is the card.
Finding it needs neither TensorRT nor a GPU, which an engine built elsewhere would refuse anyway;
the card's own digest proves that it is one and whole.
"""

from __future__ import annotations

import mmap
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.card import MAX_BYTES, CardError, ModelCard

# JSON escapes quotes inside strings, so the digest's key occurs only as a key. The bound on its
# length keeps a damaged card from swallowing the engine.
_CARD = re.compile(rb'\{"architecture":.{1,%d}?,"digest":"[0-9a-f]{64}"\}' % MAX_BYTES, re.DOTALL)


def card_in_plan(plan: Any) -> ModelCard | None:
    """Find the card in an engine.

    Args:
        plan: the serialised engine, anything with the buffer protocol.

    Returns:
        The card, labels replaced by class numbers where it left them out; None where there is none.

    Raises:
        CardDamaged: what was found does not match its digest.
        CardError: a card of the future.
    """
    found = _CARD.search(plan)
    text = found.group().decode(errors="replace") if found else ""
    del found  # it would keep the plan open while an error is told
    return ModelCard.from_json(text) if text else None


def read_plan(file: BinaryIO, path: Path) -> ModelCard:
    """Read the card of an open engine file; `path` names it in errors.

    Raises:
        CardDamaged: the card in it is not what was written.
        CardError: it is empty, or has no card, or one of the future.
    """
    if file.seek(0, 2):  # nothing cannot be mapped
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as plan:
            if card := card_in_plan(plan) or _named(plan, path):
                return card
    raise CardError(
        f"{path} has no model card. Build an engine that has: edgecat export MODEL.onnx --to "
        f"{'trt-rtx' if path.suffix == '.rtx' else 'trt'}"
    )


def _named(plan: Any, path: Path) -> ModelCard | None:
    """Ask TensorRT, where it is at hand, for a name that the plan does not keep in plain text."""
    from edgecat_runtime.nvidia.tensorrt import KINDS, tensorrt

    kind = next(kind for kind in KINDS.values() if kind.suffix == path.suffix)
    with suppress(EdgecatError, TypeError):  # not installed; TypeError: no GPU for a runtime
        api = tensorrt(kind.flavour)
        engine = api.trt.Runtime(api.logger).deserialize_cuda_engine(plan)
        return ModelCard.from_json(engine.name) if engine is not None else None
    return None
