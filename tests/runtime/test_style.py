"""The shared style's colours, for those who tell red from green and for those who do not."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from edgecat_runtime.web.files import page_files
from edgecat_runtime.web.style import Scheme, colours, palette, stylesheet

# Machado, Oliveira and Fernandes, 2009, table 1: severity 1, on linear RGB.
SEEN = {
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "ordinary": np.eye(3),
}
LEAST = {"deuteranopia": 15, "protanopia": 11, "ordinary": 18}
_TO_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]


def linear(colour: str) -> np.ndarray:
    """Linear RGB, 0..1, of `#rrggbb`."""
    value = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear RGB, at D65."""
    xyz = np.array(_TO_XYZ) @ rgb / (0.95047, 1, 1.08883)
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference(one: np.ndarray, two: np.ndarray) -> float:
    """CIEDE2000 of two colours in CIELAB: Sharma, Wu and Dalal, 2005."""
    chroma = (np.hypot(*one[1:]) + np.hypot(*two[1:])) / 2
    stretch = 1.5 - 0.5 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    (a1, b1), (a2, b2) = one[1:] * (stretch, 1), two[1:] * (stretch, 1)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    lightness, mean = (one[0] + two[0]) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )
    spread = (lightness - 50) ** 2
    dl = (two[0] - one[0]) / (1 + 0.015 * spread / np.sqrt(20 + spread))
    dc = (c2 - c1) / (1 + 0.045 * mean)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * mean * t)
    bent = np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))
    rotation = -2 * np.sqrt(mean**7 / (mean**7 + 25.0**7)) * np.sin(bent)
    return float(np.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh))


def luminance(colour: str) -> float:
    return float(linear(colour) @ _TO_XYZ[1])


def contrast(one: str, two: str) -> float:
    """The contrast ratio of WCAG 2."""
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [  # of the 34 pairs of Sharma, Wu and Dalal, table 1
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_difference_is_that_of_the_paper(
    one: tuple[float, ...], two: tuple[float, ...], expected: float
) -> None:
    assert difference(np.array(one), np.array(two)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("eye", SEEN)
def test_any_two_colours_for_data_differ(scheme: Scheme, eye: str) -> None:
    seen = [lab((np.array(SEEN[eye]) @ linear(c)).clip(0, 1)) for c in palette(scheme)]
    least = min(difference(one, two) for one, two in combinations(seen, 2))
    assert least > LEAST[eye]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stand_out_from_their_ground(scheme: Scheme) -> None:
    known = colours(scheme)
    assert min(contrast(c, known["card"]) for c in palette(scheme)) > 3
    for ground in ("card", "paper"):
        for text in ("ink", "faint", "blue", "green", "orange", "red"):
            assert contrast(known[text], known[ground]) > 4.5, (text, ground)


def test_every_page_has_it() -> None:
    files = page_files(())
    assert files["/style.css"] == (stylesheet().encode(), "text/css")
    assert b'href="/style.css"' in files["/"][0]
