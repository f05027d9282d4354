"""edgecat: train an image classifier once, ship it to any edge device, prove its answers there."""

__version__ = "0.1.0"
