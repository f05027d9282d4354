"""Classifying images: files, folders and arrays, with any model."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edgecat.report.page import data_url, table
from edgecat.workflows.inputs import StrPath, names_missing_packages, one_path
from edgecat.workflows.models import models_to_serve
from edgecat.workflows.reporter import SILENT, Reporter
from edgecat.workflows.served import ServedModel
from edgecat.workflows.serving import open_classifier
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import IMAGE_SUFFIXES, ImageError, decode_image, read_image
from edgecat_runtime.model.prediction import Prediction
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.system.counting import number_of
from edgecat_runtime.system.opencv import cv2_module

Frame = NDArray[np.uint8]
ImageSource = StrPath | Frame
"""A file, a folder, or an array: uint8 (h, w, 3) BGR, or (n, h, w, 3) for several."""

STANDARD_INPUT = Path("-")
_SHOWN = 24  # rows of a notebook's table
_THUMBNAIL = 72  # pixels


@dataclass(frozen=True)
class ImagePrediction:
    """One image and its prediction.

    Attributes:
        source: the file, or `array N` for the N-th array given, from 0.
        prediction: of the image.
        served_by: which model answered.

    Example:
        >>> from edgecat import Prediction
        >>> cat = Prediction("cat", 0.98, {"cat": 0.98, "dog": 0.02}, (2.0, -1.9))
        >>> ImagePrediction("cat.jpg", cat)
        ImagePrediction('cat.jpg', cat 98.0%)
    """

    source: str
    prediction: Prediction
    served_by: ServedModel | None = None

    @property
    def label(self) -> str | None:
        """The most probable class; None if the model is unsure."""
        return self.prediction.label

    @property
    def confidence(self) -> float:
        """The label's probability, 0..1; 0 if `unsure`."""
        return self.prediction.confidence

    @property
    def probabilities(self) -> dict[str, float]:
        """One per class; they sum to 1."""
        return self.prediction.probabilities

    def best(self, count: int) -> dict[str, float]:
        """The `count` most probable classes and their probabilities, the first one first."""
        ranked = sorted(self.probabilities.items(), key=lambda item: -item[1])
        return dict(ranked[:count])

    def to_dict(self, top: int | None = None) -> dict[str, Any]:
        """The values for `--json`; of the probabilities the `top` highest, None for all."""
        values = {
            "source": self.source,
            "label": self.prediction.displayed,
            "confidence": self.confidence,
            "probabilities": self.probabilities if top is None else self.best(top),
        }
        return values | ({"served_by": self.served_by.to_dict()} if self.served_by else {})

    def __str__(self) -> str:
        return f"{self.source}  {self.prediction}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r}, {self.prediction})"


