"""Stored results about a network's units, kept beside its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgecat.deepvis.atlas import atlas_picture
from edgecat.deepvis.layers import Layer
from edgecat.pretrained import shipped
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.cache import cache_folder
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

Kind = Literal["top", "deconv", "synthesised"]

KINDS: tuple[Kind, ...] = ("top", "deconv", "synthesised")
_FEW = 6
_SUFFIX = {"top": ".jpg", "deconv": ".jpg", "synthesised": ".png"}


def made_with(layer: Layer, digest: str) -> str:
    """What a layer's results depend on: `digest`, and for the last one that it is log odds.

    Results that an earlier edgecat made from the logits themselves are not taken for these.
    """
    return f"{digest}-odds" if layer.kind == "logits" else digest


class Results:
    """The stored images of a checkpoint's units: data that excites them, and synthesised images.

    They are in `deepvis/<the checkpoint's hash>` in the checkpoint's folder; those of the model
    shipped with edgecat are in the user's cache. Every file is written atomically, so it can be
    read at any time.

    Args:
        checkpoint: path of the checkpoint.
        card: its card.
    """

    def __init__(self, checkpoint: Path, card: ModelCard) -> None:
        self._card = card
        above = cache_folder() if shipped(checkpoint) else checkpoint.resolve().parent
        self.folder = above / "deepvis" / card.payload_sha256[:16]
        self._read: dict[Path, tuple[int, Image]] = {}

    def of_layer(self, layer: str) -> Path:
        """Return the folder of a layer."""
        return self.folder / layer.replace(":", "-")

    def path(self, kind: Kind, layer: str, unit: int) -> Path:
        """Return the path of a unit's image, whether it exists or not."""
        return self.of_layer(layer) / f"{unit:04d}-{kind}{_SUFFIX[kind]}"

    def told(self, kinds: Sequence[Kind], chosen: Sequence[tuple[Layer, Sequence[int]]]) -> str:
        """Where the images of units are: the files if they are few, else the folder."""
        files = [
            path
            for layer, units in chosen
            for unit in units
            for kind in kinds
            for name in dict.fromkeys((layer.name, layer.active))
            if (path := self.path(kind, name, unit)).is_file()
        ]
        return "\n".join(map(str, files if len(files) <= _FEW else [self.folder]))

    def picture(self, kind: Kind, layer: Layer, unit: int) -> Image | None:
        """Read the image of a unit, or of its activation; None if there is none yet.

        Repeated calls are cheap: a file is decoded again only after it has changed.

        Args:
            kind: `top`, the parts of the data that excite it most, in a 3 x 3 grid; `deconv`, the
                deconvolution of each of them; `synthesised`, an image made to excite it (of the
                bundled model, at least the small one of the atlas).
            layer: the unit's layer.
            unit: its index.

        Returns:
            uint8 (h, w, 3) BGR.
        """
        for name in dict.fromkeys((layer.name, layer.active)):
            found = self._picture(self.path(kind, name, unit))
            if found is not None:
                return found
        return atlas_picture(self._card, layer, unit) if kind == "synthesised" else None

    def write(self, kind: Kind, layer: str, unit: int, picture: Image) -> None:
        """Write a unit's image.

        Raises:
            UserError: it cannot be written.
        """
        cv2 = cv2_module()
        path = self.path(kind, layer, unit)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix == ".jpg" else []
        atomic_write(path, cv2.imencode(path.suffix, picture, quality)[1].tobytes())

    def facts(self, layer: str, name: str) -> dict[str, Any]:
        """Read a layer's figures, `name.json`; empty if there are none."""
        try:
            text = (self.of_layer(layer) / f"{name}.json").read_text(encoding="utf-8")
            found: dict[str, Any] = json.loads(text)
        except (OSError, ValueError):
            return {}
        return found

    def note(self, layer: str, name: str, facts: dict[str, Any]) -> None:
        """Write a layer's figures."""
        atomic_write(self.of_layer(layer) / f"{name}.json", json.dumps(facts, ensure_ascii=False))

    def _picture(self, path: Path) -> Image | None:
        try:
            changed = path.stat().st_mtime_ns
            if path not in self._read or self._read[path][0] != changed:
                data = np.frombuffer(path.read_bytes(), np.uint8)
                image = cv2_module().imdecode(data, cv2_module().IMREAD_COLOR)
                if image is None:
                    return None
                if len(self._read) > 64:
                    self._read.clear()
                self._read[path] = (changed, np.asarray(image, np.uint8))
        except OSError:
            return None
        return self._read[path][1]


def chosen_units(
    text: str | None, layers: Sequence[Layer]
) -> list[tuple[Layer, range | list[int]]]:
    """Parse a unit selection for several layers, as `units_named` does.

    Raises:
        UserError: the text is invalid, or no layer has any of these units.
    """
    chosen = [(layer, units_named(text, layer)) for layer in layers]
    if not any(units for _, units in chosen):
        most = max(layer.units for layer in layers)
        raise UserError(f"no layer has units {text}; expected 0 to {most - 1}")
    return chosen


def units_named(text: str | None, layer: Layer) -> range | list[int]:
    """Parse a unit selection: `3`, `0-15`, `0-3,9`; None: all.

    Units that the layer does not have are ignored.

    Raises:
        UserError: the text is invalid.
    """
    if text is None:
        return range(layer.units)
    chosen: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(
                f"invalid units {text!r}; expected numbers and ranges such as 3 or 0-15,20"
            )
        chosen.update(range(int(first), min(int(last or first), layer.units - 1) + 1))
    return sorted(unit for unit in chosen if unit < layer.units)
