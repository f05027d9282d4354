"""Studies of architectures and of sequences: small ones, and what is said of their figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgecat.models.cost import Cost
from edgecat.study import find_study
from edgecat.study.architectures.measured import Sized
from edgecat.study.architectures.shown import finding as architectures_finding
from edgecat.study.clips import draw_clip
from edgecat.study.readers import Films, MemoryReader, Score, learn_to_read, scored, smoothed
from edgecat.study.report import save_outcome
from edgecat.study.sequence.measured import READERS
from edgecat.study.sequence.shown import finding as sequence_finding
from edgecat.study.sequence.shown import mean_score

QUICK: dict[str, dict[str, Any]] = {
    "architectures": {"names": ("alexnet", "resnet18"), "seeds": 1, "pictures": 32,
                      "validation": 8, "epochs": 1, "seconds": 0.05},
    "sequence": {"seeds": 2, "size": 64, "pictures": 32, "filmed": 12, "validation": 12,
                 "frames": 16, "epochs": 1, "readings": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_a_study_ends_in_a_page(name: str, tmp_path: Path) -> None:
    study = find_study(name)(**QUICK[name])
    done: list[int] = []
    outcome = study.run(done.append)
    assert sum(done) == study.steps
    html, *tables = save_outcome(name, study, outcome, tmp_path)
    assert tables
    assert all(sentence.endswith(".") for sentence in outcome.finding)
    assert not re.search(r"""(src|href)=["'](?!data:)""", html.read_text(encoding="utf-8"))


def test_a_clip_has_two_scenes_and_knows_its_hard_frames() -> None:
    scenes = [np.full((64, 64, 3), level, np.uint8) for level in (40, 200)]
    clips = [draw_clip(scenes, (0, 1), 48, np.random.default_rng(seed)) for seed in range(8)]
    for clip in clips:
        assert clip.labels.tolist() == [0] * clip.cut + [1] * (48 - clip.cut)
        calm = [i for i in range(48) if not clip.hard[i]]
        middle = [abs(float(np.median(clip.frames[i])) - (40, 200)[clip.labels[i]]) for i in calm]
        assert np.median(middle) < 2
    assert 0.05 < np.mean([clip.hard for clip in clips]) < 0.7
    again = draw_clip(scenes, (0, 1), 48, np.random.default_rng(0))
    assert (again.frames == clips[0].frames).all()


def _films(n: int, random: torch.Generator) -> Films:
    """Films of 12 frames that change class at 6; the class is told by the first frame alone."""
    first = torch.arange(n) % 2
    labels = torch.where(torch.arange(12) < 6, first[:, None], 1 - first[:, None])
    features = 0.1 * torch.randn(n, 12, 4, generator=random)
    features[:, 0, 0] += 2.0 * first - 1
    features[:, 6, 1] += 2.0
    hard = np.zeros((n, 12), np.bool_)
    hard[:, 3:5] = True
    return Films(features, torch.zeros(n, 12, 2), labels, hard, np.full(n, 6))


def test_the_memory_remembers_what_a_frame_does_not_show() -> None:
    random = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        reader = MemoryReader(4, 2)
        learn_to_read(reader, _films(64, random), epochs=60, batch=16, random=random)
    films = _films(32, random)
    with torch.no_grad():
        answers = reader(films.features)
    assert scored(answers, films).hard > 0.95
    changed = films.features.clone()
    changed[:, 8:] += 5
    with torch.no_grad():
        assert torch.allclose(reader(changed)[:, :8], answers[:, :8]), "it looks ahead"


def test_scores_by_hand() -> None:
    films = _films(2, torch.Generator().manual_seed(0))
    truth = torch.nn.functional.one_hot(films.labels, 2).float()
    assert scored(truth, films) == Score(1, 1, 1, 0, 0)
    late = truth.clone()
    late[:, 6:8] = truth[:, 5:6]
    assert scored(late, films) == Score(20 / 24, 16 / 20, 1, 0, 2)
    nervous = truth.clone()
    nervous[0, 3] = truth[0, 3].flip(0)
    assert scored(nervous, films).flips == 1
    assert scored(nervous, films).hard == 3 / 4
    assert scored(smoothed(late), films).lag > 2


def test_the_mean_passes_over_what_a_seed_does_not_have() -> None:
    mean = mean_score([Score(0.5, 0.5, 0.25, 1, float("nan")), Score(1, 0.5, 0.75, 2, 4)])
    assert mean == Score(0.75, 0.5, 0.5, 1.5, 4)


@pytest.mark.parametrize(
    ("hard", "said"),
    [
        ((0.6, 0.8, 0.65, 0.7, 0.9), "a video is more than its frames."),
        ((0.6, 0.6, 0.6, 0.6, 0.5), "contrary to the lecture"),
    ],
)
def test_the_sequence_s_finding_follows_the_figures(hard: tuple[float, ...], said: str) -> None:
    means = {name: Score(h, h, h, 1, 2) for name, h in zip(READERS, hard, strict=True)}
    first, second = sequence_finding(means)
    assert said in first
    assert ("are due to its memory" in second) == (hard[-1] > 0.7)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ((0.6, 0.62), (0.8, 0.82), "the newest beats the oldest"),
        ((0.8, 0.82), (0.6, 0.62), "contrary to the lecture"),
        ((0.6, 0.8), (0.7, 0.75), "is not confirmed"),
    ],
)
def test_the_architectures_finding_follows_the_figures(
    old: tuple[float, ...], new: tuple[float, ...], said: str
) -> None:
    cost = Cost(1000, 1_000_000)
    sized = [
        Sized("alexnet", cost, 0.2, cost, 224),
        Sized("resnet18", Cost(2000, 6_000_000), 0.6, cost, 224),
    ]
    first, second = architectures_finding({"alexnet": old, "resnet18": new}, sized, 100)
    assert said in first
    assert "6 times the multiply-adds" in second
    assert "3.0 times as long: latency does not follow arithmetic" in second
    level = [sized[0], Sized("resnet18", Cost(2000, 6_000_000), 1.2, cost, 224)]
    second = architectures_finding({"alexnet": old, "resnet18": new}, level, 100)[1]
    assert "6.0 times as long: latency follows arithmetic" in second
