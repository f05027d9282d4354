"""Class names as plots can show them: no mathematics, and only characters that a font has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

_STANDARD = "DejaVu Sans"  # comes with matplotlib


@dataclass(frozen=True)
class PlotNames:
    """The names of the classes in a plot.

    Attributes:
        texts: a text for each class.
        families: font families to draw them with, in order of preference.
    """

    texts: tuple[str, ...]
    families: tuple[str, ...]


def plot_names(labels: Sequence[str]) -> PlotNames:
    """Prepare class names for matplotlib.

    Where its own font lacks characters, such as Korean ones, they are drawn with the first
    installed font that has them all. A name that no installed font can show becomes `class 3`.

    Args:
        labels: the class names.
    """
    families = [_STANDARD]
    shown = set(_characters(_STANDARD))
    missing = {ord(c) for label in labels for c in label} - shown
    if missing:
        found = next((name for name in _others() if missing <= _characters(name)), None)
        if found:
            families.append(found)
            shown |= missing
    texts = [
        label.replace("$", r"\$") if shown.issuperset(map(ord, label)) else f"class {number}"
        for number, label in enumerate(labels)
    ]
    return PlotNames(tuple(texts), tuple(families))


def _others() -> Iterator[str]:
    """Every other installed family, upright sans-serif ones first."""
    from matplotlib.font_manager import fontManager

    names = {font.name for font in fontManager.ttflist if font.style == "normal"}
    yield from sorted(names, key=lambda name: ("Sans" not in name and "Gothic" not in name, name))


@lru_cache(maxsize=256)
def _characters(family: str) -> frozenset[int]:
    """The code points that a family's regular font has; none if it cannot be read."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    try:
        path = findfont(FontProperties(family=family), fallback_to_default=False)
        return frozenset(get_font(path).get_charmap())
    except (ValueError, RuntimeError, OSError):
        return frozenset()
