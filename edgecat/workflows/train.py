"""Training as a function: keywords in, a checkpoint out."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgecat.data.stream import ShardSet
from edgecat.evaluation.curves import wilson
from edgecat.training.config import TrainConfig
from edgecat.training.history import Epoch
from edgecat.training.run_folder import TrainResult, read_config
from edgecat.training.start import cautions, suited
from edgecat.training.watcher import Watcher, Watchers
from edgecat.workflows.inputs import Paths, StrPath, many_paths, names_missing_packages, one_path
from edgecat.workflows.reporter import SILENT, Advance, Reporter, warn_skipped
from edgecat_runtime.errors import UserError

if TYPE_CHECKING:
    from edgecat.data.folder import ImageSet

_OPTIONS = tuple(field for field in fields(TrainConfig) if field.name != "data")


@names_missing_packages
def train(
    data: Paths = (),
    *,
    resume: StrPath | None = None,
    watcher: Watcher | None = None,
    reporter: Reporter = SILENT,
    **options: Any,
) -> TrainResult:
    """Train a classifier on labelled images.

    The run's folder gets the best epoch's checkpoint, `metrics.csv`, `curves.png`,
    `confusion.png` and `config.json`, as with `edgecat train`. With few images of other classes
    than the bundled model's, it starts from that model's weights, unless options choose a network,
    its input size or `weights`; `weights="none"` prevents it.

    Args:
        data: folders of class folders, or `.tar` files with the same inside; one or several.
        resume: folder of an interrupted run to continue as it was started; nothing else is given.
        watcher: called with every step and epoch, for plots or early stopping of your own.
        reporter: receives progress and warnings; silent by default.
        **options: every other field of `TrainConfig`, such as `arch="vgg16"`, `width=0.5`,
            `size=64` (pixels), `epochs=20`, `lr=None`, `device="auto"`, `output="runs"`.

    Returns:
        The run: checkpoint, history, and the evaluation on the validation images.

    Raises:
        TypeError: a keyword that is not a field of `TrainConfig`.
        UserError: data or options that cannot be used, a full disk, or a diverged loss.
        DeviceError: the device is not available.
        BackendMissing: torch is not installed.
        Interrupted: Ctrl-C or SIGTERM (a KeyboardInterrupt); the run is saved in its `folder`.

    Example:
        >>> run = train("photos/", arch="vgg16", width=0.5, epochs=12)  # doctest: +SKIP
        >>> run.checkpoint, run.best.val_accuracy  # doctest: +SKIP
        (PosixPath('runs/vgg16-20261126-120000/vgg16.safetensors'), 0.9725)
    """
    from edgecat.training.loop import train as run_training

    folder = one_path(resume) if resume is not None else None
    if folder is None:
        config, decided = suited(_config(data, options), options)
    else:
        config, decided = _resumed(folder, data, options), ""

    with _ReportedEpochs(config.epochs, reporter) as reported:
        watchers = Watchers(reported, watcher) if watcher else reported
        if decided:
            watchers.on_message(decided)
        result = run_training(config, resume=folder, watcher=watchers)
    low, high = wilson(result.evaluation.right, result.evaluation.n)
    reporter.note(f"{result!r}; 95 % interval {low:.1%} to {high:.1%}")
    return result


def _config(data: Paths, options: dict[str, Any]) -> TrainConfig:
    """The run's configuration; paths become text, as in `config.json`."""
    known = [field.name for field in _OPTIONS]
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"train() got an unexpected keyword argument {name!r}{hint}")
    paths = tuple(map(str, many_paths(data)))
    if not paths:
        raise UserError("no images were given; expected folders of class folders, or .tar files")
    plain = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in options.items()
    }
    return TrainConfig(data=paths, **plain)


def _resumed(folder: Path, data: Paths, options: dict[str, Any]) -> TrainConfig:
    given = [*(["data"] if many_paths(data) else []), *options]
    if given:
        raise UserError(
            f"resume continues a run as it was started; leave out {', '.join(sorted(given))}"
        )
    return read_config(folder)


def _signature() -> inspect.Signature:
    """The function's signature with the fields of `TrainConfig` as keywords, for `help`."""
    plain = inspect.signature(train)
    kept = [each for each in plain.parameters.values() if each.kind is not each.VAR_KEYWORD]
    named = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=field.type,
        )
        for field in _OPTIONS
    ]
    return plain.replace(parameters=[*kept, *named])


train.__signature__ = _signature()  # type: ignore[attr-defined]


class _ReportedEpochs(Watcher):
    """Tells a reporter of the run: a bar per epoch, a note after each."""

    def __init__(self, epochs: int, reporter: Reporter) -> None:
        self._epochs = epochs
        self._reporter = reporter
        self._stack = ExitStack()
        self._advance: Advance = lambda steps=1, description=None: None

    def __enter__(self) -> _ReportedEpochs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def on_message(self, sentence: str) -> None:
        """Pass it on as a note."""
        self._reporter.note(sentence)

    def started(self, folder: Path, training: ImageSet | ShardSet, validation: ImageSet) -> None:
        """Note what is trained on, and name the files that were left out."""
        self._reporter.note(f"training on {training}, into {folder}")
        warn_skipped(self._reporter, training.skipped)
        if not isinstance(training, ShardSet):
            for caution in cautions(training.counts()):
                self._reporter.warn(caution)

    def epoch_started(self, epoch: int, steps: int, done: int) -> None:
        """Open the epoch's progress."""
        self._stack.close()
        progress = self._reporter.progress(steps, f"epoch {epoch}/{self._epochs}")
        self._advance = self._stack.enter_context(progress)
        self._advance(done)

    def stepped(self, pictures: int, loss: Callable[[], float]) -> None:
        """Advance by a step."""
        self._advance()

    def epoch_finished(self, row: Epoch, *, best: bool) -> None:
        """Close the progress and leave a note."""
        self._stack.close()
        self._reporter.note(
            f"epoch {row.epoch}/{self._epochs}: loss {row.train_loss:.3f}, validation accuracy "
            f"{row.val_accuracy:.2%}{' (best so far)' if best else ''}"
        )

    def skipped(self, sentence: str) -> None:
        """Warn of an image that could not be decoded."""
        self._reporter.warn(f"skipped: {sentence}")
