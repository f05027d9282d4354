"""Architectures as PyTorch modules: normalised RGB in, logits out."""

from edgecat.models.registry import ARCHITECTURES, Architecture, architecture, build_model
from edgecat.models.vgg import VGG

__all__ = ["ARCHITECTURES", "VGG", "Architecture", "architecture", "build_model"]
