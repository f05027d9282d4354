"""What the demo does and what came of it."""

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
    """What the demo draws and trains.

    Attributes:
        output: its folder.
        seed: of pictures, training and film.
        pictures: to train and validate on.
        test_pictures: to judge by.
        drawn: height and width of the pictures in pixels.
        size: height and width of the network's input in pixels.
        width: channel multiplier of the VGG16.
        epochs: passes over the pictures.
        scenes: of the film.
        scene_frames: frames of each scene.
        seconds: to time each backend.
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
    """A test picture with the model's answer.

    Attributes:
        picture: uint8 (h, w, 3) BGR.
        answer: the label that the model gave.
        right: whether it is the picture's own.
    """

    picture: NDArray[np.uint8]
    answer: str
    right: bool


@dataclass(frozen=True)
class Said:
    """What the camera loop said about one frame of the film.

    Attributes:
        truth: what the frame shows.
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
    """Everything that the report shows.

    Attributes:
        config: of the demo.
        training: the run.
        evaluation: the exported model's answers to the test pictures, counted.
        tiles: the test pictures, the classes by turns, each with the answer.
        pairs: how the export on each backend compares with PyTorch.
        timings: of each artifact on each backend.
        camera: the summary of the camera loop.
        said: its answers, frame by frame.
        seconds: of each stage, by name.
    """

    config: DemoConfig
    training: TrainResult
    evaluation: Evaluation
    tiles: tuple[Tile, ...]
    pairs: tuple[Pair, ...]
    timings: tuple[Result, ...]
    camera: Summary
    said: tuple[Said, ...]
    seconds: dict[str, float]

    def figures(self) -> dict[str, Any]:
        """What `demo.json` holds: the configuration and the figures, shaped as by `--json`."""
        return {
            "config": {**asdict(self.config), "output": str(self.config.output)},
            "evaluate": self.evaluation.to_dict(),
            "verify": [{**asdict(pair), "passed": pair.passed} for pair in self.pairs],
            "benchmark": [timing.to_dict() for timing in self.timings],
            "camera": self.camera.to_dict(),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }
