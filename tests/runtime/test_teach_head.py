"""The head: leave-out in closed form, confidence, and things that were never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.loop.teach.captures import Capture
from edgecat_runtime.loop.teach.familiar import fit_familiar
from edgecat_runtime.loop.teach.features import FeatureCache
from edgecat_runtime.loop.teach.head import fit_head
from edgecat_runtime.loop.teach.taught import learn
from edgecat_runtime.model.prediction import Prediction


def clouds(
    counts: tuple[int, ...], size: int = 24, seed: int = 0, apart: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Features of some classes, each around a centre of its own, and their labels."""
    centres = np.random.default_rng(99).normal(size=(len(counts), size)) * apart
    random = np.random.default_rng(seed)
    rows = [centre + random.normal(size=(n, size)) for n, centre in zip(counts, centres)]  # noqa: B905
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.concatenate(rows).astype(np.float32), labels


def captures(labels: np.ndarray, names: tuple[str, ...], *, burst: int = 5) -> list[Capture]:
    """An image per label, in bursts of so many."""
    return [
        Capture(names[label], f"{number:04}.jpg", 100.0 * (number // burst) + 0.2 * number)
        for number, label in enumerate(labels)
    ]


@pytest.mark.parametrize(("counts", "size"), [((6, 9), 40), ((30, 20, 25), 8)])
@pytest.mark.parametrize("burst", [1, 3, 20])
def test_leave_out_is_what_fitting_again_would_give(
    counts: tuple[int, ...], size: int, burst: int
) -> None:
    """In the dual basis (few rows) and in the primal one (many), alone and by bursts."""
    from edgecat_runtime.loop.teach import head as module

    features, labels = clouds(counts, size, apart=0.6)
    groups = np.arange(len(labels)) // burst
    rows = np.hstack([features.astype(float), np.ones((len(features), 1))])
    targets = np.where(labels[:, None] == np.arange(len(counts)), 1.0, -1.0)
    basis = module._basis(rows)
    penalty = 0.01 * basis.spread
    found = module._Ridge(basis, targets, module._members(groups)).left_out(penalty)
    for group in np.unique(groups):
        kept = groups != group
        gram = rows[kept].T @ rows[kept] + penalty * np.eye(rows.shape[1])
        weights = np.linalg.solve(gram, rows[kept].T @ targets[kept])
        np.testing.assert_allclose(found[~kept], rows[~kept] @ weights, atol=1e-8)


def test_classes_are_told_apart_and_confidence_is_deserved() -> None:
    features, labels = clouds((20, 40, 10))
    fitted = fit_head(features, labels, np.arange(len(labels)))
    new, expected = clouds((200, 200, 200), seed=1)
    scores = fitted.head.scores(new)
    assert (scores.argmax(1) == expected).mean() > 0.99
    assert (fitted.left_out.argmax(1) == labels).mean() > 0.97
    alike, labels = clouds((30, 30), apart=0.0)  # nothing tells them apart
    left_out = fit_head(alike, labels, np.arange(len(labels))).left_out
    shares = np.exp(left_out) / np.exp(left_out).sum(1, keepdims=True)
    assert shares.max(1).mean() < 0.75


def test_a_class_with_few_images_is_not_drowned() -> None:
    features, labels = clouds((200, 4))
    new, expected = clouds((100, 100), seed=1)
    scores = fit_head(features, labels, np.arange(len(labels))).head.scores(new)
    assert (scores.argmax(1) == expected)[100:].mean() > 0.95


@pytest.mark.parametrize("counts", [(1,), (1, 1), (2, 1), (1, 0)])
def test_one_image_is_enough_to_answer(counts: tuple[int, ...]) -> None:
    features, labels = clouds(counts)
    taught = learn(captures(labels, ("mug", "bottle")), features)
    assert taught is not None
    assert [one.images for one in taught.figures] == [n for n in counts if n]
    assert taught.predict(features[0]).best == "mug"


def test_a_thing_that_was_never_shown_is_refused() -> None:
    every, labels = clouds((40, 40, 40), apart=3.0)
    shown = labels < 2
    taught = learn(captures(labels[shown], ("mug", "bottle")), every[shown])
    assert taught is not None
    new, expected = clouds((100, 100, 100), seed=1, apart=3.0)
    said = [taught.predict(row) for row in new]
    refused = np.array([one.unsure for one in said])
    assert refused[expected == 2].mean() > 0.95
    assert refused[expected < 2].mean() < 0.15
    assert all(one.confidence == 0 and one.energy > 0 for one in said if one.unsure)


def test_the_class_none_is_learned_and_never_a_label() -> None:
    every, labels = clouds((30, 30, 30), apart=1.0)
    names = ("mug", "bottle", "none")
    taught = learn(captures(labels, names), every)
    assert taught is not None
    assert taught.labels == names
    new, expected = clouds((100, 100, 100), seed=1, apart=1.0)
    said: list[Prediction] = [taught.predict(row) for row in new]
    assert not any(one.label == "none" for one in said)
    refused = np.array([one.unsure for one in said])
    assert refused[expected == 2].mean() > 0.9
    assert refused[expected < 2].mean() < 0.2
    only = learn(captures(labels[labels == 2], names), every[labels == 2])
    assert only is None


def test_near_images_of_no_class_do_not_refuse_the_classes() -> None:
    features, labels = clouds((40, 40, 40), apart=0.8)
    shown = labels < 2
    usual = fit_familiar(features[shown], np.arange(80), features[:0])
    fitted = fit_familiar(features[shown], np.arange(80), features[~shown])
    new, _ = clouds((100, 100), seed=1, apart=0.8)
    assert (fitted.strangeness(new) <= 0).mean() > 0.85
    assert fitted.limit >= usual.limit / 1.5


def test_of_many_images_the_newest_count_and_the_work_is_bounded() -> None:
    rng = np.random.default_rng(0)
    sides = np.repeat([-1.0, 1.0], [600, 40])  # a class changes its looks at the end
    features = np.stack([sides, np.ones(640)], axis=1) + rng.normal(0, 0.1, (640, 2))
    other = np.array([[0.0, -1.0]]) + rng.normal(0, 0.1, (20, 2))
    both = np.concatenate([features, other]).astype(np.float32)
    taught = learn(captures(np.repeat([0, 1], [640, 20]), ("mug", "bottle")), both)
    assert taught is not None
    assert [one.images for one in taught.figures] == [640, 20]
    assert len(taught.familiar.shown) <= 270
    for side in (-1.0, 1.0):
        assert taught.predict(np.array([side, 1.0], np.float32)).label == "mug"


def test_a_burst_is_left_out_together() -> None:
    """Frames of one burst are the same here, so that leaving one out alone would flatter."""
    rights = []
    for seed in range(20):
        rows = np.repeat(np.random.default_rng(seed).normal(size=(12, 200)), 5, axis=0)
        labels = np.repeat(np.arange(12) % 2, 5)
        taught = learn(captures(labels, ("mug", "bottle")), rows.astype(np.float32))
        assert taught is not None
        assert [one.bursts for one in taught.figures] == [6, 6]
        rights.append(np.mean([one.right for one in taught.figures]))
    assert 0.35 < np.mean(rights) < 0.65  # nothing tells these classes apart
    alone = fit_head(rows.astype(np.float32), labels, np.arange(60)).left_out.argmax(1) == labels
    assert alone.mean() == 1.0


def test_one_odd_image_does_not_unsettle_a_class() -> None:
    features, labels = clouds((9, 9))
    taken = [Capture("mb"[n], f"{i}.jpg", 0.2 * i) for i, n in enumerate(labels)]
    odd = Capture("b", "odd.jpg", 500.0)
    rows = np.concatenate([features, np.full((1, features.shape[1]), 7.0, np.float32)])
    taught = learn([*taken, odd], rows)
    assert taught is not None
    assert [(one.bursts, one.right > 0.85) for one in taught.figures] == [(1, True)] * 2
    new, _ = clouds((50, 50), seed=1)
    said = [max(taught.predict(row).probabilities.values()) for row in new]
    assert np.mean(said) > 0.9


def test_what_cannot_be_told_apart_is_at_chance() -> None:
    rights = []
    for seed in range(20):
        features, labels = clouds((15, 15), 300, seed=seed, apart=0.0)
        taught = learn([Capture("ab"[n], str(i), 0.1 * i) for i, n in enumerate(labels)], features)
        assert taught is not None
        rights += [one.right for one in taught.figures]
    assert 0.4 < np.mean(rights) < 0.6


def test_features_are_kept_and_a_torn_record_does_no_harm(tmp_path: Path) -> None:
    path, values = tmp_path / "features.bin", np.arange(4, dtype=np.float32)
    cache = FeatureCache(path, 4)
    cache.put(b"a" * 16, values)
    cache.put(b"b" * 16, values + 1)
    with path.open("ab") as file:
        file.write(b"c" * 20)  # killed while writing
    again = FeatureCache(path, 4)
    again.put(b"d" * 16, values + 2)
    last = FeatureCache(path, 4)
    found: dict[bytes, Any] = {key * 16: last.get(key * 16) for key in (b"a", b"b", b"c", b"d")}
    assert found.pop(b"c" * 16) is None
    assert [value.tolist() for value in found.values()] == [
        [0, 1, 2, 3],
        [1, 2, 3, 4],
        [2, 3, 4, 5],
    ]


def test_an_image_keeps_its_features_when_it_is_moved(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"image")
    key = FeatureCache.key(tmp_path / "a" / "1.jpg")
    (tmp_path / "a").rename(tmp_path / "b")
    assert FeatureCache.key(tmp_path / "b" / "1.jpg") == key
