"""The learning rate's course, the optimisers, the device and its arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgecat.models.devices import choose_device
from edgecat.training.config import LEARNING_RATES, SCHEDULES
from edgecat.training.optim import (
    autocast,
    choose_precision,
    make_optimizer,
    set_learning_rate,
)
from edgecat.training.schedule import learning_rate
from edgecat_runtime.errors import DeviceError, UserError


@pytest.mark.parametrize(
    ("step", "warmup", "expected"),
    [
        (0, 0.1, 1 / 11),
        (9, 0.1, 10 / 11),
        (10, 0.1, 1.0),
        (55, 0.1, 0.5),
        (99, 0.1, 0.0003),
        (0, 0.0, 1.0),
        (50, 0.0, 0.5),
        (99, 1.0, 100 / 101),
    ],
)
def test_learning_rate(step: int, warmup: float, expected: float) -> None:
    rate = learning_rate(step, 100, peak=2.0, warmup=warmup)
    assert rate == pytest.approx(2 * expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("one-cycle", 0, 1 / 25),
        ("one-cycle", 5, (1 + 1 / 25) / 2),
        ("one-cycle", 10, 1.0),
        ("one-cycle", 55, 0.50005),
        ("linear", 9, 10 / 11),
        ("linear", 55, 0.5),
        ("step", 49, 1.0),
        ("step", 50, 0.1),
        ("step", 75, 0.01),
        ("constant", 4, 5 / 11),
        ("constant", 99, 1.0),
    ],
)
def test_schedules(schedule: str, step: int, expected: float) -> None:
    rate = learning_rate(step, 100, peak=2.0, warmup=0.1, schedule=schedule)
    assert rate == pytest.approx(2 * expected, rel=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 1.0), (2, 0.5), (1000, 0.05)])
def test_the_rate_climbs_once_and_falls(steps: int, warmup: float, schedule: str) -> None:
    course = {"peak": 1.0, "warmup": warmup, "schedule": schedule}
    rates = [learning_rate(i, steps, **course) for i in range(steps)]
    top = rates.index(max(rates))
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("gd", "SGD", {"momentum": 0, "nesterov": False}),
        ("sgd", "SGD", {"momentum": 0, "nesterov": False}),
        ("momentum", "SGD", {"momentum": 0.9, "nesterov": False}),
        ("nag", "SGD", {"momentum": 0.9, "nesterov": True}),
        ("adagrad", "Adagrad", {}),
        ("rmsprop", "RMSprop", {"alpha": 0.9}),
        ("adadelta", "Adadelta", {"rho": 0.95}),
        ("adam", "Adam", {"betas": (0.9, 0.999)}),
        ("adamw", "AdamW", {"betas": (0.9, 0.999)}),
        ("nadam", "NAdam", {"betas": (0.9, 0.999)}),
    ],
)
def test_optimizers(name: str, kind: str, settings: dict[str, object]) -> None:
    """Each by its name; of a model's parameters, only weights decay."""
    assert LEARNING_RATES[name] > 0
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    optimizer = make_optimizer(model, name, lr=0.1, weight_decay=0.01)
    assert type(optimizer).__name__ == kind
    assert {key: optimizer.defaults[key] for key in settings} == settings
    decayed, free = optimizer.param_groups
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert {p.ndim for p in free["params"]} == {1}
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.01, 0.0)
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("toaster", UserError, "expected auto, cpu"),
        ("cuda:77", DeviceError, "is not usable on this machine"),
    ],
)
def test_devices_that_are_none(name: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        choose_device(name)


def test_devices_and_precisions() -> None:
    cpu = choose_device("cpu")
    assert cpu.type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_precision("auto", cpu) in ("fp32", "bf16")
    assert choose_precision("fp32", cpu) == "fp32"
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(precision, cpu):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
