"""The demo's stages, using the same code as the commands of the same names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgecat.models.backend  # noqa: F401  (registers itself)
from edgecat.data.batches import served_batches
from edgecat.data.folder import ImageSet, scan
from edgecat.demo.result import DemoConfig, Said, Tile
from edgecat.pets.film import FPS, write_clip
from edgecat.scores import Evaluation
from edgecat.scores import evaluate as count
from edgecat.training.config import TrainConfig
from edgecat.training.plots import draw_confusion
from edgecat.workflows.verify import verify as verified
from edgecat_export.parity.comparison import Pair
from edgecat_runtime import Classifier
from edgecat_runtime.backends import backend_entries
from edgecat_runtime.benchmark.measuring import Result, measure
from edgecat_runtime.benchmark.opening import opened
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.images import decode_image
from edgecat_runtime.loop.answers import Summary
from edgecat_runtime.outputs.recorder import Recorder, playable_suffix
from edgecat_runtime.pipeline import Pipeline
from edgecat_runtime.system.machine import cores

Say = Callable[[str], None]


def training_config(config: DemoConfig) -> TrainConfig:
    """The options for `edgecat train`."""
    return TrainConfig(
        data=(str(config.output / "pets"),),
        name="run",
        output=str(config.output),
        size=config.size,
        width=config.width,
        epochs=config.epochs,
        batch_size=32,
        optimizer="adamw",
        lr=0.002,
        weight_decay=0.05,
        label_smoothing=0.05,
        seed=config.seed,
    )


def verify(checkpoint: Path, model: Path, pictures: Path, say: Say) -> tuple[Pair, ...]:
    """Compare an export with its golden logits and, on test images, with its checkpoint.

    Raises:
        GateError: a backend does not match PyTorch.
    """
    alone, both = verified(model), verified(checkpoint, model, data=pictures, limit=0)
    pairs = tuple(item.pair for item in [*alone.compared, *both.compared])
    for pair in pairs:
        say(f"     {pair}")
    if failed := [pair for pair in pairs if not pair.passed]:
        raise GateError(f"the export does not match PyTorch: {failed[0]}")
    return pairs


def evaluate(model: Path, folder: Path, say: Say) -> tuple[Evaluation, tuple[Tile, ...]]:
    """Evaluate a model on the test images, and keep each image's prediction."""
    pictures = scan([folder / "pets"]).subset("test")
    answers: list[int] = []
    with Classifier.open(model) as classifier:

        def infer(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
            logits = classifier.infer(frames)
            answers.extend(logits.argmax(1).tolist())
            return logits

        batches = served_batches(pictures, classifier.preprocess, batch_size=16, workers=cores())
        evaluation = count(infer, batches, classifier.labels)
    draw_confusion(evaluation, folder / "run" / "confusion-test.png")
    say(f"     {evaluation.accuracy:.1%} of {evaluation.n} correct")
    return evaluation, _tiles(pictures, answers)


def _tiles(pictures: ImageSet, answers: Sequence[int]) -> tuple[Tile, ...]:
    """Pair each image with its prediction, classes alternating."""
    by_class: list[list[Tile]] = [[] for _ in pictures.labels]
    for picture, answer in zip(pictures.pictures, answers, strict=True):
        image = decode_image(picture.read(), picture.name)
        tile = Tile(image, pictures.labels[answer], answer == picture.label)
        by_class[picture.label].append(tile)
    return tuple(tile for turn in zip(*by_class, strict=True) for tile in turn)


def benchmark(models: Sequence[Path], seconds: float, say: Say) -> tuple[Result, ...]:
    """Benchmark each model on every backend, at batch size 1."""
    entries = [(path, backend_entries(path)) for path in models]
    with opened(entries, skipped=lambda reason: say(f"     {reason}")) as subjects:
        results = measure(subjects, seconds=seconds)
    for result in results:
        say(
            f"     {Path(result.model).name:<18} {result.backend:<12} "
            f"{result.latency_ms['p50']:7.2f} ms, p99 {result.latency_ms['p99']:.2f}"
        )
    return tuple(results)


def camera(config: DemoConfig, model: Path, say: Say) -> tuple[Summary, tuple[Said, ...], Path]:
    """Draw a film, and run the camera loop on it with a recorder; return also the recording.

    Raises:
        UserError: the recording cannot be written.
    """
    clip = config.output / "clip.mkv"
    truth = write_clip(clip, scenes=config.scenes, frames=config.scene_frames, seed=config.seed)
    with Camera.open(clip) as frames, Classifier.open(model) as classifier:
        recorder = Recorder(config.output / f"camera{playable_suffix()}", fps=FPS)
        pipeline = Pipeline(frames, classifier, [recorder])
        said = tuple(
            Said(shown, answer.raw.displayed, answer.smoothed.displayed, answer.smoothed.confidence)
            for answer, shown in zip(pipeline, truth, strict=True)
        )
    summary = pipeline.summary
    if summary.failures:
        raise UserError(summary.failures[0])
    for line in str(summary).splitlines():
        say(f"     {line}")
    return summary, said, recorder.path
