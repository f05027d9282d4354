"""Figures as the findings say them."""

from __future__ import annotations

import math


def short(value: float) -> str:
    """A multiple with two digits: `0.7`, `3.2`, `42,000`."""
    if not math.isfinite(value):
        return "infinitely many" if value > 0 else "no number of"
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.1f}"


def nats(value: float) -> str:
    """A loss: `0.6931`; of a run that diverged, `no number`."""
    return f"{value:.3g}" if math.isfinite(value) else "no number"
