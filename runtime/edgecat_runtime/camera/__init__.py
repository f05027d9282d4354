"""Frames from any source: every one of a file, the newest of a live one."""

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import Frame, Signal, StatusEvent
from edgecat_runtime.camera.opening import open_source, register_source
from edgecat_runtime.camera.source import Shot, Source, SourceOptions

__all__ = [
    "Camera",
    "Frame",
    "Shot",
    "Signal",
    "Source",
    "SourceOptions",
    "StatusEvent",
    "open_source",
    "register_source",
]