@dataclass(frozen=True)
class Predictions(Sequence[ImagePrediction]):
    """The predictions for several images, in order; a sequence.

    Attributes:
        items: one per image that could be decoded.
        model: description of what answered, such as `vgg16.int8.onnx on onnxruntime`.
        skipped: a sentence for each image that could not be decoded.

    Example:
        >>> found = classify("photos/")  # doctest: +SKIP
        >>> [item.label for item in found]  # doctest: +SKIP
        ['cat', 'dog', None]
    """

    items: tuple[ImagePrediction, ...]
    model: str = ""
    skipped: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> ImagePrediction: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[ImagePrediction, ...]: ...

    def __getitem__(self, index: int | slice) -> ImagePrediction | tuple[ImagePrediction, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def to_dict(self, top: int | None = None) -> list[dict[str, Any]]:
        """The values for `--json`: one dictionary per image, as `ImagePrediction.to_dict`."""
        return [item.to_dict(top) for item in self.items]

    def __str__(self) -> str:
        return "\n".join(map(str, self.items))

    def __repr__(self) -> str:
        counts = Counter(item.prediction.displayed for item in self.items).most_common()
        said = ", ".join(f"{count} {label}" for label, count in counts)
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"{type(self).__name__}({number_of(len(self), 'image')}: {said}{skipped})"

    def _repr_html_(self) -> str:
        rows = [
            (_thumbnail(item.source), escape(item.source), escape(str(item.prediction)))
            for item in self.items[:_SHOWN]
        ]
        more = f"<p>and {len(self) - _SHOWN:,} more</p>" if len(self) > _SHOWN else ""
        return table(("", "image", "prediction"), rows, left=(0, 1, 2)) + more


@names_missing_packages
def classify(
    images: ImageSource | Sequence[ImageSource],
    model: StrPath | Classifier | None = None,
    *,
    backend: str = "auto",
    device: str = "auto",
    labels: StrPath | None = None,
    rebuild: bool = False,
    verbose: bool = False,
    on_result: Callable[[ImagePrediction], None] = lambda result: None,
    reporter: Reporter = SILENT,
) -> Predictions:
    """Classify images.

    Args:
        images: a file, a folder (searched recursively), `-` for an image on standard input, an
            array uint8 (h, w, 3) BGR or (n, h, w, 3), or a list of any of these.
        model: a checkpoint, an exported model, an `ExportResult` or `TrainResult`, or an open
            `Classifier`, which stays open, or `shipped`, the model that ships with edgecat. None:
            the newest run under `runs/`, else `shipped`.
        backend: as `Classifier.open` takes it; ignored with an open classifier, as are `device`,
            `labels`, `rebuild` and `verbose`.
        device: as `Classifier.open` takes it.
        labels: a text file with other names for the classes, one per line.
        rebuild: rebuild an engine that does not fit this device from the ONNX file beside it.
        verbose: report which form and backend were chosen, and why.
        on_result: called with each prediction as soon as it is made.
        reporter: receives warnings; silent by default.

    Returns:
        One prediction per image, in the order given; a folder's images are sorted by path.

    Raises:
        ImageError: no image could be read, or the only one cannot be decoded. Of several images,
            those that cannot be decoded are skipped with a warning (`Predictions.skipped`).
        UserError: an array of another shape or type.
        GateError: the model answers differently on this device, or was modified.
        BackendMissing: nothing installed opens the model.

    Example:
        >>> classify(["cat.jpg", "dog.jpg"], "runs/pets/vgg16.onnx")  # doctest: +SKIP
        Predictions(2 images: 1 cat, 1 dog)
    """
    sources = list(_sources(images))
    if not sources:
        raise ImageError(
            f"{_named(images)} contains no images; expected {' '.join(IMAGE_SUFFIXES)}. "
            "Check the path"
        )
    items: list[ImagePrediction] = []
    failed: list[ImageError] = []
    with _opened(
        model,
        backend,
        device=device,
        labels=one_path(labels) if labels is not None else None,
        rebuild=rebuild,
        verbose=verbose,
        reporter=reporter,
    ) as classifier:
        served = ServedModel.of_classifier(classifier)
        for name, source in sources:
            try:
                frame = source if isinstance(source, np.ndarray) else _read(source)
            except ImageError as error:
                if len(sources) == 1:
                    raise
                reporter.warn(f"skipped: {error}")
                failed.append(error)
                continue
            items.append(ImagePrediction(name, classifier.classify(frame), served))
            on_result(items[-1])
        if not items:
            raise ImageError(
                f"none of {len(sources)} images could be decoded; the first: {failed[0]}"
            )
        path = f"{classifier.path.name} on " if classifier.path else ""
        answered = f"{path}{classifier.backend}"
    return Predictions(tuple(items), answered, tuple(map(str, failed)))


def _opened(
    model: StrPath | Classifier | None, backend: str, **options: Any
) -> AbstractContextManager[Classifier]:
    if isinstance(model, Classifier):
        return nullcontext(model)
    return open_classifier(models_to_serve(model), backend, **options)


def _sources(
    images: ImageSource | Sequence[ImageSource],
) -> Iterator[tuple[str, Path | Frame]]:
    """Each image's name and its file or array."""
    if isinstance(images, str | os.PathLike):
        path = one_path(images)
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        yield from ((str(each), each) for each in (inside if path.is_dir() else [path]))
        return
    if isinstance(images, np.ndarray) and images.ndim != 4:
        yield "array 0", images
        return
    arrays = 0
    for image in images:
        if isinstance(image, np.ndarray):
            yield f"array {arrays}", image
            arrays += 1
        elif isinstance(image, str | os.PathLike):
            yield from _sources(image)
        else:
            raise UserError(
                f"got {type(image).__name__} as an image; expected a path or an array uint8 "
                "(h, w, 3) BGR"
            )


def _read(path: Path) -> Frame:
    if path != STANDARD_INPUT:
        return read_image(path)
    if sys.stdin.isatty():
        raise UserError(
            "- reads an image from standard input, which is the terminal. Redirect a file or a "
            "program's output to it: edgecat classify - < cat.jpg"
        )
    return decode_image(sys.stdin.buffer.read(), "standard input")


def _named(images: ImageSource | Sequence[ImageSource]) -> str:
    if isinstance(images, str | os.PathLike):
        return os.fspath(images)
    return ", ".join(str(image) for image in images) or "the list"


def _thumbnail(source: str) -> str:
    """The image as a small `<img>`; empty for an array, or a file that is gone."""
    try:
        image = preprocess(read_image(source), _THUMBNAIL, _THUMBNAIL, "crop")
    except ImageError:
        return ""
    data = cv2_module().imencode(".jpg", image)[1].tobytes()
    return f'<img src="{data_url(data, "image/jpeg")}" alt="">'
