"""Runs the demo end to end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from edgecat.demo.report import write_report
from edgecat.demo.result import DemoConfig, DemoResult
from edgecat.demo.stages import benchmark, camera, evaluate, training_config, verify
from edgecat.models.checkpoint import load_checkpoint
from edgecat.pets.synthetic import write_pets
from edgecat.training.loop import train
from edgecat.training.watcher import Watcher
from edgecat_export.graph.deployed import export_onnx
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import atomic_write, write_error

MARK = "demo.json"
_STAGES = 7


def run_demo(
    config: DemoConfig, say: Callable[[str], None], watcher: Watcher | None = None
) -> Path:
    """Draw, train, export, verify, benchmark and serve; then write the report.

    Each stage runs the same code as the command of the same name.

    Args:
        config: the settings.
        say: receives lines of progress.
        watcher: receives the training progress.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: the folder contains other files, or cannot be written.
        GateError: the export does not match PyTorch; no report is written.
        KeyboardInterrupt: Ctrl-C.
    """
    folder, stage = config.output, _Stages(say)
    _claim(folder)
    with stage("draw", f"drawing {config.pictures + config.test_pictures:,} cats and dogs"):
        write_pets(folder / "pets/train", config.pictures, config.seed + 1, config.drawn)
        write_pets(folder / "pets/test", config.test_pictures, config.seed + 5001, config.drawn)
    with stage("train", f"training a small VGG16, {config.epochs} epochs"):
        training = train(training_config(config), watcher=watcher)
    model = training.folder / "vgg16.onnx"
    with stage("export", f"exporting the model to {model}"):
        export_onnx(*load_checkpoint(training.checkpoint), model)
    with stage("verify", "comparing the export with PyTorch on every backend"):
        pairs = verify(training.checkpoint, model, folder / "pets/test", say)
    with stage("evaluate", f"evaluating it on {config.test_pictures} unseen images"):
        evaluation, tiles = evaluate(model, folder, say)
    with stage("benchmark", "benchmarking every backend"):
        timings = benchmark((training.checkpoint, model), config.seconds, say)
    with stage("camera", "recording a film of drawn pets and running the camera loop on it"):
        summary, said, recording = camera(config, model, say)
    result = DemoResult(
        config, training, evaluation, tiles, pairs, timings, summary, said, recording, stage.seconds
    )
    report = write_report(result)
    atomic_write(folder / MARK, json.dumps(result.figures(), indent=2) + "\n")
    return report


class _Stages:
    """Announces each stage and records its duration."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, text: str) -> Iterator[None]:
        self._say(f"{len(self.seconds) + 1}/{_STAGES}  {text}")
        start = perf_counter()
        yield
        self.seconds[name] = perf_counter() - start


def _claim(folder: Path) -> None:
    """Create the folder, or remove the files of an earlier demo from it.

    Raises:
        UserError: it contains other files, or cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / MARK).is_file():
            raise UserError(
                f"{folder} contains other files than a demo's. Choose another folder with --output"
            )
        for name in ("pets", "run"):
            if (folder / name).exists():
                shutil.rmtree(folder / name)
        for name in ("report.html", "camera.mp4", "camera.webm", "camera.mkv", "clip.mkv"):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
    atomic_write(folder / MARK, "{}\n")
