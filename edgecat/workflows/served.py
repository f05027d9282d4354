"""Which model answers: its file, size, accuracy and backend, in one line and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecat.pretrained import shipped
from edgecat_runtime.model.card import ModelCard

if TYPE_CHECKING:
    from edgecat_runtime import Classifier


@dataclass(frozen=True)
class ServedModel:
    """The model that answered.

    Attributes:
        file: its path; None if it was not opened from a file.
        bytes: size of the file; None without one.
        precision: `fp32`, `fp16` or `int8`.
        accuracy: as its card says, 0..1; None if never measured.
        n: number of images that the accuracy was measured on.
        backend: the name of the backend, such as `onnxruntime`.
        device: the device, such as `cpu`.

    Example:
        >>> print(ServedModel("pets.onnx", 7_400_000, "fp16", 0.965, 750, "onnxruntime", "cpu"))
        pets.onnx (7.4 MB, fp16, 96.50% of 750 images) on onnxruntime, cpu
    """

    file: str | None
    bytes: int | None
    precision: str
    accuracy: float | None
    n: int
    backend: str
    device: str

    @classmethod
    def of(cls, card: ModelCard, path: Path | None, backend: str, device: str) -> ServedModel:
        """Describe a file that a backend opened."""
        size = path.stat().st_size if path is not None and path.is_file() else None
        name = None if path is None else str(path)
        measured = (card.accuracy, card.accuracy_n)
        return cls(name, size, card.precision, *measured, backend, device)

    @classmethod
    def of_classifier(cls, classifier: Classifier) -> ServedModel:
        """Describe an open classifier."""
        return cls.of(classifier.card, classifier.path, classifier.backend, classifier.device)

    def to_dict(self) -> dict[str, Any]:
        """The value of `served_by` in the output of `--json`."""
        return asdict(self)

    def __str__(self) -> str:
        name = "a model without a file" if self.file is None else self.file
        if self.file is not None and shipped(Path(self.file)):
            name = f"the shipped {Path(self.file).name}"
        facts = [] if self.bytes is None else [f"{self.bytes / 1e6:.1f} MB"]
        measured = "accuracy never measured"
        if self.accuracy is not None:
            measured = f"{self.accuracy:.2%} of {self.n:,} image{'s' * (self.n != 1)}"
        return f"{name} ({', '.join([*facts, self.precision, measured])}) on {self.backend}, " + (
            self.device
        )
