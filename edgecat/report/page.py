"""Pages: one HTML file each, nothing beside it; all reports share their style."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

_PAGE = """<!doctype html>
<html lang="en">
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


def page(title: str, body: str, *, script: str = "") -> str:
    """Return a whole document.

    Args:
        title: plain text.
        body: HTML for inside `<main>`, in the classes of `page.css`.
        script: JavaScript that runs after the body, the only one that the page lets run.
    """
    allowed = element = ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        allowed = f"; script-src 'sha256-{digest}'"
        element = f"\n<script>{script}</script>"
    return _PAGE.format(
        title=escape(title), style=stylesheet(), body=body, allowed=allowed, script=element
    )


def stylesheet() -> str:
    """The style that all pages share."""
    return files("edgecat.report").joinpath("page.css").read_text(encoding="utf-8")


def cards(facts: Sequence[tuple[str, str]]) -> str:
    """Lay out large values, each over a few plain words."""
    boxes = (
        f'<div class="card"><b>{escape(value)}</b><span>{escape(text)}</span></div>'
        for value, text in facts
    )
    return f'<div class="cards">{"".join(boxes)}</div>'


def data_url(source: Path | bytes, kind: str = "image/png") -> str:
    """Put a file into an address, so that the page needs nothing beside it."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[int],
    marked: Sequence[int] = (),
) -> str:
    """Lay out cells, which are HTML already.

    Args:
        header: of the columns.
        rows: of cells.
        left: columns that are text; the others are numbers.
        marked: rows that stand out.
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
