"""Create `docs/edgecat.webp`, the moving picture in the README, from real runs.

    make demo
    .venv/bin/python docs/moving.py demo

Screenshots of `edgecat camera --web` watching drawn pets with the demo's model, in Chromium; then a
terminal with what `edgecat classify` really prints for a file with one flipped byte, and for one
whose colour order is wrong. `--frames FOLDER` also writes every frame as PNG, to look at.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import onnx
from matplotlib import font_manager
from onnx import numpy_helper
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import sync_playwright

from edgecat.pets.synthetic import draw_pet
from edgecat_runtime.model.artifact import read_card, seal_onnx

WIDTH, HEIGHT = 880, 560
SHOTS, SHOT_MS = 24, 450
COLUMNS, LINE = 84, 23
PAPER, INK, DIM, GREEN, RED = "#11161d", "#d7dee7", "#8593a3", "#7ee0a0", "#ff8a80"
Frames = list[tuple[Image.Image, int]]
"""Pictures, each with the milliseconds it is shown."""


def main() -> None:
    """Run everything and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, nargs="?", default=Path("demo"))
    parser.add_argument("--frames", type=Path, help="also write the frames here, as PNG")
    asked = parser.parse_args()
    model = asked.demo / "run" / "vgg16.onnx"
    frames = [*camera_page(model), *refusals(model)]
    output = Path(__file__).with_name("edgecat.webp")
    pictures, times = zip(*frames, strict=True)
    pictures[0].save(
        output,
        save_all=True,
        append_images=pictures[1:],
        duration=times,
        loop=0,
        quality=62,
        method=6,
        allow_mixed=True,
    )
    if asked.frames:
        asked.frames.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures):
            picture.save(asked.frames / f"{number:03}.png")
    size = output.stat().st_size
    sys.stdout.write(f"{len(pictures)} frames, {sum(times) / 1e3:.1f} s, {size:,} bytes\n")


def camera_page(model: Path) -> Frames:
    """Screenshots of the camera's page while drawn pets are classified."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    source = "synthetic://pets?fps=4&seed=4"
    command = [sys.executable, "-m", "edgecat", "camera", "--source", source, "--headless"]
    command += ["--model", str(model), "--web", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as camera:
        try:
            return list(_screenshots(f"http://127.0.0.1:{port}/", camera))
        finally:
            camera.send_signal(signal.SIGCONT)
            camera.terminate()


def _screenshots(
    address: str, camera: subprocess.Popen[bytes]
) -> Iterator[tuple[Image.Image, int]]:
    """Screenshots of the page; the camera stands still meanwhile, however busy the machine is."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        still = cv2.imencode(".png", np.zeros((2, 2, 3), np.uint8))[1].tobytes()
        page.route(  # not aborted, or the page would try again over the stills
            "**/stream?*", lambda route: route.fulfill(body=still, content_type="image/png")
        )
        for _ in range(100):
            try:
                page.goto(address)
                break
            except Exception:  # the server is not up yet
                time.sleep(0.2)
        page.wait_for_timeout(1500)
        for number in range(SHOTS):
            page.evaluate(_SHOW, number)
            camera.send_signal(signal.SIGSTOP)
            page.wait_for_timeout(400)
            yield Image.open(BytesIO(page.screenshot())).convert("RGB"), SHOT_MS
            camera.send_signal(signal.SIGCONT)
            page.wait_for_timeout(700)
        browser.close()


_SHOW = """async number => {
  const picture = document.getElementById("picture");
  picture.src = `/snapshot.jpg?camera=0&number=${number}`;
  await picture.decode();
  await new Promise(done => setTimeout(done, 250));  // until the label is as new
}"""
"""Shows the newest frame as a still: a screenshot of the stream may fall between two frames."""


def refusals(model: Path) -> Frames:
    """A terminal: the intact file answers; a damaged one and one with swapped colours do not."""
    with _workplace(model) as folder:
        byte = (folder / "pets.onnx").read_bytes()[100_000] ^ 1
        flip = f"printf '\\x{byte:02x}' | dd of=pets.onnx bs=1 seek=100000 conv=notrunc status=none"
        terminal = _Terminal(folder)
        terminal.run("edgecat classify cat.png --model pets.onnx")
        terminal.hold(1200)
        terminal.note("# flip one bit of one byte")
        terminal.run(flip)
        terminal.run("edgecat classify cat.png --model pets.onnx")
        terminal.hold(2600)
        terminal.note("# the same weights and card, but red and blue are exchanged in the graph")
        terminal.run("edgecat classify cat.png --model swapped.onnx --backend onnxruntime")
        terminal.hold(4200)
        return terminal.frames


@contextmanager
def _workplace(model: Path) -> Iterator[Path]:
    """A folder with the model, the same with its colours swapped, and an image."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(model, folder / "pets.onnx")
        (folder / "swapped.onnx").write_bytes(swapped(model))
        cv2.imwrite(str(folder / "cat.png"), draw_pet(7, 0, 256)[0])
        yield folder


def swapped(model: Path) -> bytes:
    """A model file whose first convolution takes red for blue, sealed with the original's card."""
    graph = onnx.load(model)
    del graph.metadata_props[:]
    first = next(node for node in graph.graph.node if node.op_type == "Conv")
    weight = next(item for item in graph.graph.initializer if item.name == first.input[1])
    values = np.ascontiguousarray(numpy_helper.to_array(weight)[:, ::-1])
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    return seal_onnx(graph.SerializeToString(), read_card(model))


class _Terminal:
    """Runs commands in a folder, and draws what a terminal would show."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines: list[tuple[str, str]] = []
        self.frames: Frames = []
        mono = font_manager.findfont("DejaVu Sans Mono")
        self._font = ImageFont.truetype(mono, 16)

    def run(self, command: str) -> None:
        """Type a command, run it, and show what it prints, standard error in red."""
        for end in range(0, len(command), 7):
            self._draw(70, typed=command[:end])
        self._add(f"$ {command}", GREEN)
        folder = str(Path(sys.executable).parent)
        environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
        really = command.replace("edgecat ", f"{sys.executable} -m edgecat ", 1)
        ran = subprocess.run(
            ["bash", "-c", really if command.startswith("edgecat ") else command],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for text, colour in ((ran.stdout, INK), (ran.stderr, RED)):
            for line in text.splitlines():
                self._add(line, colour)
        if ran.returncode:
            self._add(f"exit code {ran.returncode}", DIM)
        self._draw(500)

    def note(self, text: str) -> None:
        """Show a comment."""
        self._lines.append(("", INK))
        self._add(text, DIM)
        self._draw(700)

    def hold(self, milliseconds: int) -> None:
        """Show the last frame for longer."""
        picture, shown = self.frames[-1]
        self.frames[-1] = picture, shown + milliseconds

    def _add(self, text: str, colour: str) -> None:
        wrapped = textwrap.wrap(text, COLUMNS, subsequent_indent="  ", break_on_hyphens=False)
        self._lines += [(line, colour) for line in wrapped]

    def _draw(self, milliseconds: int, typed: str | None = None) -> None:
        picture = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
        pen = ImageDraw.Draw(picture)
        lines = list(self._lines)
        if typed is not None:
            wrapped = textwrap.wrap(f"$ {typed}_", COLUMNS, subsequent_indent="  ")
            lines += [(line, GREEN) for line in wrapped]
        for number, (line, colour) in enumerate(lines):
            pen.text((26, 24 + number * LINE), line, fill=colour, font=self._font)
        self.frames.append((picture, milliseconds))


if __name__ == "__main__":
    main()
