"""The version, in its own module so that importing it needs nothing else of the package."""

__version__ = "0.1.0"
