"""The live look: what its picture shows, its window's keys, and where its frames come from."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from edgecat.deepvis.actions import ACTIONS
from edgecat.deepvis.desk import Desk
from edgecat.deepvis.live.compose import compose
from edgecat.deepvis.live.look import Looker
from edgecat.deepvis.live.session import Live, open_live
from edgecat.deepvis.live.stage import find_images
from edgecat.deepvis.live.view import Composed
from edgecat.deepvis.live.window import Window, key_from_code
from edgecat.deepvis.probe import Probe
from edgecat.deepvis.results import Results
from edgecat.deepvis.state import Scene, State, Unit
from edgecat.models import architecture, build_model
from edgecat.models.checkpoint import load_checkpoint
from edgecat.models.registry import ARCHITECTURES
from edgecat_runtime.camera.opening import register_source
from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.errors import DeviceError, UserError

ACTIVE = 2  # the first activation of the thin VGG16


@pytest.fixture
def probe(checkpoint: Path) -> Probe:
    return Probe(*load_checkpoint(checkpoint))


@pytest.fixture
def results(probe: Probe, tmp_path: Path) -> Results:
    return Results(tmp_path / "vgg16.safetensors", probe.card)


@pytest.fixture
def frame() -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8)
    return cv2.resize(image, (160, 90), interpolation=cv2.INTER_CUBIC)


Show = Callable[[State], Composed]


@pytest.fixture
def show(probe: Probe, results: Results, frame: np.ndarray) -> Show:
    """Compose the picture of one frame in a state."""

    def composed(state: State) -> Composed:
        desk = Desk(Scene(tuple(layer.units for layer in probe.layers)), state)
        looker = Looker(probe, desk, results)
        looker.infer(looker.preprocess(frame)[None])
        return compose(looker.look(source="test", fps=12.0))

    return composed


# Left, top, right, bottom in shares of the picture.
HEAD, LEFT, UPPER = (0, 0, 1, 0.06), (0, 0.14, 0.2, 1), (0, 0.14, 0.2, 0.5)
LOWER, MIDDLE, RIGHT = (0, 0.52, 0.2, 0.9), (0.22, 0.15, 0.77, 1), (0.8, 0.15, 1, 1)
BASE = State(unit=Unit(ACTIVE, 3))
BACK = replace(BASE, back="gradient")


@pytest.mark.parametrize(
    ("before", "change", "changes", "stays"),
    [
        (BASE, {"unit": Unit(ACTIVE, 4)}, RIGHT, LEFT),
        (BASE, {"unit": Unit(ACTIVE + 1, 3)}, MIDDLE, LEFT),
        (BASE, {"frozen": True}, HEAD, MIDDLE),
        (BASE, {"fit": "stretch"}, UPPER, (0.8, 0.05, 1, 0.14)),
        (BASE, {"back": "gradient"}, LOWER, MIDDLE),
        (BACK, {"back": "guided"}, LOWER, MIDDLE),
        (BACK, {"back": "deconv"}, LOWER, MIDDLE),
        (BACK, {"look": "grey"}, LOWER, MIDDLE),
        (BACK, {"look": "norm"}, LOWER, MIDDLE),
        (BACK, {"look": "blurred"}, LOWER, MIDDLE),
        (BACK, {"held": Unit(ACTIVE + 4, 1)}, LOWER, MIDDLE),
        (BACK, {"zoom": "back"}, MIDDLE, LEFT),
        (BASE, {"zoom": "unit"}, MIDDLE, LEFT),
        (BASE, {"derivatives": True}, MIDDLE, LEFT),
        (BASE, {"boost": 2}, MIDDLE, LEFT),
        (BASE, {"boost": -2}, MIDDLE, LEFT),
        (BASE, {"heat": True}, UPPER, MIDDLE),
        (BASE, {"top": False}, (0, 0.9, 0.2, 1), MIDDLE),
        (BASE, {"about": False}, RIGHT, UPPER),
        (BASE, {"filters": True}, MIDDLE, LEFT),
        (BASE, {"help": True}, (0.1, 0.1, 0.9, 0.9), (0, 0.99, 0, 0.99)),
    ],
)
def test_each_part_of_the_state_is_seen_where_it_belongs(
    show: Show, before: State, change: dict[str, Any], changes: Any, stays: Any
) -> None:
    first, second = show(before), show(replace(before, **change))
    assert (_part(first, changes) != _part(second, changes)).any()
    if change != {"fit": "stretch"}:
        assert (_part(first, stays) == _part(second, stays)).all()


def _part(composed: Composed, shares: tuple[float, float, float, float]) -> np.ndarray:
    height, width = composed.image.shape[:2]
    left, top, right, bottom = shares
    return composed.image[
        round(top * height) : round(bottom * height), round(left * width) : round(right * width)
    ]


def test_the_grid_shows_the_maps_that_the_network_computed(show: Show, probe: Probe) -> None:
    composed = show(BASE)
    assert composed.grid is not None
    box, grid = composed.grid
    maps = probe.run(_fitted(probe), [probe.layers[ACTIVE].name]).maps[probe.layers[ACTIVE].name]
    assert grid.count == len(maps)
    bright = []
    for number in range(grid.count):
        left, top, right, bottom = grid.box(number)
        tile = composed.image[
            box.y + top + 3 : box.y + bottom - 3, box.x + left + 3 : box.x + right - 3
        ]
        bright.append(float(tile.mean()))
    assert np.corrcoef(bright, maps.mean((1, 2)))[0, 1] > 0.98


def _fitted(probe: Probe) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8)
    return probe.fit(cv2.resize(image, (160, 90), interpolation=cv2.INTER_CUBIC))


def test_a_click_finds_its_unit_and_its_layer(show: Show) -> None:
    composed = show(BASE)
    height, width = composed.image.shape[:2]
    assert composed.grid is not None
    box, grid = composed.grid
    for number in (0, grid.columns, grid.count - 1):
        left, top, right, bottom = grid.box(number)
        x, y = box.x + (left + right) / 2, box.y + (top + bottom) / 2
        assert composed.at(x / width, y / height) == Unit(ACTIVE, number)
    for place, layer in composed.strip:
        x, y = place.x + place.width / 2, place.y + place.height / 2
        assert composed.at(x / width, y / height) == Unit(layer)
    assert composed.at(0.01, 0.01) is None
    assert show(replace(BASE, zoom="unit")).at(0.5, 0.5) is None


def test_what_is_known_of_a_unit_is_shown_else_how_to_find_it(
    show: Show, results: Results, probe: Probe
) -> None:
    before = show(BASE)
    red = np.full((60, 60, 3), (0, 0, 255), np.uint8)
    for kind in ("top", "deconv", "synthesised"):
        results.write(kind, probe.layers[ACTIVE].name, 3, red)  # type: ignore[arg-type]
    after = show(BASE)
    count = [int((_part(c, RIGHT)[..., 2] > 200).sum()) for c in (before, after)]
    assert count[1] > count[0] + 3 * 100 * 100
    assert (_part(show(replace(BASE, unit=Unit(ACTIVE, 4))), RIGHT)[..., 2] > 250).sum() < 100


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_any_shape_of_frame_any_size_of_picture(
    name: str, results: Results
) -> None:
    known = architecture(name)
    card = known.card(("cat", "dog", "bird"), size=max(known.smallest, 64), factor=0.06)
    card = replace(card, width=card.width + 32)
    torch.manual_seed(0)
    probe = Probe(build_model(card), card)
    desk = Desk(Scene(tuple(layer.units for layer in probe.layers)))
    looker = Looker(probe, desk, results)
    tall = np.random.default_rng(0).integers(0, 256, (1500, 200, 3), np.uint8)
    count = len(probe.layers)
    for number, size in ((0, (1280, 720)), (count // 2, (400, 300)), (count - 1, (333, 700))):
        desk.select(Unit(number, 10**6))
        for action in ("back", "heat", "zoom", "derivatives"):
            desk.act(action)
        looker.infer(looker.preprocess(tall)[None])
        composed = compose(looker.look(), *size)
        assert composed.image.shape == (size[1], size[0], 3)
        assert composed.image.std() > 5


# The window.


@pytest.mark.parametrize(
    ("code", "key"),
    [
        (-1, ""),
        (0, ""),
        (65361, "ArrowLeft"),
        (65362, "ArrowUp"),
        (65363 | 0x100000, "ArrowRight"),  # GTK, with num lock
        (2424832, "ArrowLeft"),  # Windows
        (2621440, "ArrowDown"),
        (63233, "ArrowDown"),  # macOS
        (65365, "PageUp"),
        (27, "Escape"),
        (ord("q"), "q"),
        (ord("L") | 0x110000, "L"),
        (32, " "),
        (65505, ""),  # shift alone
    ],
)
def test_codes_of_the_window_system_are_keys(code: int, key: str) -> None:
    assert key_from_code(code) == key


_CODES = {"ArrowLeft": 65361, "ArrowUp": 65362, "ArrowRight": 65363, "ArrowDown": 65364}
_CODES |= {"PageUp": 65365, "PageDown": 65366, "Escape": 27}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_each_key_of_the_window_does_its_action(action: Any) -> None:
    scene = Scene((20, 20, 20), pictures=3, columns=5)
    start = State(unit=Unit(1, 12), boost=1)
    for key in action.keys:
        desk = Desk(scene, start)
        window = Window(None, desk, "test")  # type: ignore[arg-type]
        assert window.on_key(_CODES.get(key) or ord(key))
        assert desk.state == action.change(start, scene) != start


# Where frames come from.


class Numbers(Source):
    """Frames whose grey level counts up; they can be lost."""

    live = True
    fps = 100.0
    name = "numbers"
    lost = threading.Event()

    def __init__(self) -> None:
        self._count = 0
        self._closed = False

    def read(self) -> Shot | None:
        time.sleep(1 / self.fps)
        if self.lost.is_set():
            raise DeviceError("numbers are lost")
        self._count = (self._count + 1) % 250
        return None if self._closed else Shot(np.full((20, 30, 3), self._count, np.uint8))

    def cancel(self) -> None:
        self._closed = True


@contextmanager
def looked(probe: Probe, results: Results, source: str, *pictures: Path) -> Iterator[Live]:
    """A live look whose loop runs in a thread."""
    Numbers.lost.clear()
    register_source("numbers", lambda text, options: Numbers())
    stop = threading.Event()
    with open_live(probe, results, source, pictures) as live:
        pipeline = live.pipeline(stop=stop)
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        try:
            yield live
        finally:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()


def until(is_true: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def level(live: Live) -> float | None:
    """The grey level of the newest frame; looking at the picture keeps it coming."""
    live.show.picture()
    seen = live.looker.seen
    return None if seen is None else float(seen.frame.mean())


@pytest.fixture
def greys(tmp_path: Path) -> list[Path]:
    paths = []
    for number, grey in enumerate((10, 100, 200)):
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), np.full((40, 60, 3), grey, np.uint8))
    return paths


def test_a_frozen_frame_stays_and_the_look_at_it_goes_on(probe: Probe, results: Results) -> None:
    with looked(probe, results, "numbers:") as live:
        until(lambda: live.show.picture() is not None)
        live.desk.press("f")
        until(lambda: live.show.newest.state.frozen)
        before = level(live)
        live.desk.press("ArrowRight")
        until(lambda: level(live) is not None and live.show.newest.state.unit.channel == 1)
        time.sleep(0.1)
        assert level(live) == before
        live.desk.press("f")
        until(lambda: level(live) != before)


def test_pictures_and_camera_take_turns(probe: Probe, results: Results, greys: list[Path]) -> None:
    with looked(probe, results, "numbers:", *greys) as live:
        until(lambda: live.show.picture() is not None)
        live.desk.press("c")
        until(lambda: level(live) == 10)
        live.desk.press("e")
        until(lambda: level(live) == 100)
        live.desk.press("w")
        live.desk.press("w")
        until(lambda: level(live) == 200)
        live.desk.press("c")
        until(lambda: level(live) not in (None, 10, 100, 200))


def test_pictures_alone_and_a_broken_one(
    probe: Probe, results: Results, greys: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    greys[1].write_bytes(b"no picture")
    with looked(probe, results, "", *greys) as live:
        until(lambda: level(live) == 10)
        live.desk.press("e")
        until(lambda: level(live) == 114)
        assert "cannot decode " in caplog.text
        live.desk.press("e")
        until(lambda: level(live) == 200)


def test_no_signal_is_shown_and_keys_still_work(probe: Probe, results: Results) -> None:
    with looked(probe, results, "numbers:") as live:
        until(lambda: live.show.picture() is not None)
        Numbers.lost.set()
        until(lambda: live.show.picture() is not None and live.show.newest.notice == "no signal")
        live.desk.press("ArrowRight")
        until(lambda: live.show.picture() is not None and live.show.newest.state.unit.channel == 1)
        Numbers.lost.clear()
        until(lambda: live.show.picture() is not None and live.show.newest.notice == "")


def test_a_film_begins_again(probe: Probe, results: Results, tmp_path: Path) -> None:
    path = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 60, (32, 32))
    for number in range(30):
        writer.write(np.full((32, 32, 3), 40 if number < 15 else 200, np.uint8))
    writer.release()
    with looked(probe, results, path) as live:
        for _ in range(2):
            until(lambda: (level(live) or 0) > 150)
            until(lambda: (level(live) or 255) < 100)


def test_nothing_is_worked_out_while_nobody_looks(probe: Probe, results: Results) -> None:
    with looked(probe, results, "numbers:") as live:
        until(lambda: live.looker.seen is not None)
        time.sleep(0.2)
        assert live.show.newest is None
        assert live.show.clock.count == 0
        live.show.picture()
        until(lambda: live.show.newest is not None)


def test_quit_ends_the_loop(probe: Probe, results: Results) -> None:
    register_source("numbers", lambda text, options: Numbers())
    stop = threading.Event()
    with open_live(probe, results, "numbers:") as live:
        pipeline = live.pipeline(stop=stop)
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        live.desk.press("q")
        thread.join(20)
        assert not thread.is_alive()


def test_pictures_are_found_in_the_order_of_people(tmp_path: Path) -> None:
    for name in ("b/10.png", "b/9.png", "a.jpg", ".hidden.png", "text.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    names = [str(path.relative_to(tmp_path)) for path in find_images(str(tmp_path))]
    assert names == ["a.jpg", "b/9.png", "b/10.png"]
    assert len(find_images(str(tmp_path / "b" / "*.png"))) == 2
    assert find_images(str(tmp_path / "text.txt")) == find_images("rtsp://x/*.png") == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="contains no images"):
        find_images(str(tmp_path / "empty"))


def test_a_phone_gets_a_tall_picture_with_large_letters(
    probe: Probe, results: Results, frame: np.ndarray
) -> None:
    desk = Desk(Scene(tuple(layer.units for layer in probe.layers)), BASE)
    looker = Looker(probe, desk, results)
    looker.infer(looker.preprocess(frame)[None])
    tall = compose(looker.look(source="test", fps=12.0), 720, 1440)
    assert tall.image.shape == (1440, 720, 3)
    assert tall.grid is not None
    box, grid = tall.grid
    assert box.width > 0.9 * 720
    left, top, right, bottom = grid.box(3)
    x, y = box.x + (left + right) / 2, box.y + (top + bottom) / 2
    assert tall.at(x / 720, y / 1440) == Unit(ACTIVE, 3)
    places = tall.places()
    assert places["layer"] == ACTIVE
    assert places["grid"][4:] == [grid.count, grid.rows, grid.columns]
    assert [row[4] for row in places["strip"]] == [number for _, number in tall.strip]
    letters = tall.strip[0][0].height  # of a layer's name, 13 units of 480 across
    assert letters * 390 / 720 > 20, "its box on a phone, in pixels"
