"""VGG: very deep convolutional networks for large-scale image recognition.

Source: Simonyan and Zisserman, 2014, https://arxiv.org/abs/1409.1556, table 1. Parameter names
and shapes are torchvision's (`features.N`, `classifier.N`), so that official weights load.
"""

from __future__ import annotations

from edgecat.models.parts import Layers
from edgecat.models.plain import PlainNetwork

# Widths of the 3x3 convolutions, "M" for a 2x2 max pool: configurations A, B, D and E.
VGG11: Layers = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
VGG13: Layers = (64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
VGG16: Layers = (
    *(64, 64, "M"),
    *(128, 128, "M"),
    *(256, 256, 256, "M"),
    *(512, 512, 512, "M"),
    *(512, 512, 512, "M"),
)  # fmt: skip
VGG19: Layers = (
    *(64, 64, "M"),
    *(128, 128, "M"),
    *(256, 256, 256, 256, "M"),
    *(512, 512, 512, 512, "M"),
    *(512, 512, 512, 512, "M"),
)  # fmt: skip
DENSE: Layers = (4096, 4096)


class VGG(PlainNetwork):
    """A VGG: 3x3 convolutions and 2x2 max pools; arguments and errors as for `PlainNetwork`.

    VGG16 takes inputs of 32 pixels or more. Its dense head pools the features to 7 x 7; `gap`
    replaces 124 M parameters. With batch norm it is torchvision's `vgg16_bn`.
    """

    pool = (2, 2, 0)
    pooled = 7
