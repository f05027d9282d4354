"""Teaching by showing, put together: images, head, training and the running model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgecat.curation.fingerprint import Fingerprint, compared, fingerprint
from edgecat.data.tree import split_of
from edgecat.pretrained import INT8
from edgecat.workflows.reporter import SILENT, Reporter
from edgecat.workflows.serving import open_classifier
from edgecat.workflows.teach_options import TeachOptions
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.loop.teach.classifier import TaughtClassifier
from edgecat_runtime.loop.teach.exchange import Exchange
from edgecat_runtime.loop.teach.features import Backbone
from edgecat_runtime.loop.teach.learner import Learner
from edgecat_runtime.loop.teach.session import Session
from edgecat_runtime.loop.teach.store import Store
from edgecat_runtime.types import Image


class _Prints:
    """Tells near-duplicates as `edgecat data` does."""

    def print(self, image: Image) -> Fingerprint:
        """The fingerprint of an image."""
        return fingerprint(image)

    def alike(self, one: Fingerprint, others: Sequence[Fingerprint]) -> bool:
        """Whether it matches one of the others."""
        return any(compared(one, other) for other in reversed(others))


@contextmanager
def open_session(
    options: TeachOptions,
    classes: Sequence[str] = (),
    *,
    backbone: Path | None = None,
    reporter: Reporter = SILENT,
) -> Iterator[Session]:
    """Open a session of teaching, and close it at the end.

    Args:
        options: what it writes.
        classes: to add.
        backbone: an `.onnx` file whose features are learned from; None: the shipped model.
        reporter: told why a model that answered before does not.

    Raises:
        UserError: the folder or a class name cannot be used.
        BackendMissing: ONNX Runtime is not installed.
    """
    store = Store(Path(options.output), likeness=_Prints(), split_of=split_of)
    for name in classes:
        store.add_class(name)
    described = Backbone(backbone or INT8)
    live = TaughtClassifier(described)
    learner = Learner(store, described, live.learn)
    session = Session(store, learner, live, Exchange(live, _opened), why=_why_not())
    if not _why_not():
        from edgecat.workflows.teach_training import FineTuning

        session.trainer = FineTuning(
            session, runs=Path(options.runs), device=options.device, epochs=options.epochs
        )
    if problem := session.restore():
        reporter.warn(f"the model that answered before does not: {problem}")
    learner.start()
    try:
        yield session
    finally:
        session.close()
        live.close()


def _opened(paths: list[Path]) -> Classifier:
    return open_classifier(paths, quiet=True)


def _why_not() -> str:
    """Why a model cannot be fine-tuned here; empty if it can."""
    missing: list[Any] = [name for name in ("torch", "safetensors", "onnx") if not find_spec(name)]
    if not missing:
        return ""
    return (
        f"Training needs {missing[0]}: pip install 'edgecat[train,onnx]', here or on another "
        "machine, where edgecat train takes the folder of images"
    )
