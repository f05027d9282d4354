"""edgecat on the device: numpy alone to import, OpenCV and a backend where they are used.

Example:
    >>> from edgecat_runtime import Classifier
    >>> with Classifier.open("vgg16.onnx") as classifier:  # doctest: +SKIP
    ...     print(classifier.classify(frame))
"""

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import BackendMissing, DeviceError, EdgecatError, GateError, UserError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import CardDamaged, CardError, ModelCard
from edgecat_runtime.model.prediction import Prediction

__version__ = "0.1.0"

__all__ = [
    "BackendMissing",
    "CardDamaged",
    "CardError",
    "Classifier",
    "DeviceError",
    "EdgecatError",
    "GateError",
    "ModelCard",
    "Prediction",
    "UserError",
    "read_card",
]
