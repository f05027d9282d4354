"""Charts for the pages, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

COLOURS = ("#2f6db3", "#d9762b", "#2e8b57", "#8a5bb8", "#b0892f", "#c8423b", "#4a9aa8", "#8a8f98")


def keys(names: Sequence[str]) -> str:
    """A legend of the colours, as HTML."""
    return "".join(
        f'<span class="key" style="background:{colour}"></span>{escape(name)}'
        for name, colour in zip(names, COLOURS, strict=False)
    )
