"""The words of the pages, in the language that is chosen, and figures for the findings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

LANGUAGES = ("en", "ko")
"""English, and Korean from the tables in `edgecat.study.korean`."""
_LANGUAGE: ContextVar[str] = ContextVar("language", default=LANGUAGES[0])


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Present studies in this language, one of `LANGUAGES`."""
    token = _LANGUAGE.set(language)
    try:
        yield
    finally:
        _LANGUAGE.reset(token)


def language() -> str:
    """Return the language being spoken."""
    return _LANGUAGE.get()


def tr(text: str, /, **values: object) -> str:
    """Translate a text into the language being spoken, then insert the values.

    Args:
        text: English, with a named field per value, as for `str.format`.
        values: the values, by name.

    Raises:
        KeyError: the text has no translation.
    """
    return _texts(language())[text].format(**values)


class _English(dict[str, str]):
    def __missing__(self, text: str) -> str:
        return text


def _texts(spoken: str) -> Mapping[str, str]:
    if spoken == "en":
        return _English()
    from edgecat.study.korean import TEXTS

    return TEXTS


def short(value: float) -> str:
    """Format a multiple with two digits: `0.7`, `3.2`, `42,000`."""
    if not math.isfinite(value):
        return tr("infinitely many") if value > 0 else tr("an undefined number of")
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.1f}"


def nats(value: float) -> str:
    """Format a loss: `0.6931`, or `infinity`."""
    return f"{value:.3g}" if math.isfinite(value) else tr("infinity")
