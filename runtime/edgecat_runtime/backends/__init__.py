"""Backends: one protocol, one registry. Opening one is what imports its library."""

from edgecat_runtime.backends.base import (
    Backend,
    available_backends,
    open_backend,
    register_backend,
)

__all__ = ["Backend", "available_backends", "open_backend", "register_backend"]
