from __future__ import annotations

import numpy as np
import pytest

from edgecat_runtime.loop.smoothing import Smoother

NAN = float("nan")


@pytest.mark.parametrize(
    ("weight", "logits", "expected"),
    [
        (0.3, [1.0], [1.0]),
        (0.5, [0.0, 4.0, 4.0], [0.0, 2.0, 3.0]),
        (1.0, [0.0, 4.0, -4.0], [0.0, 4.0, -4.0]),
        (0.25, [8.0, 0.0, 0.0], [8.0, 6.0, 4.5]),
        (0.5, [2.0, NAN, 4.0], [2.0, 2.0, 3.0]),
        (0.5, [NAN, 4.0, 8.0], [NAN, 4.0, 6.0]),
    ],
)
def test_the_average_is_exponential(
    weight: float, logits: list[float], expected: list[float]
) -> None:
    smoother = Smoother(weight)
    smoothed = [smoother(np.array([value, -value], np.float32)) for value in logits]
    np.testing.assert_allclose(smoothed, [[value, -value] for value in expected])
    assert all(row.dtype == np.float32 for row in smoothed)


def test_one_wild_frame_does_not_flip_the_answer() -> None:
    smoother = Smoother()
    calm, wild = np.array([2, -2], np.float32), np.array([-2, 3], np.float32)
    answers = [int(smoother(logits).argmax()) for logits in (calm, calm, wild, calm)]
    assert answers == [0, 0, 0, 0]


def test_a_change_of_scene_is_believed_within_four_frames() -> None:
    smoother = Smoother()
    cat, dog = np.array([3, -3], np.float32), np.array([-3, 3], np.float32)
    for _ in range(100):
        smoother(cat)
    assert [int(smoother(dog).argmax()) for _ in range(4)][-1] == 1


def test_the_input_is_left_alone_and_reset_forgets() -> None:
    smoother = Smoother(0.5)
    first = np.array([1, 2], np.float32)
    smoother(first)
    smoother(np.array([9, 9], np.float32))
    assert first.tolist() == [1, 2]
    smoother.reset()
    assert smoother(first).tolist() == [1, 2]


@pytest.mark.parametrize("weight", [0.0, -1.0, 1.5, NAN])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="expected 0 < weight <= 1"):
        Smoother(weight)
