"""Checks of what a person gives: a module to export, its mean and standard deviation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecat_runtime.errors import UserError
from edgecat_runtime.types import Logits

_ROUNDING = 1e-3


def check_normalisation(
    mean: Sequence[float], std: Sequence[float], mean_name: str = "mean", std_name: str = "std"
) -> None:
    """Refuse a mean and a standard deviation that are not those of RGB values in 0..1.

    Args:
        mean: of red, green and blue.
        std: likewise.
        mean_name: for messages.
        std_name: likewise.

    Raises:
        UserError: they are not three finite numbers each, are of values in 0..255, or below 0.
    """
    for name, values in ((mean_name, mean), (std_name, std)):
        if len(values) != 3 or not all(map(math.isfinite, values)):
            raise UserError(
                f"{name} is {values}; expected three finite numbers, such as {name} 0.5,0.5,0.5"
            )
        if max(values) > 1:
            shown = ",".join(f"{value / 255:.4g}" for value in values)
            raise UserError(
                f"{name} is {values}, of pixel values in 0..255; expected 0..1. Divide by 255: "
                f"{name} {shown}"
            )
    if min(std) <= 0:
        raise UserError(f"{std_name} is {std}; expected three numbers above 0")
    if min(mean) < 0:
        raise UserError(f"{mean_name} {mean} is below 0; expected three numbers in 0..1")


def check_module(model: Any) -> None:
    """Refuse what is not a module, such as its state dict.

    Raises:
        UserError: likewise.
    """
    from torch import nn

    if isinstance(model, nn.Module):
        return
    got = f"an object of {type(model).__name__}"
    how = ""
    if isinstance(model, type):
        got, how = f"the class {model.__name__}", f". Make an instance: {model.__name__}()"
    elif isinstance(model, dict):
        how = ". A state dict has weights alone: build the module, then module.load_state_dict(it)"
    raise UserError(f"got {got}; expected a torch module{how}")


def check_logits(logits: Logits) -> None:
    """Refuse probabilities where logits are expected.

    Args:
        logits: float32 (n, classes).

    Raises:
        UserError: likewise.
    """
    total = logits.sum(1)
    if logits.min() >= 0 and bool(np.all(np.abs(total - 1) < _ROUNDING)):
        raise UserError(
            "the module returns probabilities: its values add up to 1. Expected logits, of which "
            "edgecat computes the softmax itself: leave the module's softmax out"
        )
