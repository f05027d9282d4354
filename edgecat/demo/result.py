"""The demo's settings and results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat.scores import Evaluation
from edgecat.training.run_folder import TrainResult
from edgecat_export.parity.comparison import Pair
from edgecat_runtime.benchmark.measuring import Result
from edgecat_runtime.loop.answers import Summary


@dataclass(frozen=True)
class DemoConfig:
    """The demo's settings.

    Attributes:
        output: the output folder.
        seed: seed of images, training and film.
        pictures: number of images for training and validation.
        test_pictures: number of test images.
        drawn: height and width of the images in pixels.
        size: height and width of the network's input in pixels.
        width: channel multiplier of the VGG16.
        epochs: number of epochs.
        scenes: number of scenes in the film.
        scene_frames: frames per scene.
        seconds: duration of the benchmark of each backend.
    """

    output: Path = Path("demo")
    seed: int = 0
    pictures: int = 3600
    test_pictures: int = 480
    drawn: int = 96
    size: int = 64
    width: float = 0.25
    epochs: int = 6
    scenes: int = 8
    scene_frames: int = 50
    seconds: float = 1.0


@dataclass(frozen=True)
class Tile:
    """A test image with its prediction.

    Attributes:
        picture: uint8 (h, w, 3) BGR.
        answer: the predicted label.
        right: whether the prediction is correct.
    """

    picture: NDArray[np.uint8]
    answer: str
    right: bool


@dataclass(frozen=True)
class Said:
    """The camera loop's answer for one frame of the film.

    Attributes:
        truth: the true label.
        raw: the prediction for this frame alone.
        label: the decision, smoothed over frames.
        confidence: the decision's probability, 0..1.
    """

    truth: str
    raw: str
    label: str
    confidence: float


@dataclass(frozen=True)
class DemoResult:
    """The contents of the report.

    Attributes:
        config: the demo's settings.
        training: the training run.
        evaluation: evaluation of the exported model on the test images.
        tiles: the test images with their predictions, classes alternating.
        pairs: comparison of the export with PyTorch, per backend.
        timings: benchmark of each artifact on each backend.
        camera: summary of the camera loop.
        said: the loop's answers, frame by frame.
        recording: what the camera loop recorded.
        seconds: duration of each stage, by name.
    """

    config: DemoConfig
    training: TrainResult
    evaluation: Evaluation
    tiles: tuple[Tile, ...]
    pairs: tuple[Pair, ...]
    timings: tuple[Result, ...]
    camera: Summary
    said: tuple[Said, ...]
    recording: Path
    seconds: dict[str, float]

    def figures(self) -> dict[str, Any]:
        """The contents of `demo.json`: settings and figures, in the shape of `--json`."""
        return {
            "config": {**asdict(self.config), "output": str(self.config.output)},
            "evaluate": self.evaluation.to_dict(),
            "verify": [{**asdict(pair), "passed": pair.passed} for pair in self.pairs],
            "benchmark": [timing.to_dict() for timing in self.timings],
            "camera": self.camera.to_dict(),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }
