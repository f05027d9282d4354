"""The recipe's parts in whole runs: what the weights become, and what cannot be asked for."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from edgecat.data.batches import Batch
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.models.frames import input_from_frames
from edgecat.training.assembly import assemble
from edgecat.training.config import LEARNING_RATES, TrainConfig
from edgecat.training.finder import RateSweep, find_learning_rate, save_sweep, suggested
from edgecat.training.learner import Learner
from edgecat.training.loop import train
from edgecat.training.run_folder import read_config
from edgecat.training.trainer import Trainer
from edgecat.training.watcher import Watcher
from edgecat_runtime import UserError

PLAIN = {"batch_norm": False, "optimizer": "sgd", "lr": 0.05, "epochs": 1, "augment": False}


def _weights(folder: Path) -> torch.Tensor:
    model, _ = load_checkpoint(folder / "vgg16.safetensors")
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({"batch_size": 6, "accumulate": 2}, {"batch_size": 12}),
        ({"batch_size": 6, "accumulate": 4}, {"batch_size": 6, "accumulate": 4, "clip": 1e6}),
        ({"batch_size": 12, "optimizer": "gd"}, {"batch_size": 36}),
        ({"batch_size": 12, "accumulate": 99}, {"batch_size": 36}),
    ],
    ids=str,
)
def test_accumulated_batches_are_one_large_batch(
    config: TrainConfig, options: dict[str, object], same: dict[str, object]
) -> None:
    """Of 36 pictures, in batches of even size."""
    config = replace(config, **PLAIN)
    parts = train(replace(config, name="parts", **options))
    whole = train(replace(config, name="whole", **same))
    torch.testing.assert_close(_weights(parts.folder), _weights(whole.folder))
    assert parts.best.train_loss == pytest.approx(whole.best.train_loss, rel=1e-3)


def test_the_last_incomplete_group_of_an_epoch_makes_its_own_update(
    config: TrainConfig,
) -> None:
    """Six batches of six images, accumulate 4: one update over 24 images, then one over 12."""
    options = {**PLAIN, "batch_size": 6, "accumulate": 4, "schedule": "constant", "warmup": 0.0}
    trainer = assemble(replace(config, weight_decay=0.0, **options), watcher=Watcher())
    model = trainer.learner.model.train()
    by_hand = copy.deepcopy(model)
    batches = list(trainer.run.loader.batches(0, 0))
    assert [len(batch.labels) for batch in batches] == [6] * 6
    for batch in batches:
        trainer.step(batch)
        trainer.state.step += 1
    for group in (batches[:4], batches[4:]):
        frames = torch.from_numpy(np.concatenate([batch.frames for batch in group]))
        labels = torch.from_numpy(np.concatenate([batch.labels for batch in group]))
        logits = by_hand(input_from_frames(frames, trainer.run.card))
        loss = cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        weights = list(by_hand.parameters())
        with torch.no_grad():
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight -= 0.05 * gradient
    torch.testing.assert_close(model.state_dict(), by_hand.state_dict())


def test_a_clipped_step_is_as_long_as_asked(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = []

    def noted(learner: Learner, rate: float, **options: Any) -> None:
        weights = list(learner.model.parameters())
        before = [weight.detach().clone() for weight in weights]
        update(learner, rate, **options)
        moved = [w.detach() - b for w, b in zip(weights, before, strict=True)]
        norms.append(torch.cat([m.flatten() for m in moved]).norm().item())

    update = Learner.update
    monkeypatch.setattr(Learner, "update", noted)
    options = {**PLAIN, "clip": 1e-3, "lr": 0.5, "schedule": "constant", "warmup": 0.0}
    train(replace(config, weight_decay=0.0, **options))
    assert norms == pytest.approx([0.5e-3] * 5, rel=1e-2)


@pytest.mark.parametrize("name", sorted(LEARNING_RATES.keys() - {"gd", "nag"}))
def test_every_optimizer_learns_at_its_own_rate(config: TrainConfig, name: str) -> None:
    recipe = {"optimizer": name, "lr": None, "augment": False, "label_smoothing": 0.0}
    result = train(replace(config, epochs=4, **recipe))
    assert result.history[-1].train_loss < 0.95 * result.history[0].train_loss


def test_the_moving_average_is_what_is_saved(config: TrainConfig) -> None:
    plain = train(replace(config, name="plain", epochs=1))
    averaged = train(replace(config, name="averaged", epochs=1, ema=0.5))
    assert averaged.best.train_loss == plain.best.train_loss
    assert not torch.equal(_weights(averaged.folder), _weights(plain.folder))


def test_progressive_sizes_reach_the_model(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def noted(trainer: Trainer, batch: Batch) -> torch.Tensor:
        sizes.append(batch.frames.shape[1])
        return step(trainer, batch)

    step = Trainer.step
    monkeypatch.setattr(Trainer, "step", noted)
    result = train(replace(config, progressive="40:1,48:1", size=32, batch_size=18))
    assert sizes == [40, 40, 48, 48, 48, 48]
    assert load_checkpoint(result.checkpoint)[1].height == 32


def test_a_small_student_learns_from_a_teacher(config: TrainConfig) -> None:
    """From its answers alone: the labels weigh nothing."""
    recipe = {"optimizer": "adamw", "lr": 3e-3, "augment": False, "label_smoothing": 0.0}
    config = replace(config, epochs=8, **recipe)
    teacher = train(replace(config, name="teacher"))
    assert teacher.evaluation.accuracy >= 0.9
    options = {"teacher": str(teacher.checkpoint), "teacher_weight": 1.0}
    student = train(replace(config, width=0.04, epochs=10, **options))
    assert student.evaluation.accuracy >= 0.8
    assert Path(read_config(student.folder).teacher).is_absolute()


def test_a_teacher_of_other_labels_is_refused(config: TrainConfig, checkpoint: Path) -> None:
    model, card = load_checkpoint(checkpoint)
    path = checkpoint.with_name("other.safetensors")
    save_checkpoint(path, model, replace(card, labels=("ant", "bee")))
    with pytest.raises(UserError, match="has the labels ant, bee; expected those of the images"):
        train(replace(config, teacher=str(path)))
    assert not Path(config.output).exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"schedule": "cosinus"}, "schedule is 'cosinus'; expected one of cosine, one-cycle"),
        ({"accumulate": 0}, "--accumulate is 0; expected 1 to"),
        ({"optimizer": "gd", "accumulate": 2}, "gd makes one update per epoch. Leave out --acc"),
        ({"clip": 0.0}, "--clip is 0.0"),
        ({"erase": 1.5}, "--erase is 1.5; expected 0 to 1"),
        ({"mixup": -1.0}, "--mixup is -1.0; expected 0 to 100"),
        ({"teacher_weight": 2.0}, "--teacher-weight is 2.0; expected 0 to 1"),
        ({"progressive": "64"}, "--progressive is '64'; expected sizes from 32"),
        ({"progressive": "64:2", "head": "dense"}, "needs a network that takes any size"),
        ({"ema": 1.0}, "--ema is 1.0"),
    ],
)
def test_recipes_that_cannot_be(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        TrainConfig(data=("x",), **options)


def _losses(shape: str) -> list[float]:
    """A sweep of 100 steps: `-` is flat, a digit so many tenths below, `^` far above."""
    noise = np.random.default_rng(0).normal(0, 0.01, 100)
    levels = [{"-": 0.0, "^": 1.0}.get(c, -0.1 * int(c) if c.isdigit() else 0) for c in shape]
    return (0.7 + np.repeat(levels, 100 // len(shape)) + noise).tolist()


@pytest.mark.parametrize(
    ("shape", "step"),
    [
        ("-----123^^", 80),  # falls, then climbs
        ("--------^^", 80),  # hardly learns, then climbs
        ("-----123^-", 80),  # and then is dead
        ("------1234", 100),
    ],
)
def test_the_suggested_rate_is_a_third_of_where_the_loss_was_still_low(
    shape: str, step: int
) -> None:
    rates = np.geomspace(1e-5, 1.0, 100)
    suggestion = suggested(rates, _losses(shape))
    assert rates[step - 4] < 3 * suggestion < rates[min(step + 2, 99)] * 1.05


def test_a_loss_that_climbs_at_once_is_no_sweep() -> None:
    with pytest.raises(UserError, match="the loss rose from the start, at a learning rate of 0.1"):
        suggested([0.1, 0.2, 0.3], [0.7, 1.0, 3.0])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_sweep_climbs_and_trains_nothing(
    config: TrainConfig, tmp_path: Path, accumulate: int
) -> None:
    config = replace(config, optimizer="adamw", augment=False, accumulate=accumulate)
    sweep = find_learning_rate(config, lowest=1e-4, highest=1.0, steps=30)
    assert isinstance(sweep, RateSweep)
    expected = np.geomspace(1e-4, 1.0, 30)[: len(sweep.rates)]
    assert sweep.rates == pytest.approx(expected)
    assert 10 < len(sweep.rates) == len(sweep.losses) == len(sweep.smoothed)
    assert 1e-4 < sweep.suggestion < 0.3
    assert not Path(config.output).exists()
    save_sweep(sweep, tmp_path)
    assert len((tmp_path / "rates.csv").read_text().splitlines()) == len(sweep.rates) + 1
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
