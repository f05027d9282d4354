"""Mixup, cutmix and random erasing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from edgecat.training.mixing import Mix, draw_mix, erased

FRAMES = torch.arange(4, dtype=torch.uint8).mul(60).view(4, 1, 1, 1).expand(4, 16, 16, 3)
LABELS = torch.tensor([0, 1, 0, 1])


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("mixup", [0.2, 1.0])
def test_mixup_blends_pictures_and_labels_by_the_same_share(mixup: float) -> None:
    mix = draw_mix(4, 16, mixup=mixup, cutmix=0, random=_random(0))
    assert mix is not None
    own, others = FRAMES.float(), FRAMES[torch.from_numpy(mix.partner)].float()
    expected = mix.share * own + (1 - mix.share) * others
    torch.testing.assert_close(mix.frames(FRAMES), expected)


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_counts_the_pixels_that_it_pastes(seed: int) -> None:
    mix = draw_mix(4, 16, mixup=0, cutmix=1.0, random=_random(seed))
    assert mix is not None
    mixed = mix.frames(FRAMES)
    assert mixed.dtype == torch.uint8
    for i, partner in enumerate(mix.partner):
        pasted = (mixed[i] == FRAMES[partner]).all(2).float().mean()
        assert pasted == (1.0 if partner == i else pytest.approx(1 - mix.share))


def test_the_loss_and_the_label_follow_the_share() -> None:
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    mix = Mix(np.array([1, 0, 3, 2]), 0.3)
    swapped = torch.tensor([1, 0, 1, 0])
    expected = 0.3 * cross_entropy(logits, LABELS) + 0.7 * cross_entropy(logits, swapped)
    torch.testing.assert_close(mix.loss(cross_entropy, logits, LABELS), expected)
    assert mix.labels(LABELS).tolist() == swapped.tolist()
    for share in (0.5, 0.6):
        assert Mix(mix.partner, share).labels(LABELS).tolist() == LABELS.tolist()


def test_what_is_asked_for_is_drawn() -> None:
    def drawn(**strengths: float) -> list[Mix | None]:
        return [draw_mix(4, 16, random=_random(seed), **strengths) for seed in range(40)]

    assert drawn(mixup=0, cutmix=0) == [None] * 40
    assert all(mix and mix.box is None for mix in drawn(mixup=0.2, cutmix=0))
    assert all(mix and mix.box for mix in drawn(mixup=0, cutmix=1))
    either = [mix.box is None for mix in drawn(mixup=0.2, cutmix=1) if mix]
    assert 10 <= sum(either) <= 30


@pytest.mark.parametrize(("chance", "least", "most"), [(0.0, 0, 0), (0.5, 20, 44), (1.0, 64, 64)])
def test_erasing_hits_so_many_pictures_with_one_rectangle(
    chance: float, least: int, most: int
) -> None:
    frames = torch.full((64, 32, 32, 3), 7, dtype=torch.uint8)
    changed = (erased(frames, chance, _random(1)) != 7).any(3).numpy()
    assert (frames == 7).all()
    hit = [rectangle for rectangle in changed if rectangle.any()]
    assert least <= len(hit) <= most
    for rectangle in hit:
        rows, columns = np.flatnonzero(rectangle.any(1)), np.flatnonzero(rectangle.any(0))
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert 0.95 * area <= rectangle.sum() <= area <= 0.45 * 32 * 32
