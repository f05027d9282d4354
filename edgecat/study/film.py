"""An animation of the optimisers' descents inside the page: SVG and a short script."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import torch

from edgecat.report.charts import COLOURS, DASHES, key, themed
from edgecat.report.page import data_url
from edgecat.study.plots import canvas
from edgecat.study.surfaces import SURFACES, Descent, Surface
from edgecat.study.words import tr

_WIDE, _HIGH = 440, 360

STYLE = """<style>
.film { display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
.film svg { width: 100%; border: 1px solid var(--rule); }
.film-bar { display: flex; gap: 14px; align-items: center; margin: 14px 0 4px; }
.film-bar input { flex: 1; min-width: 0; accent-color: var(--blue); }
.film-keys { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 14px; margin-bottom: 12px; }
.film-keys label { cursor: pointer; display: inline-flex; align-items: center; min-height: 28px; }
.film-keys input { margin: 0; } .film-keys .key { margin-left: 6px; }
</style>"""

SCRIPT = """
const ways = [...document.querySelectorAll("[data-way]")].map(group => ({
  group, name: group.dataset.way, line: group.querySelector("polyline"),
  dot: group.querySelector("circle"),
  points: group.querySelector("polyline").getAttribute("points").split(" "),
}));
const slider = document.getElementById("film-step"), button = document.getElementById("film-play");
const told = document.getElementById("film-told"), last = Number(slider.max);
let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches, step = playing ? 0 : last;
let rest = 0;
const show = () => {
  for (const way of ways) {
    const at = Math.min(step, way.points.length - 1), [x, y] = way.points[at].split(",");
    way.line.setAttribute("points", way.points.slice(0, at + 1).join(" "));
    way.dot.setAttribute("cx", x); way.dot.setAttribute("cy", y);
  }
  slider.value = step; told.textContent = told.dataset.step + " " + step;
  button.textContent = playing ? button.dataset.pause : button.dataset.play;
};
setInterval(() => {
  if (!playing) return;
  if (step < last) { step++; rest = 0; }
  else if (++rest > 30) { step = 0; rest = 0; }
  show();
}, 70);
slider.addEventListener("input", () => { playing = false; step = Number(slider.value); show(); });
button.addEventListener("click", () => {
  playing = !playing; if (playing && step === last) step = 0; show();
});
for (const box of document.querySelectorAll("[data-shows]"))
  box.addEventListener("change", () => {
    for (const way of ways) if (way.name === box.dataset.shows)
      way.group.style.display = box.checked ? "" : "none";
  });
show();
"""


def film(found: Sequence[Descent], colours: Mapping[str, str]) -> str:
    """Lay out the surfaces side by side, with complete paths; `SCRIPT` animates them.

    Args:
        found: the descents.
        colours: by optimiser.
    """
    steps = max(len(way.points) for way in found) - 1
    keys = "".join(
        f'<label><input type="checkbox" checked data-shows="{escape(name)}">'
        f"{key(colour)}{escape(name)}</label>"
        for name, colour in colours.items()
    )
    views = "".join(
        _view(surface, [way for way in found if way.surface == surface.name], colours)
        for surface in SURFACES
    )
    return (
        f'{STYLE}<div class="film-keys">{keys}</div><div class="film">{views}</div>'
        '<div class="film-bar"><button class="button" id="film-play" type="button" '
        f'data-play="{tr("Play")}" '
        f'data-pause="{tr("Pause")}">{tr("Play")}</button>'
        f'<input id="film-step" type="range" min="0" max="{steps}" value="{steps}" '
        f'aria-label="{tr("step")}">'
        f'<span id="film-told" data-step="{tr("step")}">{tr("step")} {steps}</span></div>'
    )


def _view(surface: Surface, ways: Sequence[Descent], colours: Mapping[str, str]) -> str:
    lines = "".join(_line(surface, way, colours[way.optimizer]) for way in ways)
    stars = "".join(
        f'<text x="{x:.1f}" y="{y + 7:.1f}" text-anchor="middle" font-size="20" '
        'fill="var(--ink)">★</text>'
        for x, y in (_place(surface, minimum) for minimum in surface.minima)
    )
    title, text = tr(surface.name), tr(surface.text)
    name = f"{title}: {text}"
    return (
        f'<figure><svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="{escape(name)}">'
        f'<image width="{_WIDE}" height="{_HIGH}" href="{_relief(surface)}"/>{stars}{lines}</svg>'
        f"<figcaption><b>{escape(title)}</b>: {escape(text)}</figcaption></figure>"
    )


def _line(surface: Surface, way: Descent, colour: str) -> str:
    points = [f"{x:.1f},{y:.1f}" for x, y in (_place(surface, point) for point in way.points)]
    x, y = points[-1].split(",")
    dash = DASHES[COLOURS.index(colour)] if colour in COLOURS else ""
    hue = themed(colour)
    return (
        f'<g data-way="{escape(way.optimizer)}"><polyline points="{" ".join(points)}" fill="none" '
        f'stroke="{hue}" stroke-width="2" stroke-linejoin="round" '
        f'stroke-dasharray="{dash}"/>'
        f'<circle r="5" cx="{x}" cy="{y}" fill="{hue}" stroke="var(--card)" '
        'stroke-width="1.5"/></g>'
    )


def _relief(surface: Surface) -> str:
    """Return a contour plot, darker where lower, as a PNG data URL."""
    left, right, bottom, top = surface.box
    x, y = np.meshgrid(np.linspace(left, right, 160), np.linspace(bottom, top, 140))
    height = surface.height(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    level = np.log10(height - height.min() + 0.03)
    data = io.BytesIO()
    with canvas(_WIDE / 100, _HIGH / 100) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.contourf(x, y, level, 18, cmap="Greys_r", alpha=0.2)
        axes.contour(x, y, level, 18, colors="white", linewidths=0.5, alpha=0.6)
        figure.savefig(data, format="png", dpi=160, transparent=True)
    return data_url(data.getvalue())


def _place(surface: Surface, point: tuple[float, float]) -> tuple[float, float]:
    """Map a point to the view; points far outside are clamped just outside."""
    left, right, bottom, top = surface.box
    x = (point[0] - left) / (right - left) * _WIDE
    y = (top - point[1]) / (top - bottom) * _HIGH
    return min(max(x, -_WIDE), 2 * _WIDE), min(max(y, -_HIGH), 2 * _HIGH)
