"""AlexNet, in torchvision's variant, which the official weights require.

Source: Krizhevsky, Sutskever and Hinton, 2012, https://doi.org/10.1145/3065386; the widths, without
local response normalisation: Krizhevsky, 2014, https://arxiv.org/abs/1404.5997, footnote 1.
"""

from __future__ import annotations

from torch import nn

from edgecat.models.parts import Layers, activation
from edgecat.models.plain import PlainNetwork

ALEXNET: Layers = (64, "M", 192, "M", 384, 256, 256, "M")
DENSE: Layers = (4096, 4096)


class AlexNet(PlainNetwork):
    """AlexNet, for inputs of 63 pixels or more; arguments and errors as for `PlainNetwork`.

    Its dense head pools the features to 6 x 6; the published network has no batch norm.
    """

    first = ((11, 4, 2), (5, 1, 2))
    pool = (3, 2, 0)
    pooled = 6

    @staticmethod
    def dense_layer(inputs: int, outputs: int, dropout: float, active: str) -> list[nn.Module]:
        """Return the modules of one hidden dense layer; here the dropout comes first."""
        return [nn.Dropout(dropout), nn.Linear(inputs, outputs), activation(active)]
