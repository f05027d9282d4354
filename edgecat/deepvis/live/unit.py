"""The parts of the live view that show the selected unit, and titled images."""

from __future__ import annotations

from edgecat.deepvis import rendering
from edgecat.deepvis.live.canvas import CARD, FAINT, Box, Canvas
from edgecat.deepvis.live.view import About, View
from edgecat.deepvis.state import Unit
from edgecat_runtime.types import Image


def unit_name(view: View, unit: Unit) -> str:
    """Return the display name of a unit; a class goes by its label."""
    layer = view.layers[unit.layer]
    if layer.kind == "logits":
        return str(view.labels[unit.channel])
    return f"{layer.short} #{unit.channel}"


def draw_titled(canvas: Canvas, box: Box, caption: str, image: Image) -> None:
    """Draw a caption, and below it an image as large as the box allows."""
    head, area = box.cut_top(canvas.px(20), canvas.px(4))
    canvas.text(caption, head.x, head.y, size=13, colour=FAINT, room=head.width)
    canvas.fill(area, CARD)
    canvas.picture(area, image, smooth=image.shape[0] > 100)


def draw_right(canvas: Canvas, box: Box, view: View) -> None:
    """Draw what is known about the unit, and what is missing, one below the other."""
    about = view.about or About()
    gap, boost = canvas.px(8), 1 / view.state.gamma
    upper, box = box.cut_top(canvas.px(150 if about.known else 270), gap)
    plane = view.maps[view.state.unit.channel]
    if about.synthesised is not None:
        upper, beside = upper.cut_left((upper.width - gap) // 2, gap)
        draw_titled(canvas, beside, "synthesised", about.synthesised)
    image = rendering.tile(plane, width=upper.width, height=upper.width, boost=boost)
    draw_titled(canvas, upper, unit_name(view, view.state.unit), image)
    for caption, sheet in (("top images", about.top), ("their deconvolutions", about.back)):
        if sheet is not None:
            part, box = box.cut_top(canvas.px(220), gap)
            draw_titled(canvas, part, caption, sheet)
    for sentence in about.missing:
        high = canvas.paragraph(sentence, box, size=13)
        _, box = box.cut_top(high, gap)


def draw_about(canvas: Canvas, box: Box, view: View) -> None:
    """Draw what is known about the unit side by side, and what is missing below."""
    about, gap = view.about or About(), canvas.px(8)
    row, below = box.cut_top(canvas.px(170), gap)
    plane = view.maps[view.state.unit.channel]
    image = rendering.tile(plane, width=row.height, height=row.height, boost=1 / view.state.gamma)
    shown = [(unit_name(view, view.state.unit), image)]
    for caption, known in (
        ("synthesised", about.synthesised),
        ("top images", about.top),
        ("deconvolutions", about.back),
    ):
        shown += [(caption, known)] if known is not None else []
    width = (row.width - gap * (len(shown) - 1)) // len(shown)
    for caption, picture in shown:
        part, row = row.cut_left(width, gap)
        draw_titled(canvas, part, caption, picture)
    for sentence in about.missing:
        high = canvas.paragraph(sentence, below, size=13)
        _, below = below.cut_top(high, gap)
