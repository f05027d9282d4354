"""Fixtures of the command line's tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgecat.models import architecture, build_model
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.training.config import TrainConfig
from edgecat_export.graph.deployed import export_onnx
from edgecat_runtime.model.card import ModelCard


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained thin VGG16 with its card: 32 x 32, labels cat and dog."""
    card = ModelCard(
        architecture="vgg16",
        labels=("cat", "dog"),
        height=32,
        width=32,
        layers=architecture("vgg16").widths(head="gap", factor=0.25),
        head="gap",
        batch_norm=True,
    )
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "vgg16.safetensors"
    save_checkpoint(path, build_model(card), card)
    return path


@pytest.fixture(scope="session")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`checkpoint` as ONNX."""
    path = tmp_path_factory.mktemp("exported") / "vgg16.onnx"
    export_onnx(*load_checkpoint(checkpoint), path)
    return path


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders `cat` and `dog`, six small pictures each."""
    folder = tmp_path_factory.mktemp("album")
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir()
        for i in range(6):
            picture = rng.integers(0, 256, (40, 50, 3), np.uint8)
            cv2.imwrite(str(folder / label / f"{i}.png"), picture)
    return folder


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A web server for the folder `web.folder`; downloads are kept under `tmp_path`."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("EDGECAT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    with serving(tmp_path / "site") as server:
        yield server


@dataclass
class Web:
    """A small web server with ranges, as official ones have, and with their faults.

    Attributes:
        folder: of the files.
        address: of the server.
        ranges: answer ranges.
        breaks_after: close the connection after so many bytes of each answer; 0: never.
        fails_with: answer with this status; 0: serve.
        length: sent as Content-Length; None: the true one.
        redirects_to: answer with a redirection there; empty: serve.
        asked: paths and ranges of the requests so far.
    """

    folder: Path
    address: str = ""
    ranges: bool = True
    breaks_after: int = 0
    fails_with: int = 0
    length: str | None = None
    redirects_to: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def serving(folder: Path) -> Iterator[Web]:
    """Serve the files in a folder on the loopback address."""
    web = Web(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, web)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, web: Web) -> None:
    wanted = request.headers.get("Range", "")
    web.asked.append((request.path, wanted))
    path = web.folder / request.path.lstrip("/")
    if web.fails_with or not path.is_file():
        request.send_error(web.fails_with or 404)
        return
    if web.redirects_to:
        request.send_response(302)
        request.send_header("Location", web.redirects_to)
        request.end_headers()
        return
    data, start = path.read_bytes(), 0
    if wanted and web.ranges:
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(data):
            request.send_error(416)
            return
    request.send_response(206 if start else 200)
    request.send_header("Content-Length", web.length or str(len(data) - start))
    request.end_headers()
    request.wfile.write(data[start : start + (web.breaks_after or len(data))])


def _draw(folder: Path, count: int) -> Path:
    """Draw stripes, lying ones for `cat` and standing ones for `dog`, in colours and noise."""
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            wave = 60 * np.sin(np.arange(40) * random.uniform(0.7, 1.1) + random.uniform(0, 6))
            stripes = wave[:, None] if label == "cat" else wave[None, :]
            picture = random.uniform(60, 190, 3) + stripes[..., None]
            picture = picture + random.normal(0, 8, (40, 40, 3))
            cv2.imwrite(str(folder / label / f"{i:03}.png"), picture.clip(0, 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def draw_stripes() -> Callable[[Path, int], Path]:
    """`draw_stripes(folder, count)`: two classes of drawn pictures that are quickly told apart."""
    return _draw


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty-eight of them."""
    return _draw(tmp_path_factory.mktemp("drawn") / "stripes", 24)


@pytest.fixture
def config(stripes: Path, tmp_path: Path) -> TrainConfig:
    """A run, thin, small and quick; one thread, so that it does not matter what else runs."""
    return TrainConfig(
        data=(str(stripes),),
        output=str(tmp_path / "runs"),
        name="run",
        size=32,
        width=0.05,
        epochs=3,
        batch_size=8,
        lr=0.02,
        val=0.25,
        threads=1,
        device="cpu",
        precision="fp32",
    )
