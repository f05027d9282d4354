"""`edgecat teach` clicked through in a real Chromium, at desktop and at phone size.

EDGECAT_SCREENSHOTS names a folder for pictures of the page, EDGECAT_AXE the file axe.min.js.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the web page needs aiohttp")
pytest.importorskip("onnxruntime", reason="features need ONNX Runtime")

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
SOURCE = "synthetic://things?fps=5&seconds=1.5&seed=2"  # 24 s of each thing
SECONDS = 420  # of a busy machine
RED, GREEN = (60, 60, 200), (70, 150, 60)  # the mug's and the bottle's, BGR


class Teach:
    """A running `edgecat teach`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        command = [
            *(sys.executable, "-m", "edgecat", "teach", "mug", "bottle"),
            *("--source", SOURCE, "--web", "0"),
            *("--output", str(folder / "photos"), "--runs", str(folder / "runs"), *options),
        ]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        match = re.search(r"http://\S+", line)
        assert match, line + self.process.stderr.read()
        self.url = match[0]

    def shown(self) -> str:
        """Which thing the camera shows, by its colour; empty before the first frame."""
        try:
            with urllib.request.urlopen(f"{self.url}snapshot.jpg", timeout=10) as reply:
                data = reply.read()
        except OSError:
            return ""
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(int)
        red, green = ((abs(image - colour).max(2) < 45).sum() for colour in (RED, GREEN))
        return "mug" if red > green else "bottle"

    def stop(self) -> tuple[str, str]:
        """End it as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=60)


def until(is_true: Callable[[], Any], what: str, seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, f"it never happened: {what}"
        time.sleep(0.1)


@pytest.fixture
def teach(tmp_path: Path) -> Iterator[Callable[..., Teach]]:
    started: list[Teach] = []

    def start(*options: str) -> Teach:
        started.append(Teach(tmp_path, *options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.fixture
def look(chromium: Any) -> Iterator[Callable[..., Any]]:
    """`look(url, **context)`: open a page; every error in its console fails the test."""
    contexts, errors = [], []

    def open_page(url: str, **options: Any) -> Any:
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(1000 * SECONDS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector("#state[data-state=live]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def count(page: Any, label: str) -> int:
    found = page.locator(".teach-class", has=page.locator(f"h3:text-is('{label}')"))
    return int(found.locator(".teach-count").inner_text().split()[0])


def holding(page: Any, label: str) -> Any:
    return page.get_by_role("button", name=f"Hold to capture: {label}")


def keep(page: Any, name: str) -> None:
    """Keep a screenshot where EDGECAT_SCREENSHOTS says, to be looked at."""
    if folder := os.environ.get("EDGECAT_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def serious(page: Any) -> list[str]:
    """What axe-core finds in the panel, serious or worse; nothing where EDGECAT_AXE is unset."""
    if not (program := os.environ.get("EDGECAT_AXE")):
        return []
    page.evaluate(Path(program).read_text(encoding="utf-8"))
    found = page.evaluate("axe.run('#panel-teach')")["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:120]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def show_both(taught: Teach, page: Any, number: int) -> None:
    """Hold the mug's button and the bottle's key while the camera shows each."""
    until(lambda: taught.shown() == "bottle", "a bottle")
    until(lambda: taught.shown() == "mug", "a mug")
    button = holding(page, "mug")
    button.scroll_into_view_if_needed()
    before = count(page, "mug")
    box = button.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    until(lambda: count(page, "mug") >= before + number or taught.shown() != "mug", "captures")
    page.mouse.up()
    until(lambda: taught.shown() == "bottle", "a bottle")
    before = count(page, "bottle")
    page.keyboard.down("2")
    until(
        lambda: count(page, "bottle") >= before + number or taught.shown() != "bottle", "captures"
    )
    page.keyboard.up("2")


@pytest.mark.timeout(900)
def test_it_learns_while_one_shows(
    teach: Callable[..., Teach], look: Callable[..., Any], tmp_path: Path
) -> None:
    taught = teach()
    page = look(taught.url, viewport={"width": 1280, "height": 900})
    keep(page, "1-empty")
    assert count(page, "mug") == 0
    show_both(taught, page, 6)
    assert min(count(page, "mug"), count(page, "bottle")) >= 2
    for thing in ("mug", "bottle"):
        until(
            lambda thing=thing: (
                taught.shown() == thing == page.locator("#label").inner_text()
                and taught.shown() == thing
            ),
            f"the answer {thing}",
        )
    keep(page, "2-taught")
    assert serious(page) == []
    assert "Answers now: what you showed" in page.locator("#teach-answers").inner_text()

    phone = look(taught.url, **PHONE)
    until(lambda: count(phone, "mug") == count(page, "mug"), "the same state on the phone")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    picture = tmp_path / "from a phone.png"
    cv2.imwrite(str(picture), np.full((900, 2400, 3), (40, 90, 160), np.uint8))
    before = count(phone, "bottle")
    phone.get_by_label("Add files to bottle").set_input_files(str(picture))
    until(lambda: count(page, "bottle") == before + 1, "the upload on the other page")
    newest = max((tmp_path / "photos" / "bottle").iterdir(), key=lambda path: path.name)
    assert cv2.imread(str(newest)).shape == (600, 1600, 3)

    phone.get_by_text("Add “none of these”").click()
    until(lambda: page.get_by_role("heading", name="none of these").count() == 1, "the class none")
    phone.locator(".teach-class", has=phone.locator("h3:text-is('bottle')")).locator(
        ".teach-thumbs button"
    ).first.click()
    keep(phone, "3-phone-view")
    phone.get_by_label("Move to class").select_option("none")
    until(lambda: count(page, "none of these") == 1, "the moved image")
    assert count(page, "bottle") == before
    page.locator(".teach-class", has=page.locator("h3:text-is('none of these')")).locator(
        ".teach-thumbs button"
    ).first.click()
    page.get_by_role("button", name="Delete").click()
    until(lambda: count(phone, "none of these") == 0, "the deleted image")
    page.get_by_label("New class").fill("a/b")
    page.get_by_role("button", name="Add class").click()
    until(lambda: "single path component" in page.locator("#teach-said").inner_text(), "an error")
    keep(phone, "4-phone")
    assert serious(phone) == []

    taught.process.kill()  # -9: everything that was shown on the page is there
    taught.process.communicate()
    images = [cv2.imread(str(path)) for path in (tmp_path / "photos").rglob("*.jpg")]
    assert len(images) == count(page, "mug") + count(page, "bottle")
    assert all(image is not None for image in images)


@pytest.mark.timeout(1200)
def test_train_use_and_undo(
    teach: Callable[..., Teach], look: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="fine-tuning needs torch")
    taught = teach("--epochs", "2")
    page = look(taught.url, viewport={"width": 1280, "height": 900}, color_scheme="dark")
    show_both(taught, page, 8)
    page.get_by_role("button", name="Train", exact=True).click()
    text = page.locator("#teach-training")
    until(lambda: "Training: epoch" in text.inner_text(), "training")
    keep(page, "5-training-dark")
    page.get_by_role("button", name="Stop training").click()
    until(lambda: "stopped" in text.inner_text(), "a stop")
    page.get_by_role("button", name="Resume").click()
    until(lambda: "Trained" in text.inner_text(), "the end of training")
    page.get_by_role("button", name="Use it").click()
    until(lambda: "in use" in text.inner_text() or "fail" in text.inner_text(), "the model")
    assert "in use" in text.inner_text()
    keep(page, "6-used-dark")
    (run,) = (tmp_path / "runs").iterdir()
    made = {path.name for path in run.iterdir()}
    assert {"vgg16.safetensors", "config.json", "metrics.csv"} <= made
    assert {"vgg16.int8.onnx", "vgg16.fp16.onnx"} & made
    out, err = taught.stop()
    assert (taught.process.returncode, "photos: " in out) == (0, True), err
    taught = teach()  # the running model stays
    page = look(taught.url)
    until(lambda: "vgg16" in page.locator("#teach-answers").inner_text(), "the model again")
    assert "in use" in page.locator("#teach-training").inner_text()
    page.get_by_role("button", name="Undo").click()
    until(lambda: "what you showed" in page.locator("#teach-answers").inner_text(), "undone")
    page.get_by_role("button", name="Use it").wait_for()
