"""Report pages: self-contained HTML files that share one style."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'{allowed}">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>{script}
</body>
</html>
"""


_FAIL = ' class="fail"'


def page(title: str, body: str, *, script: str = "", language: str = "en") -> str:
    """Return a complete document.

    Args:
        title: plain text.
        body: HTML for inside `<main>`, in the classes of `page.css`.
        script: JavaScript that runs after the body; the page's policy allows no other script.
        language: of the body, as in HTML's `lang`.
    """
    allowed = element = ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        allowed = f"; script-src 'sha256-{digest}'"
        element = f"\n<script>{script}</script>"
    return _PAGE.format(
        title=escape(title), style=stylesheet(), body=body, allowed=allowed, script=element,
        language=language,
    )  # fmt: skip


def stylesheet() -> str:
    """The style shared by all pages."""
    return files("edgecat.report").joinpath("page.css").read_text(encoding="utf-8")


def cards(facts: Sequence[tuple[str, str]]) -> str:
    """Lay out large figures, each with a short caption."""
    boxes = (
        f'<div class="card"><b>{escape(value)}</b><span>{escape(text)}</span></div>'
        for value, text in facts
    )
    return f'<div class="cards">{"".join(boxes)}</div>'


def data_url(source: Path | bytes, kind: str = "image/png") -> str:
    """Encode a file as a data URL, so that the page is self-contained."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[int],
    marked: Sequence[int] = (),
) -> str:
    """Lay out cells that are already HTML.

    Args:
        header: column headers.
        rows: lists of cells.
        left: indices of text columns; the others are numbers.
        marked: indices of rows to highlight.
    """

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}>{cell}</{tag}>" if i in left else f'<{tag} class="number">{cell}</{tag}>'
            for i, cell in enumerate(cells)
        )

    body = "".join(
        f"<tr{_FAIL if number in marked else ''}>{line(row, 'td')}</tr>"
        for number, row in enumerate(rows)
    )
    return f"<table><thead><tr>{line(header, 'th')}</tr></thead><tbody>{body}</tbody></table>"
