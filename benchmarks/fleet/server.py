"""A web server for one folder, as a plain one is, with its faults."""

from __future__ import annotations

import hashlib
import re
import socket
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

_CHUNK = 16 << 10


class Server:
    """Serves a folder on the loopback address: ETag, If-None-Match, Range and If-Range.

    Args:
        folder: what is served.

    Attributes:
        port: it stays the same after `kill` and `start`.
        rate: bytes per second and connection of models; 0: as fast as possible.
        breaks_after: close the connection after so many bytes of each model; 0: never.
        endless: send a model without a length, and never stop.
        writable: take PUT.
        status: answer with this error; 0: serve.
        asked: path and status of each answer so far.
        sent: bytes of models sent so far.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.rate = self.breaks_after = self.status = 0
        self.endless = self.writable = False
        self.asked: list[tuple[str, int]] = []
        self.sent = 0
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        """The channel's address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen."""
        here = self

        class Handler(BaseHTTPRequestHandler):
            def setup(self) -> None:
                super().setup()
                with here._lock:
                    here._open.add(self.connection)

            def finish(self) -> None:
                with here._lock:
                    here._open.discard(self.connection)
                with suppress(OSError):
                    super().finish()

            def do_GET(self) -> None:
                with suppress(OSError):
                    here._answer(self)

            def do_PUT(self) -> None:
                here._store(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def kill(self) -> None:
        """Stop listening and break every connection, as if the process had been killed."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = self.folder / request.path.lstrip("/")
        if self.status or not path.is_file():
            self.asked.append((request.path, self.status or 404))
            request.send_error(self.status or 404)
            return
        data = path.read_bytes()
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        asked, start, status = request.headers, 0, 200
        if asked.get("If-None-Match") == tag:
            status = 304
        elif (found := re.fullmatch(r"bytes=(\d+)-", asked.get("Range", ""))) and asked.get(
            "If-Range", tag
        ) == tag:
            start, status = int(found[1]), 206 if int(found[1]) < len(data) else 416
        self.asked.append((request.path, status))
        request.send_response(status)
        request.send_header("ETag", tag)
        if status == 206:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        body = data[start:] if status in (200, 206) else b""
        model = path.parent.name == "models"
        if not (model and self.endless):
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if model:
            self._send(request, body)
        else:
            request.wfile.write(body)

    def _store(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        status = 201 if self.writable else 501
        self.asked.append((request.path, status))
        if self.writable:
            path = self.folder / request.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        request.send_response(status)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _send(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        body = body[: self.breaks_after or len(body)]
        for start in range(0, len(body), _CHUNK):
            chunk = body[start : start + _CHUNK]
            request.wfile.write(chunk)
            self.sent += len(chunk)
            if self.rate:
                time.sleep(len(chunk) / self.rate)
        while self.endless:
            request.wfile.write(bytes(_CHUNK))
            self.sent += _CHUNK


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is what is being tried."""
