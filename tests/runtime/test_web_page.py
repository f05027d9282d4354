"""The camera's page in a real Chromium."""

from __future__ import annotations

import http.server
import importlib.util
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime import Camera, Pipeline
from edgecat_runtime.camera.opening import register_source
from edgecat_runtime.web import Panel, WebPage, panels, register_panel

pytest.importorskip("aiohttp", reason="the web page needs aiohttp")
pytest.importorskip("playwright.sync_api", reason="the browser is led by playwright")

_SPEC = importlib.util.spec_from_file_location("web_loop", Path(__file__).with_name("web_loop.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
web_loop = importlib.util.module_from_spec(_SPEC)
sys.modules["web_loop"] = web_loop
_SPEC.loader.exec_module(web_loop)
served = web_loop.served

Make = Callable[..., Any]

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
SECONDS = 20_000  # milliseconds, of a busy machine


@pytest.fixture
def look(chromium: Any) -> Iterator[Callable[..., Any]]:
    """`look(url, **context)`: open a page; every error in its console fails the test."""
    contexts, errors = [], []

    def open_page(url: str, **options: Any) -> Any:
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(SECONDS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: errors.append(message.text) if message.type == "error" else None,
        )
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    # That a server stopped, or answered 401, is what some tests are about.
    assert [error for error in errors if "Failed to load resource" not in error] == []


def becomes(page: Any, expression: str) -> None:
    """Wait until a JavaScript expression is true; Playwright's own wait is refused by the CSP."""
    end = time.monotonic() + SECONDS / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"{expression} was never true"
        page.wait_for_timeout(30)


def live(page: Any) -> None:
    """Wait until the page shows a live picture."""
    page.wait_for_selector("#state[data-state=live]")
    becomes(page, "picture.naturalWidth > 0")


def picture(page: Any) -> np.ndarray:
    data = np.frombuffer(page.locator("#picture").screenshot(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert image is not None
    return image.astype(int)


def test_it_shows_a_moving_picture_the_label_and_figures(brightness: Make, look: Make) -> None:
    with served(brightness()) as loop:
        page = look(loop.page.url)
        live(page)
        assert page.title() == "dark · edgecat"
        assert page.inner_text("#label") == "dark"
        assert re.fullmatch(r"\d+(\.\d)? %", page.inner_text("#confidence"))
        first = picture(page)
        loop.until(lambda: np.abs(picture(page) - first).max() > 100)
        assert page.inner_text("#source") == "squares:dark"
        for word in ("capture", "preprocess", "infer", "output"):
            assert word in page.inner_text("#stages")
        becomes(page, "facts.innerText.includes('brightness')")
        assert page.locator("#stop").is_hidden()
        assert page.locator("#sources").is_hidden()
        drawn = "[...chart.getContext('2d').getImageData(0, 0, 300, 150).data]"
        becomes(page, f"{drawn}.some(value => value > 0)")
        becomes(page, "chart.ariaLabel.includes('dark')")
        names = "performance.getEntriesByType('resource').map(entry => new URL(entry.name).origin)"
        assert set(page.evaluate(names)) == {f"http://127.0.0.1:{loop.port}"}


@pytest.mark.parametrize(
    ("label", "shares", "expected"),
    [
        ("cat", {"cat": 0.9, "dog": 0.1}, ("cat", 0.9, "")),
        ("cat", {"dog": 0.544, "cat": 0.456}, ("dog?", 0.544, "doubtful; decided before: cat")),
        ("dog", {"dog": 0.6, "cat": 0.4}, ("dog?", 0.6, "doubtful: cat is close")),
        ("fox", {"fox": 0.4, "cat": 0.1, "dog": 0.1}, ("fox", 0.4, "")),
        ("unsure", {"dog": 0.62, "cat": 0.38}, ("unsure", 0, "closest: dog, 62.0 %")),
        ("cup", {"cup": 1.0}, ("cup", 1, "")),
    ],
)
def test_the_headline_is_what_leads_and_says_when_it_is_doubtful(
    brightness: Make,
    look: Make,
    label: str,
    shares: dict[str, float],
    expected: tuple[str, float, str],
) -> None:
    camera = {
        "label": label,
        "confidence": 0 if label == "unsure" else shares[label],
        "probabilities": list(shares.items()),
    }
    with served(brightness()) as loop:
        page = look(loop.page.url)
        said = page.evaluate(
            "camera => import('/headline.js').then(module => module.headline(camera))", camera
        )
    assert (said["text"], said["share"], said["note"]) == expected


def test_several_sources_are_side_by_side(brightness: Make, look: Make) -> None:
    sources = [web_loop.Squares(name) for name in ("squares:dark", "squares:bright")]
    site = WebPage("0")
    with Camera(sources[0]) as one, Camera(sources[1]) as two:
        pipeline = Pipeline([one, two], brightness(), [site])
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        try:
            page = look(site.url)
            tiles = page.locator(".tile")
            becomes(page, "document.querySelectorAll('.tile strong').length === 2")
            becomes(page, "[...document.querySelectorAll('.tile img')].every(i => i.naturalWidth)")
            becomes(page, "document.querySelectorAll('.tile strong')[1].innerText === 'bright'")
            assert [tile.get_attribute("aria-pressed") for tile in tiles.all()] == ["true", "false"]
            tiles.nth(1).click()
            becomes(page, "document.getElementById('source').innerText === 'squares:bright'")
            assert page.locator("#screen").is_hidden()
            page.select_option("#cameras select", "0")
            becomes(page, "picture.naturalWidth > 0")
            assert page.locator("#grid").is_hidden()
        finally:
            pipeline.stop()
            thread.join(20)
            assert not thread.is_alive()


def test_a_snapshot_is_downloaded(brightness: Make, look: Make, tmp_path: Path) -> None:
    with served(brightness()) as loop:
        page = look(loop.page.url)
        live(page)
        with page.expect_download() as waiting:
            page.click("#snapshot")
        assert re.fullmatch(r"edgecat-\d{8}-\d{6}\.jpg", waiting.value.suggested_filename)
        waiting.value.save_as(tmp_path / "s.jpg")
    image = cv2.imread(str(tmp_path / "s.jpg"))
    assert image is not None
    assert image.shape == (360, 640, 3)


def test_a_lost_signal_is_shown_and_its_return(
    brightness: Make, look: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgecat_runtime.web import loop_status

    monkeypatch.setattr(loop_status, "LEAST_SILENCE", 0.5)
    with served(brightness()) as loop:
        page = look(loop.page.url)
        live(page)
        loop.source.flows.clear()
        page.wait_for_selector("#state[data-state='no signal']")
        assert page.inner_text("#notice").startswith("No signal")
        assert page.locator("#answer").is_hidden()
        loop.source.flows.set()
        live(page)
        assert page.locator("#notice").is_hidden()


def test_who_may_switches_the_source_and_stops(brightness: Make, look: Make) -> None:
    register_source("squares", lambda text, options: web_loop.Squares(text))
    with served(brightness(), control=True, sources=("squares:dark", "squares:bright")) as loop:
        page = look(loop.page.url)
        live(page)
        page.select_option("#sources select", "squares:bright")
        becomes(page, "label.textContent === 'bright'")
        assert page.inner_text("#source") == "squares:bright"
        page.click("#stop")
        page.click("#keep")
        assert loop.ask("/healthz")[0] == 200
        page.click("#stop")
        page.click("#really")
        page.wait_for_selector("#state[data-state=stopped]")
        loop.until(lambda: not loop.page._server._thread.is_alive())


def test_it_works_on_a_phone(brightness: Make, look: Make) -> None:
    with served(brightness(), control=True) as loop:
        page = look(loop.page.url, **PHONE)
        live(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        box = page.locator("#picture").bounding_box()
        assert (box["x"], box["width"]) == (0, 390)
        for button in ("#snapshot", "#stop"):
            box = page.locator(button).bounding_box()
            assert box["height"] >= 40  # a finger's
            assert box["y"] + box["height"] < 844  # reached without scrolling
        names = ("classes", "chart", "stages", "facts")
        cards = [page.locator(f"section:has(#{name})") for name in names]
        tops = [card.bounding_box()["y"] for card in cards]
        assert tops == sorted(tops)


def test_a_hidden_page_costs_nothing(brightness: Make, look: Make) -> None:
    hide = """Object.defineProperty(document, "hidden", { value: %s, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"))"""
    with served(brightness()) as loop:
        page = look(loop.page.url)
        live(page)
        assert viewers(loop) == 1
        page.evaluate(hide % "true")
        loop.until(lambda: viewers(loop) == 0)
        page.evaluate(hide % "false")
        loop.until(lambda: viewers(loop) == 1)


def test_the_token_is_traded_for_a_cookie_also_from_a_link_elsewhere(
    brightness: Make, look: Make
) -> None:
    with served(brightness(), address="0.0.0.0:0") as loop, elsewhere(loop) as link:
        page = look(link)
        page.click("a")
        live(page)
        assert page.evaluate("location.href") == f"http://127.0.0.1:{loop.port}/"
        assert page.evaluate("document.cookie") == ""
        stranger = look("about:blank")
        stranger.goto(f"http://127.0.0.1:{loop.port}/")
        assert "token" in stranger.inner_text("h1")


def test_a_panel_is_part_of_the_page(
    brightness: Make, look: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "_PANELS", {})
    script = """
    document.getElementById("press").addEventListener("click", async () => {
      const answer = await fetch("/panels/deep/press", { method: "POST", body: "{}" });
      document.getElementById("pressed").textContent = (await answer.json()).pressed;
    });"""
    register_panel(
        Panel(
            "deep",
            "Inside",
            '<button id="press">Press</button><p id="pressed"></p>'
            '<img id="deep" src="/panels/deep/stream?fps=5" loading="lazy" alt="">',
            script=script,
            style="#pressed { color: rgb(1, 2, 3) }",
            actions={"press": lambda message: {"pressed": "yes"}},
            picture=lambda: np.full((20, 30, 3), 77, np.uint8),
        )
    )
    with served(brightness()) as loop:
        page = look("about:blank")
        page.goto(loop.page.url, wait_until="commit")
        live(page)
        page.click("#press")
        becomes(page, "pressed.textContent === 'yes'")
        assert page.evaluate("getComputedStyle(pressed).color") == "rgb(1, 2, 3)"
        page.locator("#deep").scroll_into_view_if_needed()
        becomes(page, "deep.naturalWidth === 30")


def viewers(loop: Any) -> int:
    return int(json.loads(loop.ask("/api/status", Authorization="Bearer x")[2])["viewers"])


class elsewhere:  # noqa: N801
    """Another site, with a link to the page and its token."""

    def __init__(self, loop: Any) -> None:
        token = loop.page.url.partition("?")[2]
        body = f'<a href="http://127.0.0.1:{loop.port}/?{token}">camera</a>'.encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(body if self.path == "/" else b"")

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://localhost:{self._server.server_port}/"

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
