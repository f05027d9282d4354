"""The page's files, read once, so that a request cannot reach any other file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from edgecat_runtime.web.panels import Panel

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "html": "text/html"}
_NAMES = ("style.css", "page.css", "page.js", "headline.js", "chart.js", "icon.svg")


def page_files(panels: Sequence[Panel]) -> dict[str, tuple[bytes, str]]:
    """Return body and content type per URL path: the page with its panels and their files."""
    static = files("edgecat_runtime.web") / "static"
    page = (static / "index.html").read_text(encoding="utf-8")
    page = page.replace("<!-- panel heads -->", "\n".join(map(_head, panels)))
    page = page.replace("<!-- panels -->", "\n".join(map(_section, panels)))
    found = {"/": (page.encode(), "text/html")}
    for name in _NAMES:
        found[f"/{name}"] = (static / name).read_bytes(), _TYPES[name.partition(".")[2]]
    for panel in panels:
        found[f"/panels/{panel.name}.js"] = panel.script.encode(), _TYPES["js"]
        found[f"/panels/{panel.name}.css"] = panel.style.encode(), _TYPES["css"]
    return found


def _head(panel: Panel) -> str:
    style = f'<link rel="stylesheet" href="/panels/{panel.name}.css">' if panel.style else ""
    script = f'<script type="module" src="/panels/{panel.name}.js"></script>'
    return style + (script if panel.script else "")


def _section(panel: Panel) -> str:
    title = f"<h2>{escape(panel.title)}</h2>"
    return f'<section class="card panel" id="panel-{panel.name}">{title}{panel.html}</section>'
