"""edgecat: train an image classifier once, ship it to any edge device, prove its answers there."""

from edgecat._version import __version__ as __version__
