"""Parts of the report: contact sheets, bars, a timeline and a player, as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from edgecat.demo.result import Said, Tile
from edgecat.pets.film import FPS, jpegs_from_clip, webm_from_clip
from edgecat.report.charts import DASHES, HUES, LIMIT, RULE
from edgecat.report.page import data_url, scrolling, table
from edgecat_runtime.system.opencv import cv2_module

TILE = 112
_GREY = "var(--c7)"
_LINE, _BASE, _TALL = 1032, 72, 44  # the timeline: width, base line, height of its bars
_TICK, _INSET = 44, 7  # width of "16 s" and inset for the round corners, in the same units
_PLAYER_WIDTH, _EVERY = 480, 2


def contact_sheet(tiles: Sequence[Tile]) -> str:
    """Lay out images, each with its prediction below and a mark: ✓ if correct, ✗ if wrong."""
    return f'<div class="sheet" style="--tile:76px">{"".join(map(_tile, tiles))}</div>'


def _tile(tile: Tile) -> str:
    cv2 = cv2_module()
    image = cv2.resize(tile.picture, (TILE, TILE), interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    tone, mark = ("pass", "✓") if tile.right else ("fail", "✗")
    return (
        f'<figure><img width="{TILE}" height="{TILE}" src="{data_url(jpeg, "image/jpeg")}" alt="">'
        f'<figcaption class="{tone}">{mark} {escape(tile.answer)}</figcaption></figure>'
    )


def bars(rows: Sequence[tuple[str, str, float, float]]) -> str:
    """Draw a bar chart of name, detail, median and 99th percentile in milliseconds."""
    longest = max(median for _, _, median, _ in rows)
    cells = [
        (
            escape(name),
            escape(detail),
            f'<i style="width:{100 * median / longest:.1f}%"></i>',
            f"{median:.2f}",
            f"{p99:.2f}",
        )
        for name, detail, median, p99 in rows
    ]
    html = table(("backend", "artifact", "", "ms, median", "ms, p99"), cells, left=(0, 1, 2))
    return html.replace("<td><i", '<td class="meter"><i')


def timeline(said: Sequence[Said], fps: float) -> str:
    """Draw the true label and the decision for every frame of a film as an SVG."""
    labels = sorted({one.truth for one in said} | {one.label for one in said})
    hues = dict(zip(labels, HUES, strict=False))
    unit = _LINE / len(said)
    base = f'<line x1="0" x2="{_LINE}" y1="{_BASE}" y2="{_BASE}" stroke="{RULE}"/>'
    parts = [base, *_scenes(said, unit, hues), *_decisions(said, unit, hues)]
    for second in range(0, int(len(said) / fps) + 1, 2):
        x = second * fps * unit
        last = x > _LINE - _TICK
        x, anchor = (min(x, _LINE - _INSET), "end") if last else (x + _INSET, "start")
        parts.append(
            f'<text x="{x:.1f}" y="{_BASE + _TALL + 16}" text-anchor="{anchor}" '
            f'fill="var(--faint)" font-size="14">{second} s</text>'
        )
    name = "True label and decision, frame by frame"
    svg = (
        f'<svg viewBox="0 0 {_LINE} {_BASE + _TALL + 22}" role="img" aria-label="{name}">'
        f"{''.join(parts)}</svg>"
    )
    return scrolling(svg, name, wide=True)


def _scenes(said: Sequence[Said], unit: float, hues: dict[str, str]) -> Iterator[str]:
    """Draw a line per scene, in the colour and the dashes of its label, below its name."""
    start = 0
    for label, group in groupby(one.truth for one in said):
        length = len(list(group))
        x, width = start * unit, length * unit
        hue = hues.get(label, _GREY)
        dash = DASHES[HUES.index(hue)] if hue in HUES else ""
        yield (
            f'<text x="{x + 2:.2f}" y="13" fill="var(--ink)" font-size="14">{escape(label)}</text>'
            f'<line x1="{x + 1:.2f}" x2="{x + width - 2:.2f}" y1="21" y2="21" stroke="{hue}" '
            f'stroke-width="6" stroke-dasharray="{dash}"/>'
        )
        start += length


def _decisions(said: Sequence[Said], unit: float, hues: dict[str, str]) -> Iterator[str]:
    """Draw a bar per frame, as high as it is confident; a wrong one hangs below the line."""
    for number, one in enumerate(said):
        tall, right = one.confidence * _TALL, one.label == one.truth
        yield (
            f'<rect x="{number * unit:.2f}" y="{_BASE - tall * right:.2f}" '
            f'width="{unit + 0.2:.2f}" height="{tall:.2f}" '
            f'fill="{hues.get(one.label, _GREY) if right else LIMIT}"/>'
        )


def player(clip: Path) -> str:
    """Embed a film in the page: as WebM, or frame by frame by script if OpenCV cannot write it."""
    webm = webm_from_clip(clip, width=_PLAYER_WIDTH, every=_EVERY)
    if webm is not None:
        return (
            '<video controls autoplay loop muted playsinline style="width:100%" '
            f'src="{data_url(webm, "video/webm")}"></video>'
        )
    frames = jpegs_from_clip(clip, width=_PLAYER_WIDTH, every=_EVERY)
    addresses = ",".join(f'"{data_url(jpeg, "image/jpeg")}"' for jpeg in frames)
    return (
        '<img id="film" style="width:100%" alt="The recording">'
        f"<script>const film=[{addresses}];let at=0;"
        'setInterval(()=>{document.getElementById("film").src=film[at++%film.length]},'
        f"{1000 * _EVERY / FPS:.0f})</script>"
    )
