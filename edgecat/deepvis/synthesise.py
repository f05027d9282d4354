"""Images synthesised to excite one unit: activation maximisation with image priors.

`toolbox`: gradient ascent from noise, with the toolbox's regularisers per step: Yosinski et al.,
2015, https://arxiv.org/abs/1506.06579, section 3. `modern`: ascent in frequency space and
decorrelated colours under random transformations: Olah et al., 2017,
https://distill.pub/2017/feature-visualization.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from edgecat.deepvis.layers import Layer
from edgecat.deepvis.probe import Probe
from edgecat.deepvis.results import Results, made_with
from edgecat_runtime.types import Image

Style = Literal["modern", "toolbox"]

STYLES: tuple[Style, ...] = ("modern", "toolbox")
_START = 10.0  # grey levels of the toolbox's initial noise
# The square root of the colour covariance of photographs, divided by its largest column norm:
# decorrelated colours. Olah et al., 2017, "preconditioning and parameterization".
_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.0, -0.05), (0.27, -0.09, 0.03))


@dataclass(frozen=True)
class Synthesis:
    """The settings of the gradient ascent.

    Attributes:
        style: `modern` or `toolbox`.
        steps: steps of gradient ascent.
        seed: seed of the noise and transformations.
        rate: Adam's learning rate (modern).
        jitter: maximum shift of the image in pixels (modern).
        stretch: maximum relative scaling (modern).
        push: maximum change of a pixel per step, in grey levels (toolbox).
        decay: decay of every pixel towards the mean per step (toolbox).
        blur: standard deviation of the blur in pixels (toolbox).
        blur_every: steps between two blurs; 0: none (toolbox).
        small_norm: percentage of the pixels, those closest to the mean, that are set to it
            (toolbox).
        small_contribution: likewise, those that contribute least to the unit (toolbox).
    """

    style: Style = "modern"
    steps: int = 128
    seed: int = 0
    rate: float = 0.05
    jitter: int = 4
    stretch: float = 0.1
    push: float = 12.0
    decay: float = 0.01
    blur: float = 0.5
    blur_every: int = 4
    small_norm: float = 30.0
    small_contribution: float = 0.0

    @property
    def digest(self) -> str:
        """A digest of the settings."""
        return hashlib.sha256(repr(asdict(self)).encode()).hexdigest()[:12]


def synthesise(
    probe: Probe, layer: Layer, units: Sequence[int], how: Synthesis
) -> tuple[list[Image], list[float]]:
    """Synthesise one image per unit of a layer, all at once.

    `modern` excites a whole map; `toolbox` its centre, and crops the image to its receptive field.

    Args:
        probe: probe of the network.
        layer: the layer of the units.
        units: unit indices.
        how: the settings.

    Returns:
        Images, uint8 (h, w, 3) BGR, and each unit's response to its own, before the
        layer's activation: the mean of its map (modern) or its centre (toolbox).
    """
    starts = torch.stack([_noise(probe, how, unit) for unit in units]).to(probe.device)
    climb = _modern if how.style == "modern" else _toolbox

    def excitement(images: Tensor) -> Tensor:
        maps = probe.before(images, layer.name)[torch.arange(len(units)), list(units)]
        if maps.ndim == 1:
            return maps
        if how.style == "modern":
            return maps.mean((1, 2))
        return maps[:, maps.shape[1] // 2, maps.shape[2] // 2]

    rgb = climb(probe, excitement, starts, how)
    with torch.no_grad():
        values = excitement(_normalised(probe, rgb)).tolist()
    frames = rgb.flip(1).permute(0, 2, 3, 1).clamp(0, 255).round().byte().cpu().numpy()
    if how.style == "toolbox" and layer.spatial:
        place = layer.shape[1] // 2, layer.shape[2] // 2
        top, left, bottom, right = layer.field.box(place, probe.card.height, probe.card.width)
        frames = frames[:, top:bottom, left:right]
    return list(frames), values


def synthesise_all(
    probe: Probe,
    results: Results,
    layers: Sequence[tuple[Layer, Sequence[int]]],
    how: Synthesis,
    *,
    batch: int = 8,
    on_units: Callable[[int], None] = lambda units: None,
) -> None:
    """Synthesise and store the images of many units; existing ones of the same settings are kept.

    Args:
        probe: probe of the network.
        results: where they are stored.
        layers: layers and their units.
        how: the settings.
        batch: units per batch.
        on_units: called with the number of units just done.

    Raises:
        UserError: an image cannot be written.
    """
    for layer, units in layers:
        facts: dict[str, Any] = results.facts(layer.name, "synthesised")
        if facts.get("how") != made_with(layer, how.digest):
            for unit in range(layer.units):
                results.path("synthesised", layer.name, unit).unlink(missing_ok=True)
            facts = {"how": made_with(layer, how.digest), "settings": asdict(how), "values": {}}
            results.note(layer.name, "synthesised", facts)
        missing = [u for u in units if not results.path("synthesised", layer.name, u).exists()]
        on_units(len(units) - len(missing))
        for start in range(0, len(missing), batch):
            some = missing[start : start + batch]
            pictures, values = synthesise(probe, layer, some, how)
            for unit, picture in zip(some, pictures, strict=True):
                results.write("synthesised", layer.name, unit, picture)
            facts["values"] |= {str(u): round(v, 5) for u, v in zip(some, values, strict=True)}
            results.note(layer.name, "synthesised", facts)
            on_units(len(some))


def _noise(probe: Probe, how: Synthesis, unit: int) -> Tensor:
    """Return the initial noise of one unit, independent of the other units in the batch."""
    generator = torch.Generator().manual_seed(how.seed * 1_000_003 + unit)
    height, width = probe.card.height, probe.card.width
    if how.style == "toolbox":
        return _START * torch.randn(3, height, width, generator=generator)
    return 0.01 * torch.randn(3, height, width // 2 + 1, 2, generator=generator)


def _normalised(probe: Probe, rgb: Tensor) -> Tensor:
    """Normalise pixels, RGB of 0..255, for the network."""
    mean = rgb.new_tensor(probe.card.mean).view(1, 3, 1, 1)
    std = rgb.new_tensor(probe.card.std).view(1, 3, 1, 1)
    return (rgb / 255 - mean) / std


def _toolbox(
    probe: Probe, excitement: Callable[[Tensor], Tensor], start: Tensor, how: Synthesis
) -> Tensor:
    """Ascend in pixel space; `start` and the result are differences to the mean colour."""
    mean = 255 * start.new_tensor(probe.card.mean).view(1, 3, 1, 1)
    picture = start
    for step in range(how.steps):
        picture = ((picture + mean).clamp(0, 255) - mean).detach().requires_grad_()
        value = excitement(_normalised(probe, picture + mean)).sum()
        slope = torch.autograd.grad(value, picture)[0]
        largest = slope.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-20)
        with torch.no_grad():
            picture = regularised(picture + how.push * slope / largest, slope, step, how)
    return (picture + mean).clamp(0, 255).detach()


def regularised(picture: Tensor, slope: Tensor, step: int, how: Synthesis) -> Tensor:
    """Apply the toolbox's four regularisers.

    Args:
        picture: float (n, 3, h, w), differences to the mean colour.
        slope: the unit's gradient by it.
        step: index of the step.
        how: the settings.
    """
    picture = picture * (1 - how.decay)
    if how.blur_every and how.blur > 0 and step % how.blur_every == 0:
        picture = _blurred(picture, how.blur)
    if how.small_norm > 0:
        picture = _without_smallest(picture, picture.norm(dim=1), how.small_norm)
    if how.small_contribution > 0:
        contribution = (picture * slope).sum(1).abs()
        picture = _without_smallest(picture, contribution, how.small_contribution)
    return picture


def _without_smallest(picture: Tensor, sizes: Tensor, percentage: float) -> Tensor:
    """Set the pixels of the smallest `sizes`, (n, h, w), to 0."""
    limits = torch.quantile(sizes.flatten(1), percentage / 100, dim=1)
    return picture * (sizes >= limits.view(-1, 1, 1)).unsqueeze(1)


def _blurred(picture: Tensor, sigma: float) -> Tensor:
    reach = max(1, round(3 * sigma))
    places = torch.arange(-reach, reach + 1, device=picture.device, dtype=picture.dtype)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    weights = (weights / weights.sum()).repeat(3, 1, 1, 1)
    picture = conv2d(pad(picture, (reach, reach, 0, 0), "replicate"), weights, groups=3)
    tall = weights.transpose(2, 3)
    return conv2d(pad(picture, (0, 0, reach, reach), "replicate"), tall, groups=3)


def _modern(
    probe: Probe, excitement: Callable[[Tensor], Tensor], start: Tensor, how: Synthesis
) -> Tensor:
    """Ascend in frequency space; `start`: real and imaginary parts, (n, 3, h, w / 2 + 1, 2)."""
    height, width = probe.card.height, probe.card.width
    spectrum = start.clone().requires_grad_()
    adam = torch.optim.Adam([spectrum], lr=how.rate)
    random = np.random.default_rng(how.seed)
    for _ in range(how.steps):
        adam.zero_grad()
        seen = _shaken(_painted(spectrum, height, width), how, random)
        (-excitement(_normalised(probe, seen)).sum()).backward()  # type: ignore[no-untyped-call]
        adam.step()
    return _painted(spectrum, height, width).detach()


def _painted(spectrum: Tensor, height: int, width: int) -> Tensor:
    """Turn spectra into RGB of 0..255; low frequencies weigh more, as in photographs."""
    rows = torch.fft.fftfreq(height, device=spectrum.device)[:, None]
    columns = torch.fft.rfftfreq(width, device=spectrum.device)[None]
    frequency = (rows**2 + columns**2).sqrt().clamp(min=1 / max(height, width))
    scale = (height * width) ** 0.5 / (4 * frequency)
    waves = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=(height, width))
    colours = spectrum.new_tensor(_COLOURS)
    colours = colours / colours.norm(dim=0).max()
    return 255 * torch.einsum("ij,njhw->nihw", colours, waves).sigmoid()


def _shaken(images: Tensor, how: Synthesis, random: np.random.Generator) -> Tensor:
    """Scale and shift all images alike by a small random amount, for robustness."""
    height, width = images.shape[2:]
    margin = how.jitter + round(how.stretch * max(height, width)) + 1
    factor = 1 + random.uniform(-how.stretch, how.stretch)
    wide = pad(images, (margin,) * 4, "reflect")
    wide = interpolate(wide, scale_factor=factor, mode="bilinear", align_corners=False)
    free = wide.shape[2] - height, wide.shape[3] - width
    reach = [min(how.jitter, side // 2) for side in free]
    top, left = (
        side // 2 + int(random.integers(-far, far + 1))
        for side, far in zip(free, reach, strict=True)
    )
    return wide[:, :, top : top + height, left : left + width]
