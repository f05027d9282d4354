"""The live look's panel in a real Chromium: every action by its key and by its button."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat.deepvis.actions import ACTIONS
from edgecat.deepvis.live.panel import deepvis_panel
from edgecat.deepvis.live.session import Live, open_live
from edgecat.deepvis.probe import Probe
from edgecat.deepvis.results import Results
from edgecat.deepvis.state import State, Unit
from edgecat.models.checkpoint import load_checkpoint
from edgecat_runtime.camera.opening import register_source
from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.errors import UserError

pytest.importorskip("aiohttp", reason="the web page needs aiohttp")
pytest.importorskip("playwright.sync_api", reason="the browser is led by playwright")

SECONDS = 60_000  # milliseconds, of a busy machine
START = State(unit=Unit(5, 9))


class Rings(Source):
    """A ring that grows."""

    live = True
    name = "rings"
    fps = 20.0

    def __init__(self) -> None:
        self._count = 0
        self._closed = threading.Event()

    def read(self) -> Shot | None:
        if self._closed.wait(1 / self.fps):
            return None
        image = np.full((90, 160, 3), 60, np.uint8)
        cv2.circle(image, (80, 45), 5 + self._count % 35, (60, 180, 240), 6)
        self._count += 1
        return Shot(image)

    def cancel(self) -> None:
        self._closed.set()


@dataclass
class Watched:
    """A live look and a page of a browser that shows it."""

    live: Live
    page: Any
    stopped: threading.Event

    def begin(self, state: State = START) -> None:
        """Go back to the state of the start."""
        self.live.desk._change(lambda old: state)
        self.page.evaluate("document.activeElement.blur()")

    def until(self, is_true: Callable[[], Any], seconds: float = SECONDS / 1000) -> None:
        """Wait until something is so, while the browser goes on; fail if it never is."""
        end = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < end, "it did not happen in time"
            self.page.wait_for_timeout(20)

    def shown(self, state: State) -> None:
        """Wait until the composed picture shows a state."""
        self.until(lambda: self.live.show.newest is not None)
        self.until(lambda: self.live.show.newest.state == state)

    def lit(self) -> set[str]:
        """The actions whose buttons are lit."""
        return set(
            self.page.evaluate(
                "[...document.querySelectorAll('#deepvis [aria-pressed=true]')]"
                ".map(button => button.dataset.action)"
            )
        )


@contextmanager
def watching(chromium: Any, checkpoint: Path, folder: Path, *, may_quit: bool) -> Iterator[Watched]:
    """Serve a live look until the end of the block and open its page."""
    from edgecat_runtime.web import WebPage, panels, register_panel

    stills = [folder / f"{number}.png" for number in range(3)]
    for number, path in enumerate(stills):
        cv2.imwrite(str(path), np.full((40, 60, 3), 60 * number + 30, np.uint8))
    register_source("rings", lambda text, options: Rings())
    probe, stop, stopped = Probe(*load_checkpoint(checkpoint)), threading.Event(), threading.Event()
    before = dict(panels._PANELS)
    panels._PANELS.clear()
    with open_live(probe, Results(folder / "m.safetensors", probe.card), "rings:", stills) as live:
        register_panel(deepvis_panel(live.show, live.desk, probe.layers, may_quit=may_quit))
        page = WebPage("0", control=may_quit)
        pipeline = live.pipeline([page], stop=stop)

        def run() -> None:
            pipeline.run()
            stopped.set()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            view = chromium.new_page(viewport={"width": 1280, "height": 1400})
            errors: list[str] = []
            view.on("pageerror", lambda error: errors.append(str(error)))
            view.set_default_timeout(SECONDS)
            while not pipeline.summary.frames:
                time.sleep(0.02)
            view.goto(page.url, wait_until="commit")
            watched = Watched(live, view, stopped)
            size = "document.getElementById('deepvis-picture')?.naturalWidth"
            watched.until(lambda: view.evaluate(f"{size} === 1280"))
            yield watched
            assert errors == []
            view.close()
        finally:
            stop.set()
            thread.join(20)
            panels._PANELS.clear()
            panels._PANELS.update(before)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def watched(
    chromium: Any, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("stills")
    with watching(chromium, checkpoint, folder, may_quit=False) as opened:
        yield opened


DONE = [action for action in ACTIONS if action.name != "quit"]


@pytest.mark.parametrize("way", ["key", "button"])
@pytest.mark.parametrize("action", DONE, ids=lambda action: action.name)
def test_each_action_by_key_and_by_button(watched: Watched, action: Any, way: str) -> None:
    start = State(unit=Unit(5, 9), back="gradient", heat=True)
    expected = action.change(start, watched.live.desk.scene)
    watched.begin(start)
    watched.shown(start)
    if way == "button":
        watched.page.click(f"#deepvis [data-action={action.name}]")
    else:
        watched.page.keyboard.press({" ": "Space"}.get(action.keys[0], action.keys[0]))
    watched.shown(expected)
    assert expected != start
    lit = {one.name for one in ACTIONS if one.active and one.active(expected)}
    watched.until(lambda: watched.lit() == lit)


def test_every_other_key_too(watched: Watched) -> None:
    for action in DONE:
        for key in action.keys[1:]:
            watched.begin()
            expected = action.change(START, watched.live.desk.scene)
            watched.page.keyboard.press("Space" if key == " " else key)
            watched.until(lambda expected=expected: watched.live.desk.state == expected)


def test_a_click_on_a_unit_and_on_a_layer_selects_it(watched: Watched) -> None:
    watched.begin()
    watched.shown(START)
    composed = watched.live.show.newest
    assert composed is not None
    assert composed.grid is not None
    box, grid = composed.grid
    left, top, right, bottom = grid.box(3)
    place, layer = next(entry for entry in composed.strip if entry[1] == 6)
    for x, y, unit in (
        (box.x + (left + right) / 2, box.y + (top + bottom) / 2, Unit(5, 3)),
        (place.x + place.width / 2, place.y + place.height / 2, Unit(layer)),
    ):
        shown = watched.page.locator("#deepvis-picture").bounding_box()
        scale = shown["width"] / composed.image.shape[1]
        watched.page.mouse.click(shown["x"] + x * scale, shown["y"] + y * scale)
        watched.until(lambda unit=unit: watched.live.desk.state.unit == unit)


def test_a_layer_is_chosen_from_the_list(watched: Watched) -> None:
    watched.begin()
    names = watched.page.locator("#deepvis-layer option").all_inner_texts()
    assert names == [str(layer) for layer in watched.live.looker.layers]
    watched.page.select_option("#deepvis-layer", str(len(names) - 1))
    watched.until(lambda: watched.live.desk.state.unit == Unit(len(names) - 1))


def test_keys_in_the_list_are_the_lists_own(watched: Watched) -> None:
    watched.begin()
    watched.page.focus("#deepvis-layer")
    watched.page.keyboard.press("b")
    watched.page.wait_for_timeout(200)
    assert watched.live.desk.state.back == "off"


def test_the_page_hears_of_what_the_window_did(watched: Watched) -> None:
    watched.begin()
    watched.until(lambda: watched.lit() == {"about", "top"})
    watched.live.desk.press("m")
    watched.live.desk.press("o")
    watched.until(lambda: watched.lit() == {"about", "top", "heat"})
    watched.until(lambda: watched.page.input_value("#deepvis-layer") == "6")


def test_the_picture_moves_and_stands_still_when_frozen(watched: Watched) -> None:
    def pixels() -> np.ndarray:
        box = watched.page.locator("#deepvis-picture").bounding_box()
        data = watched.page.screenshot(clip=box)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return image[60:].astype(int)  # below the frame rate

    watched.begin()
    first = pixels()
    watched.until(lambda: np.abs(pixels() - first).max() > 60)
    watched.page.keyboard.press("f")
    watched.until(lambda: watched.live.show.newest.state.frozen)

    def stands_still() -> bool:
        before = pixels()
        watched.page.wait_for_timeout(800)
        return bool(np.abs(pixels() - before).max() < 20)

    watched.until(stands_still)  # a picture from before may still be on its way


def test_it_fits_a_phone(watched: Watched) -> None:
    watched.page.set_viewport_size({"width": 390, "height": 844})
    try:
        assert watched.page.evaluate("document.documentElement.scrollWidth") == 390
        assert watched.page.locator("#deepvis-picture").bounding_box()["width"] > 370
    finally:
        watched.page.set_viewport_size({"width": 1280, "height": 1400})


def test_viewers_may_not_quit_unless_they_are_allowed(watched: Watched) -> None:
    watched.begin()
    assert watched.page.locator("#deepvis [data-action=quit]").count() == 0
    watched.page.keyboard.press("q")
    answer = watched.page.evaluate(
        "fetch('/panels/deepvis/quit', { method: 'POST', body: '{}' }).then(r => r.json())"
    )
    assert "--web-control" in answer["error"]
    assert watched.live.desk.state == START
    assert not watched.stopped.is_set()


@pytest.mark.parametrize("way", ["key", "button"])
def test_who_may_quits(chromium: Any, checkpoint: Path, tmp_path: Path, way: str) -> None:
    with watching(chromium, checkpoint, tmp_path, may_quit=True) as opened:
        if way == "key":
            opened.page.keyboard.press("q")
        else:
            opened.page.click("#deepvis [data-action=quit]")
        opened.until(opened.stopped.is_set)


@pytest.mark.parametrize(
    ("action", "message"),
    [("click", {}), ("click", {"x": "1", "y": 0}), ("select", {"layer": 0.5, "unit": 1})],
)
def test_senseless_messages_are_refused(
    watched: Watched, action: str, message: dict[str, Any]
) -> None:
    panel = deepvis_panel(watched.live.show, watched.live.desk, watched.live.looker.layers)
    with pytest.raises(UserError, match="expected a number"):
        panel.actions[action](message)
