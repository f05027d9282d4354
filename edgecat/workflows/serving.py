"""Open the model to serve: in the version that is fastest here, chosen once and cached."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgecat.workflows.models import read_labels, register_torch
from edgecat.workflows.reporter import SILENT, Advance, Reporter
from edgecat.workflows.served import ServedModel

if TYPE_CHECKING:
    from edgecat_runtime import Classifier
    from edgecat_runtime.doctor import Finding

_DOCTOR_SECONDS = 60


def open_classifier(
    models: Path | Sequence[Path],
    backend: str = "auto",
    *,
    device: str = "auto",
    threads: int | None = None,
    labels: Path | None = None,
    rebuild: bool = False,
    verbose: bool = False,
    quiet: bool = False,
    reporter: Reporter = SILENT,
) -> Classifier:
    """Open a checkpoint or an exported model, or the fastest of several versions, self-tested.

    The fastest is measured once on this machine and cached in the user's cache folder.

    Args:
        models: the model, or its versions in order of preference.
        backend: as for `Classifier.open`.
        device: likewise.
        threads: likewise.
        labels: a text file with other class names, one per line.
        rebuild: whether to rebuild an engine that does not fit this device from the ONNX file
            next to it.
        verbose: report the choice and its reasons.
        quiet: report only rebuilds; for reopening the model.
        reporter: receives the progress, rebuilds and the choice, and a note of which model answers.

    Raises:
        EdgecatError: as `Classifier.open_fastest`, `read_labels` and `rebuild_engine`.
    """
    from edgecat_runtime import Classifier
    from edgecat_runtime.backends.tensorrt import EngineMismatch

    paths = [models] if isinstance(models, Path) else list(models)
    for path in paths:
        register_torch(path)
    opened = partial(
        Classifier.open_fastest,
        paths,
        backend=backend,
        device=device,
        labels=read_labels(labels) if labels else None,
        threads=threads,
        cache=choices_folder(),
    )
    with _measuring(SILENT if quiet else reporter) as told:
        try:
            classifier = opened(told=told)
        except EngineMismatch as error:
            if not rebuild:
                raise
            from edgecat_export.engine.builder import EngineOptions
            from edgecat_export.engine.export import rebuild_engine
            from edgecat_runtime.backends.base import gpu_number

            reporter.warn(f"{error}; rebuilding it")
            rebuild_engine(paths[0], options=EngineOptions(gpu=gpu_number(device)))
            classifier = opened(told=told)
    if not quiet:
        reporter.note(f"model: {ServedModel.of_classifier(classifier)}")
        _tell(classifier, paths, reporter, verbose=verbose)
    return classifier


def threads_of_each(instances: int, threads: int | None) -> int | None:
    """CPU threads of each of several instances: as given, otherwise the cores divided among them.

    One instance alone keeps None, its backend's default.
    """
    from edgecat_runtime.system.machine import cores

    return threads if threads or instances == 1 else max(1, cores() // instances)


@contextmanager
def open_copies(
    classifier: Classifier, count: int, *, threads: int | None
) -> Iterator[list[Classifier]]:
    """Open a classifier's file again so many times, with its backend; each copy is self-tested.

    Raises:
        UserError: the file holds another model than when the classifier was opened.
        EdgecatError: as `Classifier.open`.
    """
    from edgecat_runtime import Classifier
    from edgecat_runtime.errors import UserError

    path = classifier.path
    assert path is not None  # it was opened from a file
    backend, device = classifier.backend, classifier.device
    copies: list[Classifier] = []
    with ExitStack() as stack:
        for _ in range(count):
            copy = Classifier.open(
                path, backend=backend, device=device, labels=classifier.labels, threads=threads
            )
            copies.append(stack.enter_context(copy))
            if copy.card != classifier.card:
                raise UserError(f"{path} was replaced by another model while it was opened again")
        yield copies


def choices_folder() -> Path | None:
    """Where choices are cached; None if caching is disabled or impossible."""
    from edgecat_runtime.errors import UserError
    from edgecat_runtime.system.cache import cache_folder, cache_switched_off

    try:
        return None if cache_switched_off() else cache_folder() / "choices"
    except UserError:
        return None


def check_shipped() -> Finding:
    """Report the version and the backend that serve the bundled model here."""
    from edgecat_runtime.doctor import Finding
    from edgecat_runtime.doctor.probes import Unwell, in_child

    name = "shipped model"
    try:
        chosen = in_child(f"{__name__}:shipped_choice", seconds=_DOCTOR_SECONDS)
    except Unwell as error:
        fix = "edgecat classify IMAGE --verbose shows details; edgecat export makes other versions"
        return Finding(name, False, str(error), fix)
    return Finding(name, True, chosen)


def shipped_choice() -> str:
    """The version of the bundled model served here, and why; raises as `open_classifier`."""
    from edgecat.workflows.models import SHIPPED

    with open_classifier(SHIPPED) as classifier:
        return str(classifier.choice)


@contextmanager
def _measuring(reporter: Reporter) -> Iterator[Callable[[int, int], None]]:
    """Yield a progress callback for the measuring; no progress if nothing is measured."""
    with ExitStack() as stack:
        advance: Advance | None = None

        def told(done: int, total: int) -> None:
            nonlocal advance
            if total < 2:
                return
            if advance is None:
                advance = stack.enter_context(
                    reporter.progress(total, "finding the fastest backend")
                )
            if done:
                advance()

        yield told


def _tell(
    classifier: Classifier, paths: Sequence[Path], reporter: Reporter, *, verbose: bool
) -> None:
    """Warn if the preferred version was rejected; report everything if requested."""
    choice = classifier.choice
    if choice is None:
        return
    first, taken = paths[0].name, choice.best.model
    preferred = [trial for trial in choice.trials if trial.model == first]
    if taken != first and all(trial.refusal for trial in preferred):
        reporter.warn(
            f"serving {taken}: {first} gives wrong results here ({preferred[0].backend}: "
            f"{preferred[0].refusal}); --verbose and edgecat doctor show details"
        )
    if verbose and not logging.getLogger("edgecat_runtime").isEnabledFor(logging.INFO):
        reporter.warn(choice.summary)  # the log has it otherwise
        for trial in choice.trials if len(choice.trials) > 1 else ():
            reporter.warn(f"  {trial}")
