"""The version, by itself: whoever states it needs nothing else of the package."""

__version__ = "0.1.0"
