"""The model that ships: its three forms, their sizes, their kinship, and what they answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgecat.data.batches import served_batches
from edgecat.data.folder import scan
from edgecat.pretrained import CHECKPOINT, FP16, INT8, shipped
from edgecat.scores import evaluate
from edgecat_runtime import Classifier, read_card


@pytest.mark.parametrize(("path", "most"), [(CHECKPOINT, 10e6), (FP16, 10e6), (INT8, 8e6)])
def test_each_form_is_small_and_whole(path: Path, most: float) -> None:
    assert path.stat().st_size < most
    card = read_card(path)
    assert (card.architecture, card.labels, card.batch_norm) == ("vgg16", ("cat", "dog"), True)
    assert shipped(path)


def test_the_forms_are_of_one_model() -> None:
    checkpoint = read_card(CHECKPOINT)
    for path, precision in ((FP16, "fp16"), (INT8, "int8")):
        card = read_card(path)
        assert card.checkpoint_sha256 == checkpoint.payload_sha256
        assert card.precision == precision
        assert (card.temperature, card.height) == (checkpoint.temperature, checkpoint.height)


@pytest.mark.parametrize("path", [FP16, INT8])
def test_it_knows_photographs(path: Path, photos: Path) -> None:
    found = scan([photos / "test.tar"])
    chosen = replace(found, pictures=found.pictures[::12])
    with Classifier.open(path, backend="onnxruntime") as classifier:
        batches = served_batches(chosen, classifier.preprocess, batch_size=8)
        evaluation = evaluate(classifier.infer, batches, classifier.labels)
    assert evaluation.accuracy >= 0.93
