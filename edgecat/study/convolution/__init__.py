"""What do convolution and pooling do to an image? Filters, padding, pooling, receptive fields.

Filters: Sobel and Feldman, 1968. Max pooling: Yamaguchi et al., 1990; that downsampling breaks
shift invariance: Zhang, 2019, https://arxiv.org/abs/1904.11486. VGG16: Simonyan and
Zisserman, 2014, https://arxiv.org/abs/1409.1556.
"""

from edgecat.study.convolution.measured import Convolution

__all__ = ["Convolution"]
