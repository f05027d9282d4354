"""Frames without an animal, drawn from a seed; and pictures made harder."""

from __future__ import annotations

import numpy as np
import pytest

from edgecat.evaluation.robustness import CASES, Change
from edgecat.pets.outliers import HEIGHT, KINDS, WIDTH, draw_outlier
from edgecat.pets.synthetic import draw_pet
from edgecat_runtime.errors import UserError


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_draws_one_frame_and_another_seed_another(kind: str) -> None:
    frames = [draw_outlier(kind, seed) for seed in range(30)]
    assert all(frame.shape == (HEIGHT, WIDTH, 3) for frame in frames)
    assert all(frame.dtype == np.uint8 for frame in frames)
    assert (draw_outlier(kind, 7) == frames[7]).all()
    assert len({frame.tobytes() for frame in frames}) > (8 if kind == "plain" else 28)


def test_some_plain_frames_are_black() -> None:
    assert any(draw_outlier("plain", seed).max() < 12 for seed in range(30))


@pytest.mark.parametrize(("kind", "seed"), [("owls", 0), ("text", -1)])
def test_what_cannot_be_drawn(kind: str, seed: int) -> None:
    with pytest.raises(UserError, match="expected one of scenery, textures, text, noise, plain"):
        draw_outlier(kind, seed)


@pytest.mark.parametrize(("change", "strength"), CASES, ids=[f"{c.name} {s:g}" for c, s in CASES])
def test_a_change_changes_a_picture_the_same_way_each_time(change: Change, strength: float) -> None:
    picture = draw_pet(3, 0, 96)[0][:80]
    before = picture.copy()
    harder = change.apply(picture, strength, 5)
    assert (harder.shape, harder.dtype) == (picture.shape, np.uint8)
    assert (picture == before).all(), "the picture itself is left alone"
    assert (harder == change.apply(picture, strength, 5)).all()
    assert np.abs(harder.astype(int) - picture).mean() > 0.3


@pytest.mark.parametrize("name", sorted({c.name for c, _ in CASES} - {"brightness"}))
def test_a_stronger_change_changes_more(name: str) -> None:
    picture = draw_pet(3, 0, 96)[0].astype(int)
    by = {
        s: np.abs(c.apply(picture.astype(np.uint8), s, 5) - picture).mean()
        for c, s in CASES
        if c.name == name
    }
    differences = list(by.values())
    assert differences[0] < differences[-1]
