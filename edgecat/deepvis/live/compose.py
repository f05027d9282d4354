"""Composes the live view, a BGR image of any size, from the state and the network's outputs."""

from __future__ import annotations

from edgecat.deepvis import rendering
from edgecat.deepvis.actions import help_lines
from edgecat.deepvis.live.canvas import BLUE, CARD, FAINT, GREEN, ORANGE, RED, RULE, Box, Canvas
from edgecat.deepvis.live.unit import draw_about, draw_right, draw_titled, unit_name
from edgecat.deepvis.live.view import Composed, View

WIDTH, HEIGHT = 1280, 720
TALL_WIDTH, TALL_HEIGHT = 720, 1440  # for a phone
_MOST_TILE = 150
_NAMES = {"gradient": "gradient", "guided": "guided back-propagation", "deconv": "deconvolution"}


def compose(view: View, width: int = WIDTH, height: int = HEIGHT) -> Composed:
    """Draw the live view; one that is higher than wide is for a phone."""
    canvas = Canvas(width, height)
    composed = Composed(canvas.image, view.state, view.notice)
    if height > width:
        _draw_tall(canvas, view, composed)
    else:
        _draw_wide(canvas, view, composed)
    if view.state.help:
        _draw_help(canvas)
    return composed


def _draw_wide(canvas: Canvas, view: View, composed: Composed) -> None:
    gap = canvas.px(10)
    body = canvas.box.inner(canvas.px(12))
    head, body = body.cut_top(canvas.px(24), canvas.px(6))
    strip, body = body.cut_top(canvas.px(24), gap)
    left, middle = body.cut_left(canvas.px(250), gap)
    _draw_head(canvas, head, view)
    _draw_strip(canvas, strip, view, composed)
    _draw_left(canvas, left, view)
    if view.state.about:
        middle, right = middle.cut_left(middle.width - gap - canvas.px(250), gap)
        draw_right(canvas, right, view)
    _draw_middle(canvas, middle, view, composed)


