"""Inception v3: rethinking the Inception architecture, with an auxiliary classifier in training.

Source: Szegedy et al., 2015, https://arxiv.org/abs/1512.00567, table 1 and figures 5 to 8. Names
and shapes of the parameters are torchvision's, so that official weights load. These expect RGB in
-1..1: what torchvision's `transform_input` computes from its usual normalisation is a card's mean
and standard deviation of 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor, cat, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, max_pool2d

from edgecat.models.auxiliary import Trunk
from edgecat.models.parts import ConvNorm, Layers, initialise
from edgecat_runtime.model.card import ModelCard

SMALLEST = 75


@dataclass(frozen=True)
class Form:
    """The structure of a block.

    Attributes:
        branches: each a chain of steps; a step names its convolutions with their kernels; several
            convolutions in a step run in parallel.
        halves: the last step of a branch has stride 2, and a max pool is added as a branch;
            else an average pool with the 1x1 convolution `branch_pool`.
    """

    branches: tuple[tuple[str, ...], ...]
    halves: bool = False


A = Form(
    (
        ("branch1x1:1x1",),
        ("branch5x5_1:1x1", "branch5x5_2:5x5"),
        ("branch3x3dbl_1:1x1", "branch3x3dbl_2:3x3", "branch3x3dbl_3:3x3"),
    )
)
B = Form(
    (("branch3x3:3x3",), ("branch3x3dbl_1:1x1", "branch3x3dbl_2:3x3", "branch3x3dbl_3:3x3")),
    halves=True,
)
C = Form(
    (
        ("branch1x1:1x1",),
        ("branch7x7_1:1x1", "branch7x7_2:1x7", "branch7x7_3:7x1"),
        (
            *("branch7x7dbl_1:1x1", "branch7x7dbl_2:7x1", "branch7x7dbl_3:1x7"),
            *("branch7x7dbl_4:7x1", "branch7x7dbl_5:1x7"),
        ),
    )
)
D = Form(
    (
        ("branch3x3_1:1x1", "branch3x3_2:3x3"),
        ("branch7x7x3_1:1x1", "branch7x7x3_2:1x7", "branch7x7x3_3:7x1", "branch7x7x3_4:3x3"),
    ),
    halves=True,
)
E = Form(
    (
        ("branch1x1:1x1",),
        ("branch3x3_1:1x1", "branch3x3_2a:1x3 branch3x3_2b:3x1"),
        (
            *("branch3x3dbl_1:1x1", "branch3x3dbl_2:3x3"),
            "branch3x3dbl_3a:1x3 branch3x3dbl_3b:3x1",
        ),
    )
)

# The first convolutions: name, kernel, stride, padding and width.
STEM = (
    ("Conv2d_1a_3x3", 3, 2, 0, 32),
    ("Conv2d_2a_3x3", 3, 1, 0, 32),
    ("Conv2d_2b_3x3", 3, 1, 1, 64),
    ("Conv2d_3b_1x1", 1, 1, 0, 80),
    ("Conv2d_4a_3x3", 3, 1, 0, 192),
)
# The blocks: name, form and the widths of the convolutions in the order of the form.
BLOCKS: tuple[tuple[str, Form, Layers], ...] = (
    ("Mixed_5b", A, (64, 48, 64, 64, 96, 96, 32)),
    ("Mixed_5c", A, (64, 48, 64, 64, 96, 96, 64)),
    ("Mixed_5d", A, (64, 48, 64, 64, 96, 96, 64)),
    ("Mixed_6a", B, (384, 64, 96, 96)),
    ("Mixed_6b", C, (192, 128, 128, 192, 128, 128, 128, 128, 192, 192)),
    ("Mixed_6c", C, (192, 160, 160, 192, 160, 160, 160, 160, 192, 192)),
    ("Mixed_6d", C, (192, 160, 160, 192, 160, 160, 160, 160, 192, 192)),
    ("Mixed_6e", C, (192, 192, 192, 192, 192, 192, 192, 192, 192, 192)),
    ("Mixed_7a", D, (192, 320, 192, 192, 192, 192)),
    ("Mixed_7b", E, (320, 384, 384, 384, 448, 384, 384, 384, 192)),
    ("Mixed_7c", E, (320, 384, 384, 384, 448, 384, 384, 384, 192)),
)
AUXILIARY: Layers = (128, 768)
INCEPTION_V3: Layers = (
    *(width for *_, width in STEM),
    *(width for *_, widths in BLOCKS for width in widths),
    *AUXILIARY,
)


class Mixed(nn.Module):
    """Parallel branches, concatenated.

    Args:
        form: structure of the branches.
        inputs: input channels.
        widths: an iterator over the widths of the convolutions.
        active: the activation.
    """

    branch_pool: nn.Module

    def __init__(self, form: Form, inputs: int, widths: Iterator[int], active: str) -> None:
        super().__init__()
        self._halves = form.halves
        self._branches = [[_names(step) for step in branch] for branch in form.branches]
        self.outputs = inputs if form.halves else 0
        for branch in form.branches:
            channels = inputs
            for step in branch:
                stride = 2 if form.halves and step == branch[-1] else 1
                channels = self._add(step, channels, stride, widths, active)
            self.outputs += channels
        if not form.halves:
            self.outputs += self._add("branch_pool:1x1", inputs, 1, widths, active)

    def _add(self, step: str, inputs: int, stride: int, widths: Iterator[int], active: str) -> int:
        """Add the convolutions of a step; return their total channels."""
        total = 0
        for convolution in step.split():
            name, _, size = convolution.partition(":")
            kernel = tuple(map(int, size.split("x")))
            padding = tuple(side // 2 for side in kernel) if stride == 1 else 0
            width = next(widths)
            conv = ConvNorm(
                inputs, width, active=active, kernel_size=kernel, stride=stride, padding=padding
            )
            self.add_module(name, conv)
            total += width
        return total

    def forward(self, maps: Tensor) -> Tensor:
        """Map float (n, inputs, h, w) to (n, outputs, h, w), halved with a form that halves."""
        results = []
        for branch in self._branches:
            branched = maps
            for names in branch:
                branched = cat([getattr(self, name)(branched) for name in names], 1)
            results.append(branched)
        pooled = max_pool2d(maps, 3, 2) if self._halves else avg_pool2d(maps, 3, 1, 1)
        results.append(pooled if self._halves else self.branch_pool(pooled))
        return cat(results, 1)


class SideExit(nn.Module):
    """The auxiliary classifier: float (n, inputs, h, w) to logits (n, classes).

    Its published 5x5 average windows of stride 3 need maps of 17x17, an input of 299 pixels;
    smaller maps are averaged to the same 5x5 adaptively.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], classes: int, active: str) -> None:
        """Build it; `widths` are those of its two convolutions."""
        super().__init__()
        first, second = widths
        self.conv0 = ConvNorm(inputs, first, active=active, kernel_size=1)
        self.conv1 = ConvNorm(first, second, active=active, kernel_size=5)
        self.fc = nn.Linear(second, classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the logits."""
        small = min(maps.shape[2:]) < 17
        pooled = adaptive_avg_pool2d(maps, 5) if small else avg_pool2d(maps, 5, 3)
        logits: Tensor = self.fc(self.conv1(self.conv0(pooled)).mean((2, 3)))
        return logits


class InceptionV3(Trunk):
    """Inception v3 built from one tuple of widths.

    Args:
        layers: widths, in the order of `INCEPTION_V3`.
        classes: number of logits.
        height: height of the input in pixels, at least 75.
        width: width of the input in pixels.
        dropout: rate before the dense layer while training; 0.5 as torchvision's.
        active: the activation, by its name in `edgecat.models.parts.ACTIVATIONS`.

    Raises:
        ValueError: too many or too few widths, an input too small, or an unknown activation.
    """

    stages = (
        *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
        *("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
        *(name for name, *_ in BLOCKS),
    )
    side_exits: ClassVar[Mapping[str, str]] = {"Mixed_6e": "AuxLogits"}
    share = 0.4

    def __init__(
        self,
        layers: Layers,
        classes: int,
        *,
        height: int = 299,
        width: int = 299,
        dropout: float = 0.5,
        active: str = "relu",
    ) -> None:
        """Build the network with newly initialised weights (`initialise`)."""
        super().__init__()
        if len(layers) != len(INCEPTION_V3) or min(height, width) < SMALLEST:
            raise ValueError(f"invalid Inception v3: {len(layers)} widths, input {height}x{width}")
        widths = iter([int(width) for width in layers])
        channels = 3
        for name, kernel, stride, padding, _ in STEM:
            shape = {"kernel_size": kernel, "stride": stride, "padding": padding}
            conv = ConvNorm(channels, next(widths), active=active, **shape)
            self.add_module(name, conv)
            channels = conv.conv.out_channels
        self.maxpool1, self.maxpool2 = nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2)
        auxiliary = tuple(int(width) for width in layers[-2:])
        for name, form, _ in BLOCKS:
            block = Mixed(form, channels, widths, active)
            self.add_module(name, block)
            channels = block.outputs
            if exit_ := self.side_exits.get(name):
                self.add_module(exit_, SideExit(channels, auxiliary, classes, active))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)
        self.apply(partial(initialise, active=active))


def from_card(card: ModelCard) -> InceptionV3:
    """Build the Inception v3 that a card describes; raises as `InceptionV3`."""
    return InceptionV3(
        card.layers,
        card.classes,
        height=card.height,
        width=card.width,
        dropout=card.dropout,
        active=card.activation,
    )


def _names(step: str) -> tuple[str, ...]:
    return tuple(convolution.partition(":")[0] for convolution in step.split())
