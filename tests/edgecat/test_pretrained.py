"""The model that ships: its three forms, their sizes, their kinship, and what they answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecat.data.batches import served_batches
from edgecat.data.folder import scan
from edgecat.deepvis import open_probe
from edgecat.deepvis.synthesise import Synthesis, synthesise
from edgecat.pets.synthetic import synthetic_pets
from edgecat.pretrained import CHECKPOINT, FP16, INT8, shipped
from edgecat.scores import evaluate
from edgecat_runtime import Classifier, read_card
from edgecat_runtime.images import decode_image
from edgecat_runtime.types import Numbers


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


def cosine(one: Numbers, other: Numbers) -> float:
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / norm if norm else 0.0


def test_the_explanations_are_of_the_class_and_not_of_what_classes_share() -> None:
    probe = open_probe(CHECKPOINT)
    images, _ = synthetic_pets(8, seed=3, size=200)
    for image in images:
        cat, dog = (probe.gradcam(image, label) for label in (0, 1))
        assert cosine(cat, dog) < 0.5
    last, maps = probe.layers[-1], probe.last_maps
    parts = [
        (probe.run(images[0], [maps.name]).maps[maps.name]
         * probe.derivatives(images[0], last.name, label, maps.name)).sum((1, 2))
        for label in (0, 1)
    ]  # fmt: skip
    strongest = [set(np.argsort(-each)[:8].tolist()) for each in parts]
    assert not strongest[0] & strongest[1]


def test_what_is_synthesised_for_a_class_is_of_the_class() -> None:
    probe = open_probe(CHECKPOINT)
    made, _ = synthesise(probe, probe.layers[-1], [0, 1], Synthesis(steps=24))
    for label, image in enumerate(made):
        seen = probe.run(image)
        assert int(seen.logits.argmax()) == label
        assert seen.probabilities[label] > 0.9


def test_explanations_of_photographs(photos: Path) -> None:
    probe = open_probe(CHECKPOINT)
    found = scan(photos / "train-0.tar")
    chosen = found.pictures[:: max(1, len(found) // 20)][:20]
    for one in chosen:
        image = decode_image(one.read(), one.name)
        cat, dog = (probe.gradcam(image, label) for label in (0, 1))
        assert cosine(cat, dog) < 0.5
