"""A loop with its web page, run in a thread, for the tests of the page."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.pipeline import Pipeline
from edgecat_runtime.web import WebPage

HEIGHT, WIDTH = 360, 640


class Squares(Source):
    """A bright square that moves over a dark frame, or a dark one over a bright frame."""

    live = True
    fps = 40.0

    def __init__(self, name: str = "squares:dark") -> None:
        self.name = name
        self.flows = threading.Event()
        self.flows.set()
        self._closed = threading.Event()
        self._back, self._square = (25, 235) if name.endswith("dark") else (235, 25)
        self._count = 0

    def read(self) -> Shot | None:
        while not self.flows.wait(0.02):
            if self._closed.is_set():
                return None
        time.sleep(1 / self.fps)
        image = np.full((HEIGHT, WIDTH, 3), self._back, np.uint8)
        left = self._count * 8 % (WIDTH - 80)
        image[100:180, left : left + 80] = self._square
        self._count += 1
        return Shot(image)

    def cancel(self) -> None:
        self._closed.set()

    close = cancel


@dataclass
class Served:
    """A page that is being served."""

    page: WebPage
    source: Squares
    pipeline: Pipeline
    host: str
    port: int

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: str | bytes | None = None,
        host: str = "",
        **headers: str,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of an answer; `Sec_Fetch_Site=...` is a header."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Host"] = host or f"{self.host}:{self.port}"
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def post(self, path: str, message: Any = None) -> tuple[int, Any]:
        """Post JSON as the page does; status and JSON."""
        body = json.dumps({} if message is None else message)
        origin = f"http://{self.host}:{self.port}"
        status, _, answer = self.ask(path, method="POST", body=body, Origin=origin)
        return status, json.loads(answer)

    def until(self, is_true: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until something is so; fail if it never is."""
        end = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)


@contextmanager
def served(
    classifier: Any,
    *,
    address: str = "0",
    host: str = "127.0.0.1",
    ready: bool = True,
    **options: Any,
) -> Iterator[Served]:
    """Serve a page until the end of the block; `ready` waits for the first frame."""
    page, source = WebPage(address, **options), Squares()
    port = int(page.url.partition("://")[2].rpartition(":")[2].partition("/")[0])
    with Camera(source) as camera:
        pipeline = Pipeline(camera, classifier, [page])
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        loop = Served(page, source, pipeline, host, port)
        try:
            loop.until(lambda: pipeline.summary.frames > 0 or not ready)
            yield loop
        finally:
            pipeline.stop()
            thread.join(10)
            assert not thread.is_alive()
