"""Parts of the report: tables, bars, a contact sheet, a timeline and a player, as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

import numpy as np

from edgecat.demo.result import Said, Tile
from edgecat.pets.film import FPS, jpegs_from_clip, webm_from_clip
from edgecat.report.page import data_url, table
from edgecat_runtime.system.opencv import cv2_module

TILE = 96
_GREEN, _RED = (87, 139, 46), (59, 66, 200)  # BGR
_COLOURS, _GREY, _WRONG = ("#2f6db3", "#d9762b"), "#8a8f98", "#c8423b"
_LINE, _HIGH = 1032, 72  # size of the timeline, in its own units
_TICK, _INSET = 44, 7  # width of "16 s" and inset for the round corners, in the same units
_PLAYER_WIDTH, _EVERY = 480, 2


def contact_sheet(tiles: Sequence[Tile], columns: int) -> str:
    """Tile images, each underlined in green (correct) or red (wrong), into a JPEG data URL."""
    cv2 = cv2_module()
    gap = 4
    rows = -(-len(tiles) // columns)
    width = min(columns, len(tiles))
    sheet = np.full((rows * (TILE + gap) - gap, width * (TILE + gap) - gap, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = (number // columns) * (TILE + gap), (number % columns) * (TILE + gap)
        picture = cv2.resize(tile.picture, (TILE, TILE), interpolation=cv2.INTER_AREA)
        picture[-4:] = _GREEN if tile.right else _RED
        sheet[y : y + TILE, x : x + TILE] = picture
    return data_url(
        cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes(), "image/jpeg"
    )


def answered_sheet(tiles: Sequence[Tile], columns: int, name: str) -> str:
    """Tile at most one row of images, with the prediction below each."""
    answers = "".join(f"<span>{escape(tile.answer)}</span>" for tile in tiles)
    return (
        f'<div style="width:{100 * len(tiles) / columns:.2f}%">'
        f'<img src="{contact_sheet(tiles, columns)}" style="width:100%" alt="{escape(name)}">'
        f'<div class="answers">{answers}</div></div>'
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
    return html.replace("<td><i", '<td class="bar"><i')


def timeline(said: Sequence[Said], fps: float) -> str:
    """Draw the true label and the decision for every frame of a film as an SVG."""
    labels = sorted({one.truth for one in said} | {one.label for one in said})
    colours = dict(zip(labels, _COLOURS, strict=False))
    unit = _LINE / len(said)
    parts = [*_scenes(said, unit, colours), *_decisions(said, unit, colours)]
    for second in range(0, int(len(said) / fps) + 1, 2):
        x = second * fps * unit
        last = x > _LINE - _TICK
        x, anchor = (min(x, _LINE - _INSET), "end") if last else (x + _INSET, "start")
        parts.append(
            f'<text x="{x:.1f}" y="{_HIGH + 15}" text-anchor="{anchor}" fill="#5d6776" '
            f'font-size="12">{second} s</text>'
        )
    name = "True label and decision, frame by frame"
    box = f"0 0 {_LINE} {_HIGH + 18}"
    return (
        f'<svg viewBox="{box}" shape-rendering="crispEdges" role="img" aria-label="{name}">'
        f"{''.join(parts)}</svg>"
    )


def _scenes(said: Sequence[Said], unit: float, colours: dict[str, str]) -> Iterator[str]:
    start = 0
    for label, group in groupby(one.truth for one in said):
        length = len(list(group))
        x, width = start * unit, length * unit
        yield (
            f'<rect x="{x:.2f}" width="{width - 1:.2f}" height="20" rx="3" '
            f'fill="{colours.get(label, _GREY)}"/>'
            f'<text x="{x + 7:.2f}" y="14.5" fill="#fff" font-size="12">{escape(label)}</text>'
        )
        start += length


def _decisions(said: Sequence[Said], unit: float, colours: dict[str, str]) -> Iterator[str]:
    for number, one in enumerate(said):
        tall = one.confidence * (_HIGH - 24)
        colour = colours.get(one.label, _GREY) if one.label == one.truth else _WRONG
        yield (
            f'<rect x="{number * unit:.2f}" y="{_HIGH - tall:.2f}" width="{unit + 0.2:.2f}" '
            f'height="{tall:.2f}" fill="{colour}"/>'
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
