"""Backends: one protocol, one registry. A backend's library is imported on opening."""

from edgecat_runtime.backends import builtin  # noqa: F401  (registers them)
from edgecat_runtime.backends.base import (
    Backend,
    BackendEntry,
    available_backends,
    backend_entries,
    open_backend,
    register_backend,
)

__all__ = [
    "Backend",
    "BackendEntry",
    "available_backends",
    "backend_entries",
    "open_backend",
    "register_backend",
]
