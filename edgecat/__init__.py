"""edgecat: train an image classifier once, ship it to any edge device, prove its answers there.

Everything that the command line does is one call away. Each function returns a result, prints
nothing (pass `reporter=edgecat.Terminal()` to see progress), accepts paths as text or `PathLike`,
and raises an `EdgecatError` for every problem that it foresees. Public names are loaded when they
are first used (PEP 562), so that `import edgecat` costs no NumPy and no torch.

Example:
    >>> import edgecat
    >>> run = edgecat.train("photos/", arch="vgg16", epochs=12)  # doctest: +SKIP
    >>> model = edgecat.export(run, precision="int8", calibrate="photos/")  # doctest: +SKIP
    >>> bool(edgecat.verify(run, model, data="more-photos/"))  # doctest: +SKIP
    True
    >>> edgecat.classify("holiday.jpg", model)[0].label  # doctest: +SKIP
    'cat'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgecat._version import __version__ as __version__

if TYPE_CHECKING:
    from edgecat.cli.terminal.console import Terminal as Terminal
    from edgecat.training.config import TrainConfig as TrainConfig
    from edgecat.training.run_folder import TrainResult as TrainResult
    from edgecat.training.watcher import Watcher as Watcher
    from edgecat.workflows.batch.classify import classify_to_parquet as classify_to_parquet
    from edgecat.workflows.batch.placement import Workers as Workers
    from edgecat.workflows.batch.summary import BatchSummary as BatchSummary
    from edgecat.workflows.classify import ImagePrediction as ImagePrediction
    from edgecat.workflows.classify import Predictions as Predictions
    from edgecat.workflows.classify import classify as classify
    from edgecat.workflows.evaluate import CalibrationResult as CalibrationResult
    from edgecat.workflows.evaluate import EvaluationResult as EvaluationResult
    from edgecat.workflows.evaluate import calibrate as calibrate
    from edgecat.workflows.evaluate import evaluate as evaluate
    from edgecat.workflows.export import ExportRequest as ExportRequest
    from edgecat.workflows.export import export as export
    from edgecat.workflows.export_result import ExportResult as ExportResult
    from edgecat.workflows.export_sources import ForeignModel as ForeignModel
    from edgecat.workflows.reporter import Reporter as Reporter
    from edgecat.workflows.train import train as train
    from edgecat.workflows.verify import Verification as Verification
    from edgecat.workflows.verify import verify as verify
    from edgecat_export.engine.builder import EngineOptions as EngineOptions
    from edgecat_runtime.camera.camera import Camera as Camera
    from edgecat_runtime.classifier import Classifier as Classifier
    from edgecat_runtime.errors import BackendMissing as BackendMissing
    from edgecat_runtime.errors import DeviceError as DeviceError
    from edgecat_runtime.errors import EdgecatError as EdgecatError
    from edgecat_runtime.errors import GateError as GateError
    from edgecat_runtime.errors import UserError as UserError
    from edgecat_runtime.model.artifact import read_card as read_card
    from edgecat_runtime.model.card import ModelCard as ModelCard
    from edgecat_runtime.model.prediction import Prediction as Prediction
    from edgecat_runtime.pipeline import Pipeline as Pipeline

_NAMES = {
    "edgecat.cli.terminal.console": ("Terminal",),
    "edgecat.training.config": ("TrainConfig",),
    "edgecat.training.run_folder": ("TrainResult",),
    "edgecat.training.watcher": ("Watcher",),
    "edgecat.workflows.batch.classify": ("classify_to_parquet",),
    "edgecat.workflows.batch.placement": ("Workers",),
    "edgecat.workflows.batch.summary": ("BatchSummary",),
    "edgecat.workflows.classify": ("ImagePrediction", "Predictions", "classify"),
    "edgecat.workflows.evaluate": (
        *("CalibrationResult", "EvaluationResult", "calibrate", "evaluate"),
    ),
    "edgecat.workflows.export": ("ExportRequest", "export"),
    "edgecat.workflows.export_result": ("ExportResult",),
    "edgecat.workflows.export_sources": ("ForeignModel",),
    "edgecat.workflows.reporter": ("Reporter",),
    "edgecat.workflows.train": ("train",),
    "edgecat.workflows.verify": ("Verification", "verify"),
    "edgecat_export.engine.builder": ("EngineOptions",),
    "edgecat_runtime.camera.camera": ("Camera",),
    "edgecat_runtime.classifier": ("Classifier",),
    "edgecat_runtime.errors": (
        *("BackendMissing", "DeviceError", "EdgecatError", "GateError", "UserError"),
    ),
    "edgecat_runtime.model.artifact": ("read_card",),
    "edgecat_runtime.model.card": ("ModelCard",),
    "edgecat_runtime.model.prediction": ("Prediction",),
    "edgecat_runtime.pipeline": ("Pipeline",),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