def _draw_tall(canvas: Canvas, view: View, composed: Composed) -> None:
    """Draw the maps, below them the input beside what drives the unit, then the unit itself."""
    gap, state = canvas.px(8), view.state
    body = canvas.box.inner(canvas.px(10))
    head, body = body.cut_top(canvas.px(50), gap)
    _draw_head(canvas, head, view, lines=2)
    strip, body = body.cut_top(canvas.px(28), gap)
    _draw_strip(canvas, strip, view, composed)
    middle, body = body.cut_top(canvas.px(330), gap)
    _draw_middle(canvas, middle, view, composed)
    pair, body = body.cut_top(canvas.px(220), gap)
    left, right = pair.cut_left((pair.width - gap) // 2, gap)
    _draw_input(canvas, left, view)
    _draw_back(canvas, right, view)
    if state.top:
        _draw_predictions(canvas, body, view)
        _, body = body.cut_top(canvas.px(26) * min(5, len(view.labels)), gap)
    if state.about:
        draw_about(canvas, body, view)


# Header: the current unit and the active modes.


def _draw_head(canvas: Canvas, box: Box, view: View, *, lines: int = 1) -> None:
    state, layer = view.state, view.layer
    name = f"{layer.alias} ({layer.name})" if layer.alias else layer.name
    where = f"{name}  {layer.kind}  unit {state.unit.channel} of {layer.units}"
    x = box.x
    if lines > 1:
        first, box = box.cut_top(canvas.px(25))
        canvas.text(where, x, first.y, size=15, colour=BLUE, room=first.width)
    x += canvas.text(view.network, x, box.y, size=17)
    x += canvas.px(14)
    if lines == 1:
        x += canvas.text(where, x, box.y, size=17, colour=BLUE)
    edge = box.x + box.width
    if view.fps:
        edge -= canvas.text(f"{view.fps:.0f} fps", edge, box.y, size=17, colour=FAINT, right=True)
        edge -= canvas.px(14)
    for text, colour in reversed(_modes(view)):
        if edge - x < canvas.px(120):
            break
        edge -= canvas.text(text, edge, box.y, size=17, colour=colour, right=True)
        edge -= canvas.px(14)


def _modes(view: View) -> list[tuple[str, tuple[int, int, int]]]:
    state = view.state
    modes = [
        (view.notice, RED),
        ("frozen" if state.frozen else "", ORANGE),
        (f"held: {unit_name(view, state.held)}" if state.held else "", ORANGE),
        (f"gamma {state.gamma:.2g}" if state.boost else "", FAINT),
        ("stretched" if state.fit == "stretch" else "", FAINT),
    ]
    return [(text, colour) for text, colour in modes if text]


def _draw_strip(canvas: Canvas, box: Box, view: View, composed: Composed) -> None:
    """Draw the names of the layers around the selected one, equally wide."""
    cell = canvas.px(92)
    count = max(1, min(len(view.layers), box.width // cell))
    first = min(max(view.state.unit.layer - count // 2, 0), len(view.layers) - count)
    for place in range(count):
        number, layer = first + place, view.layers[first + place]
        left = box.x + place * box.width // count
        right = box.x + (place + 1) * box.width // count
        part = Box(left, box.y, right - left - canvas.px(2), box.height)
        chosen = number == view.state.unit.layer
        canvas.fill(part, BLUE if chosen else CARD)
        colour = CARD if chosen else FAINT
        room = part.width - 2 * canvas.px(6)
        name = layer.short if len(layer.short) < 13 else f"..{layer.short[-11:]}"
        canvas.text(
            name, part.x + canvas.px(6), part.y + canvas.px(3), size=13, colour=colour, room=room
        )
        composed.strip.append((part, number))


# Left: the network input, what drives the unit, the predictions.


def _draw_left(canvas: Canvas, box: Box, view: View) -> None:
    rows = min(5, len(view.labels)) if view.state.top else 0
    side = max(canvas.px(60), (box.height - rows * canvas.px(26) - canvas.px(60)) // 2)
    upper, box = box.cut_top(side + canvas.px(24), canvas.px(6))
    _draw_input(canvas, upper, view)
    lower, box = box.cut_top(side + canvas.px(24), canvas.px(6))
    _draw_back(canvas, lower, view)
    if rows:
        _draw_predictions(canvas, box, view)


def _draw_input(canvas: Canvas, box: Box, view: View) -> None:
    picture = view.seen.frame
    caption = view.source
    if view.heat is not None:
        picture = rendering.heat_over(picture, view.heat)
        caption = f"Grad-CAM: {view.seen.best(view.labels, 1)[0][0]}"
    draw_titled(canvas, box, caption, picture)


def _draw_predictions(canvas: Canvas, box: Box, view: View) -> None:
    """Draw a row with a bar for each of the most probable classes."""
    for label, share in view.seen.best(view.labels, min(5, len(view.labels))):
        row, box = box.cut_top(canvas.px(26))
        canvas.text(label, row.x, row.y, size=14, room=row.width - canvas.px(70))
        edge = row.x + row.width
        canvas.text(f"{share:.1%}", edge, row.y, size=14, colour=FAINT, right=True)
        meter = Box(row.x, row.y + canvas.px(19), row.width, canvas.px(4))
        canvas.bar(meter, share, GREEN if share >= 0.5 else FAINT)


def _draw_back(canvas: Canvas, box: Box, view: View) -> None:
    state = view.state
    if view.back is None:
        head, area = box.cut_top(canvas.px(20), canvas.px(4))
        canvas.text("back-propagation", head.x, head.y, size=13, colour=FAINT)
        canvas.fill(area, CARD)
        hint = "Which pixels drive this unit? Press b: gradient, guided, deconvolution."
        canvas.paragraph(hint, area.inner(canvas.px(14)), size=14)
        return
    caption = f"{_NAMES[state.back]} of {unit_name(view, state.target)}, {state.look}"
    image = rendering.slopes(view.back, state.look, boost=1 / state.gamma)
    draw_titled(canvas, box, caption, image)


# Centre: all maps of the layer, or one item enlarged.


def _draw_middle(canvas: Canvas, box: Box, view: View, composed: Composed) -> None:
    state = view.state
    head, area = box.cut_top(canvas.px(20), canvas.px(4))
    caption, boost = _caption(view), 1 / state.gamma
    canvas.text(caption, head.x, head.y, size=13, colour=FAINT, room=head.width)
    canvas.fill(area, CARD)
    if view.filters is not None:
        image, _ = rendering.filters_image(view.filters, width=area.width, height=area.height)
        canvas.picture(area, image)
    elif state.zoom == "back" and view.back is not None:
        image = rendering.slopes(view.back, state.look, boost=boost)
        canvas.picture(area, image, smooth=False)
    elif state.zoom == "unit":
        plane = view.maps[state.unit.channel]
        place = area.around(*(plane.shape if plane.ndim == 2 else (1, 1)))
        image = rendering.tile(plane, width=place.width, height=place.height, boost=boost)
        canvas.picture(area, image, smooth=False)
    else:
        _draw_maps(canvas, _room_for_maps(canvas, area, view), view, composed)


def _room_for_maps(canvas: Canvas, area: Box, view: View) -> Box:
    """Limit the tile size of scalar units: a few classes occupy one corner."""
    if view.layer.spatial:
        return area
    side = canvas.px(_MOST_TILE)
    across = min(view.layer.units, max(1, area.width // side))
    down = -(-view.layer.units // across)
    return Box(area.x, area.y, min(area.width, across * side), min(area.height, down * side))


def _draw_maps(canvas: Canvas, area: Box, view: View, composed: Composed) -> None:
    image, grid = rendering.tiles(
        view.maps,
        width=area.width,
        height=area.height,
        boost=1 / view.state.gamma,
        selected=view.state.unit.channel,
    )
    canvas.picture(area, image)
    composed.grid = area, grid
    if view.layer.kind == "logits" and grid.width > canvas.px(60):
        for number in range(grid.count):
            left, _, right, bottom = grid.box(number)
            x, y = area.x + left + canvas.px(8), area.y + bottom - canvas.px(28)
            canvas.text(view.labels[number], x, y, size=14, room=right - left - canvas.px(16))


def _caption(view: View) -> str:
    state, layer = view.state, view.layer
    shape = " x ".join(map(str, layer.shape))
    if view.filters is not None:
        return f"the {len(view.filters)} filters of the first layer"
    if state.zoom == "unit":
        value = float(view.maps[state.unit.channel].max())
        return f"unit {state.unit.channel} of {layer.short}, maximum {value:.3g}"
    if state.zoom == "back" and view.back is not None:
        return f"{_NAMES[state.back]} of {unit_name(view, state.target)}"
    if state.derivatives:
        return f"derivatives of {_driven(view)} by {layer.short}, {shape}: orange +, blue -"
    return f"activations of {layer.short}, {shape}"


def _driven(view: View) -> str:
    """Return the unit whose derivatives the grid shows: the held one, else the predicted class."""
    if view.state.held is not None:
        return unit_name(view, view.state.held)
    return view.seen.best(view.labels, 1)[0][0]


# Help: from the bindings.


def _draw_help(canvas: Canvas) -> None:
    box = canvas.box.inner(canvas.px(60))
    canvas.image[:] = canvas.image // 3
    canvas.fill(box, CARD)
    canvas.frame(box, RULE)
    box = box.inner(canvas.px(26))
    column, rest = box.cut_left(box.width // 2 - canvas.px(10), canvas.px(20))
    line, top = canvas.px(27), box.y
    y = top
    for group, lines in help_lines():
        if y + (len(lines) + 1) * line > box.y + box.height:
            column, y = rest, top
        canvas.text(group, column.x, y, size=18, colour=BLUE)
        y += line
        for keys, description in lines:
            canvas.text(keys, column.x, y, size=16, room=canvas.px(130))
            canvas.text(
                description,
                column.x + canvas.px(138),
                y,
                size=16,
                colour=FAINT,
                room=column.width - canvas.px(138),
            )
            y += line
        y += line // 2
