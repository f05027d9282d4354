"""edgecat on the device: importing it needs only NumPy; OpenCV and a backend load on use.

Every public name is here, and is loaded when it is first asked for (PEP 562).

Example:
    >>> from edgecat_runtime import Classifier
    >>> with Classifier.open("vgg16.onnx") as classifier:  # doctest: +SKIP
    ...     print(classifier.classify(frame))
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgecat_runtime._version import __version__ as __version__

if TYPE_CHECKING:
    from edgecat_runtime.backends.base import BackendEntry as BackendEntry
    from edgecat_runtime.backends.base import register_backend as register_backend
    from edgecat_runtime.camera.camera import Camera as Camera
    from edgecat_runtime.camera.frames import Frame as Frame
    from edgecat_runtime.camera.frames import Signal as Signal
    from edgecat_runtime.camera.frames import StatusEvent as StatusEvent
    from edgecat_runtime.camera.opening import open_source as open_source
    from edgecat_runtime.camera.opening import register_source as register_source
    from edgecat_runtime.camera.source import Shot as Shot
    from edgecat_runtime.camera.source import Source as Source
    from edgecat_runtime.camera.source import SourceOptions as SourceOptions
    from edgecat_runtime.classifier import Classifier as Classifier
    from edgecat_runtime.errors import BackendMissing as BackendMissing
    from edgecat_runtime.errors import DeviceError as DeviceError
    from edgecat_runtime.errors import EdgecatError as EdgecatError
    from edgecat_runtime.errors import GateError as GateError
    from edgecat_runtime.errors import UserError as UserError
    from edgecat_runtime.loop.answers import Answer as Answer
    from edgecat_runtime.loop.answers import Summary as Summary
    from edgecat_runtime.loop.decision import Thresholds as Thresholds
    from edgecat_runtime.model.artifact import read_card as read_card
    from edgecat_runtime.model.card import CardDamaged as CardDamaged
    from edgecat_runtime.model.card import CardError as CardError
    from edgecat_runtime.model.card import CardMissing as CardMissing
    from edgecat_runtime.model.card import ModelCard as ModelCard
    from edgecat_runtime.model.prediction import Prediction as Prediction
    from edgecat_runtime.model.status import Status as Status
    from edgecat_runtime.outputs.callback import CallbackSink as CallbackSink
    from edgecat_runtime.outputs.events import Events as Events
    from edgecat_runtime.outputs.mqtt import Mqtt as Mqtt
    from edgecat_runtime.outputs.opening import open_output as open_output
    from edgecat_runtime.outputs.opening import register_output as register_output
    from edgecat_runtime.outputs.recorder import Recorder as Recorder
    from edgecat_runtime.outputs.sink import Sink as Sink
    from edgecat_runtime.outputs.snapshots import Snapshots as Snapshots
    from edgecat_runtime.outputs.window import Window as Window
    from edgecat_runtime.pipeline import Pipeline as Pipeline
    from edgecat_runtime.web.page import WebPage as WebPage

_NAMES = {
    "backends.base": ("BackendEntry", "register_backend"),
    "camera.camera": ("Camera",),
    "camera.frames": ("Frame", "Signal", "StatusEvent"),
    "camera.opening": ("open_source", "register_source"),
    "camera.source": ("Shot", "Source", "SourceOptions"),
    "classifier": ("Classifier",),
    "errors": ("BackendMissing", "DeviceError", "EdgecatError", "GateError", "UserError"),
    "loop.answers": ("Answer", "Summary"),
    "loop.decision": ("Thresholds",),
    "model.artifact": ("read_card",),
    "model.card": ("CardDamaged", "CardError", "CardMissing", "ModelCard"),
    "model.prediction": ("Prediction",),
    "model.status": ("Status",),
    "outputs.callback": ("CallbackSink",),
    "outputs.events": ("Events",),
    "outputs.mqtt": ("Mqtt",),
    "outputs.opening": ("open_output", "register_output"),
    "outputs.recorder": ("Recorder",),
    "outputs.sink": ("Sink",),
    "outputs.snapshots": ("Snapshots",),
    "outputs.window": ("Window",),
    "pipeline": ("Pipeline",),
    "web.page": ("WebPage",),
}
_HOMES = {name: f"{__name__}.{home}" for home, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)

# Modules that documents named before they moved.
_MOVED = {
    "callback": "outputs.callback",
    "pictures": "images",
    "preprocess": "model.preprocess",
    "source": "camera",
}
_RENAMED = {
    "PictureError": "ImageError",
    "decode_picture": "decode_image",
    "read_picture": "read_image",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
    if name in _MOVED:
        return sys.modules[f"{__name__}.{name}"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


class _Moved(ModuleType):
    """A module under its former name: it hands on what its successor holds."""

    def __init__(self, name: str, home: str) -> None:
        super().__init__(name, f"Moved to `{home}`.")
        self._home = home

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by the import system and by inspect, of every module
            raise AttributeError(name)
        now = _RENAMED.get(name, name)
        warnings.warn(
            f"{self.__name__} has moved: import {now} from {self._home}",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(import_module(self._home), now)


for _old, _home in _MOVED.items():
    sys.modules[f"{__name__}.{_old}"] = _Moved(f"{__name__}.{_old}", f"{__name__}.{_home}")
