"""Formats figures for the findings."""

from __future__ import annotations

import math


def short(value: float) -> str:
    """Format a multiple with two digits: `0.7`, `3.2`, `42,000`."""
    if not math.isfinite(value):
        return "infinitely many" if value > 0 else "an undefined number of"
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.1f}"


def nats(value: float) -> str:
    """Format a loss: `0.6931`, or `infinity`."""
    return f"{value:.3g}" if math.isfinite(value) else "infinity"
