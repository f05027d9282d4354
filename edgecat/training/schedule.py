"""Learning-rate schedules."""

from __future__ import annotations

import math

_START, _END = 1 / 25, 1e-4  # of one-cycle, as shares of the peak
_DROPS = (0.5, 0.75)


def learning_rate(
    step: int, steps: int, *, peak: float, warmup: float, schedule: str = "cosine"
) -> float:
    """Warm up to the peak, then follow the schedule.

    `cosine` rises linearly and falls to zero along half a cosine (Loshchilov and Hutter, 2016,
    https://arxiv.org/abs/1608.03983); `linear` falls along a line; `step` falls to a tenth at half
    and at three quarters of the run (He et al., 2015, https://arxiv.org/abs/1512.03385, section
    4.2); `constant` stays. `one-cycle` rises from a 25th of the peak and falls to a ten-thousandth
    of it, both along a cosine (Smith and Topin, 2017, https://arxiv.org/abs/1708.07120; the rate
    alone, momentum stays).

    Args:
        step: 0 .. steps - 1.
        steps: in the whole run.
        peak: the highest rate.
        warmup: fraction of the steps used for warm-up, 0..1.
        schedule: one of those above.
    """
    climbing = warmup * steps
    if step < climbing:
        if schedule == "one-cycle":
            return peak * (_START + (1 - _START) * _cosine(step / climbing))
        return peak * (step + 1) / (climbing + 1)
    done = (step - climbing) / max(steps - climbing, 1)
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "one-cycle":
        return peak * (1 + (_END - 1) * _cosine(done))
    if schedule == "linear":
        return peak * (1 - done)
    if schedule == "step":
        return peak * 0.1 ** sum(step >= drop * steps for drop in _DROPS)
    return peak


def _cosine(share: float) -> float:
    """From 0 to 1 along half a cosine."""
    return 0.5 * (1 - math.cos(math.pi * share))
