"""Explains a prediction: Grad-CAM, occlusion, and the units that contributed most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat.deepvis.layers import Layer
from edgecat.deepvis.probe import Probe, Seen
from edgecat.deepvis.rendering import enlarged, unfitted
from edgecat_runtime.types import Image, Values

Progress = Callable[[int], None]
Box = tuple[int, int, int, int]

UNITS = 8
_BATCH = 16
_PATCH = 4  # patches per side
_OVERLAP = 4  # steps per patch


@dataclass(frozen=True)
class UnitSeen:
    """One unit's contribution to a prediction.

    Attributes:
        unit: its index.
        logit: what it adds to the class's log odds: its map times their gradient, summed.
        map: its activation map, float32 (rows, columns).
        back: its guided back-propagation to the pixels, float32 (height, width, 3).
    """

    unit: int
    logit: float
    map: Values
    back: Values


@dataclass(frozen=True)
class Explanation:
    """The explanation of a prediction.

    Attributes:
        picture: the original image, uint8 (h, w, 3) BGR.
        seen: the network's input and outputs.
        label: the explained class.
        gradcam: the evidence for it, float32 (h, w), 0 or more.
        occlusion: the drop of the class's log odds when a region is hidden, float32 (h, w).
        layer: the layer of the units.
        units: the units that contribute most to the class, strongest first.
    """

    picture: Image
    seen: Seen
    label: int
    gradcam: Values
    occlusion: Values
    layer: Layer
    units: tuple[UnitSeen, ...]


def explain(
    probe: Probe,
    picture: Image,
    label: int | None = None,
    *,
    on_frames: Progress = lambda frames: None,
) -> Explanation:
    """Explain a prediction.

    Args:
        probe: probe of the network.
        picture: uint8 (h, w, 3) BGR.
        label: the class to explain; None: the predicted one.
        on_frames: called with the number of occluded frames just done, of `occlusions(probe)`.
    """
    layer = probe.last_maps
    seen = probe.run(picture, [layer.name])
    label = int(seen.logits.argmax()) if label is None else label
    height, width = seen.frame.shape[:2]
    cam = enlarged(probe.gradcam(seen.frame, label), height, width)
    hidden = occlusion(probe, seen.frame, label, on_frames=on_frames)
    whole = picture.shape[0], picture.shape[1], probe.card.fit
    units = tuple(strongest_units(probe, seen, label, layer))
    return Explanation(
        picture, seen, label, unfitted(cam, *whole), unfitted(hidden, *whole), layer, units
    )


def strongest_units(
    probe: Probe, seen: Seen, label: int, layer: Layer, count: int = UNITS
) -> Iterator[UnitSeen]:
    """Yield the units of a layer that add most to a class's log odds, and how they do.

    Args:
        probe: probe of the network.
        seen: its outputs, with the maps of `layer`.
        label: the class.
        layer: of maps, at best without another activation between it and the logits: then, for
            two classes, the parts and the bias sum to the log odds.
        count: maximum number of units.
    """
    maps = seen.maps[layer.name]
    slopes = probe.derivatives(seen.frame, probe.layers[-1].name, label, layer.name)
    parts = (maps * slopes).sum((1, 2))
    for unit in np.argsort(-parts, kind="stable")[:count].tolist():
        back = probe.backprop(seen.frame, layer.name, unit, how="guided")
        yield UnitSeen(unit, float(parts[unit]), maps[unit], back)


def occlusions(probe: Probe) -> int:
    """Count the frames that `occlusion` evaluates."""
    return len(_patches(probe.card.height, probe.card.width))


def occlusion(
    probe: Probe,
    frame: Image,
    label: int,
    *,
    overlap: int = _OVERLAP,
    on_frames: Progress = lambda frames: None,
) -> Values:
    """Slide a grey patch over a frame and measure how much the class loses.

    Zeiler and Fergus, 2013, https://arxiv.org/abs/1311.2901, section 4.2. They map the class
    probability; this maps the drop of its log odds, which does not saturate when the network is
    confident. The patch is a quarter of the frame per side, in the card's mean
    colour; a pixel's value is the mean over the patches that cover it.

    Args:
        probe: probe of the network.
        frame: uint8 (height, width, 3) BGR, already fitted to the input.
        label: the class.
        overlap: steps per patch side; the cost grows with its square.
        on_frames: called with the number of frames just done.

    Returns:
        float32 (height, width); positive where the network relies on the region.
    """
    height, width = frame.shape[:2]
    boxes = _patches(height, width, overlap)
    grey = np.rint(255 * np.array(probe.card.mean[::-1])).astype(np.uint8)
    whole = _log_odds(probe, frame[None], label)[0]
    falls, covered = np.zeros((height, width)), np.zeros((height, width))
    for start in range(0, len(boxes), _BATCH):
        some = boxes[start : start + _BATCH]
        frames = np.repeat(frame[None], len(some), 0)
        for hidden, (top, left, bottom, right) in zip(frames, some, strict=True):
            hidden[top:bottom, left:right] = grey
        odds = _log_odds(probe, frames, label)
        for (top, left, bottom, right), value in zip(some, odds, strict=True):
            falls[top:bottom, left:right] += whole - value
            covered[top:bottom, left:right] += 1
        on_frames(len(some))
    return (falls / covered).astype(np.float32)


def _log_odds(probe: Probe, frames: Image, label: int) -> NDArray[np.float64]:
    """The log odds of a class, (n,)."""
    name = probe.layers[-1].name
    found: NDArray[np.float64] = probe.activations(frames, [name])[name].double().cpu().numpy()
    return found[:, label]


def _patches(height: int, width: int, overlap: int = _OVERLAP) -> Sequence[Box]:
    """Return top, left, bottom, right of each patch, cut at the edges; they cover the frame."""
    high, wide = max(1, height // _PATCH), max(1, width // _PATCH)
    down, across = max(1, high // overlap), max(1, wide // overlap)
    return [
        (max(y, 0), max(x, 0), min(y + high, height), min(x + wide, width))
        for y in range(down - high, height, down)
        for x in range(across - wide, width, across)
    ]
