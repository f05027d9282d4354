"""Network visualisation: activations, back-propagation to the pixels, synthesised images.

After Yosinski et al., 2015, Understanding Neural Networks Through Deep Visualization,
https://arxiv.org/abs/1506.06579.
"""

from edgecat.deepvis.layers import Field, Layer
from edgecat.deepvis.probe import Probe, Seen, open_probe
from edgecat.deepvis.propagation import PROPAGATIONS

__all__ = ["PROPAGATIONS", "Field", "Layer", "Probe", "Seen", "open_probe"]
