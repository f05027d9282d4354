"""Frames from any source: every one of a file, the newest of a live one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecat_runtime.camera.camera import Camera as Camera
    from edgecat_runtime.camera.frames import Frame as Frame
    from edgecat_runtime.camera.frames import Signal as Signal
    from edgecat_runtime.camera.frames import StatusEvent as StatusEvent
    from edgecat_runtime.camera.opening import open_source as open_source
    from edgecat_runtime.camera.opening import register_source as register_source
    from edgecat_runtime.camera.source import Shot as Shot
    from edgecat_runtime.camera.source import Source as Source
    from edgecat_runtime.camera.source import SourceOptions as SourceOptions

_HOMES = {
    "Camera": "camera",
    "Frame": "frames",
    "Shot": "source",
    "Signal": "frames",
    "Source": "source",
    "SourceOptions": "source",
    "StatusEvent": "frames",
    "open_source": "opening",
    "register_source": "opening",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
