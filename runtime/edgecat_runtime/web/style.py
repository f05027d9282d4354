"""The style that all of edgecat's pages share, and its colours for other charts."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Literal

Scheme = Literal["light", "dark"]

_VALUE = re.compile(r"--(\w+): (#[0-9a-f]{3,8});")
_DARK = "@media (prefers-color-scheme: dark)"


@cache
def stylesheet() -> str:
    """Return the CSS: colours of both schemes as custom properties, text, cards and buttons."""
    return (files("edgecat_runtime.web") / "static" / "style.css").read_text(encoding="utf-8")


def colours(scheme: Scheme = "light") -> dict[str, str]:
    """Return the colours of a scheme as `#rrggbb` by name, such as `ink`, `rule` or `c0`.

    `c0` to `c7` are for data. Deuteranopes can tell them apart, too: any two differ by a CIEDE2000
    of more than 15 as they see them (Machado et al., 2009, https://doi.org/10.1109/TVCG.2009.113).
    """
    light, dark = stylesheet().split(_DARK, 1)
    found = _VALUE.findall(light if scheme == "light" else dark)
    return {name: _whole(value) for name, value in found}


def palette(scheme: Scheme = "light") -> tuple[str, ...]:
    """Return the eight colours for data; the last one is grey."""
    known = colours(scheme)
    return tuple(known[f"c{number}"] for number in range(8))


def _whole(value: str) -> str:
    return value if len(value) > 4 else "#" + "".join(2 * digit for digit in value[1:])
