"""Bursts: images captured in one go, which must not be divided between training and test."""

from __future__ import annotations

from collections.abc import Sequence

PAUSE = 2.0
"""Seconds without a capture that end a burst."""
SHARE = 0.2
"""Fraction of a class's images to hold out, at least, where its bursts allow it."""


def bursts_of(times: Sequence[float], *, pause: float = PAUSE) -> list[int]:
    """Number the burst of each image of a class, in the order of time.

    Args:
        times: capture times in seconds, in any order.
        pause: seconds without a capture that end a burst.

    Returns:
        A number per image, from 0.

    Example:
        >>> bursts_of([10.0, 10.4, 30.0, 10.8])
        [0, 0, 1, 0]
    """
    numbers = [0] * len(times)
    number, last = 0, None
    for index in sorted(range(len(times)), key=times.__getitem__):
        if last is not None and times[index] - last > pause:
            number += 1
        numbers[index], last = number, times[index]
    return numbers


def held_out(bursts: Sequence[int], *, share: float = SHARE) -> frozenset[int]:
    """Choose the bursts to hold out: the latest ones, whole, and never most of the images.

    Args:
        bursts: the burst of each image of a class, as `bursts_of` numbers them.
        share: of the images to hold out, at least.

    Returns:
        The bursts; none if a class has one burst, or if no choice leaves half of the images.

    Example:
        >>> sorted(held_out([0] * 10 + [1] * 10 + [2] * 5))
        [2]
    """
    sizes = {burst: bursts.count(burst) for burst in sorted(set(bursts), reverse=True)}
    least, most = share * len(bursts), len(bursts) / 2
    chosen: set[int] = set()
    for burst, size in sizes.items():
        count = sum(sizes[one] for one in chosen)
        if count < least and count + size <= most:
            chosen.add(burst)
    if sum(sizes[one] for one in chosen) < least:  # the latest are too small; one may be enough
        chosen = next(({one} for one, size in sizes.items() if least <= size <= most), chosen)
    return frozenset(chosen)
