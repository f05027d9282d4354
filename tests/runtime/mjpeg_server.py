"""A motion-JPEG server that can be killed, restarted and made to misbehave.

    python mjpeg_server.py PORT

Its frames are grey; the level is the frame's number modulo 256.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

SIZES = ((48, 64), (96, 128), (33, 57))
NONCE = "f00d"
RESET = struct.pack("ii", 1, 0)  # close with RST, as a killed machine's router would


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class MjpegServer:
    """Serves `/stream` on a loopback port, from `start` to `stop`, any number of times.

    Attributes:
        mode: `steady`, `stall` (nothing more is sent), `cut` (the connection breaks within a
            frame), `garbage` (random bytes in place of frames), `torn` (every other frame lacks its
            second half) or `sizes` (the resolution changes with every frame). May be changed while
            clients are connected.
        port: the same after each start.
        level: grey level of the last frame that was sent.
        asked: how often it was asked for the stream.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        fps: float = 50.0,
        headers: str = "length",
        password: str = "",
        digest: bool = False,
    ) -> None:
        self.mode, self.port, self.fps = "steady", port, fps
        self.headers, self.password, self.digest = headers, password, digest
        self.level, self.asked = -1, 0
        self._server: Any = None
        self._clients: set[socket.socket] = set()

    @property
    def address(self) -> str:
        """Where the stream is, with the password if there is one."""
        user = f"{self.password}@" if self.password else ""
        return f"http://{user}127.0.0.1:{self.port}/stream"

    def start(self) -> None:
        """Listen and serve, in threads."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner._clients.add(self.connection)
                with suppress(OSError, ValueError):
                    owner._serve(self)
                owner._clients.discard(self.connection)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def stop(self) -> None:
        """Break every connection and stop listening."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        for client in list(self._clients):
            with suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.shutdown(socket.SHUT_RDWR)

    def _serve(self, handler: Any) -> None:
        if not self._allowed(handler):
            return
        if not handler.path.startswith("/stream"):
            body = b"<html>a web page</html>"
            handler.send_response(200 if handler.path == "/" else 404)
            handler.send_header("Content-Type", "text/html")
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
            return
        self.asked += 1
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        if self.headers == "chunked":
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        here = self._server
        while here is self._server:
            self._send_frame(handler)
            time.sleep(1 / self.fps)

    def _allowed(self, handler: Any) -> bool:
        given = handler.headers.get("Authorization") or ""
        if not self.password or self._proves(given, handler.path):
            return True
        ask = f'Digest realm="camera", nonce="{NONCE}", qop="auth"'
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", ask if self.digest else 'Basic realm="camera"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return False

    def _proves(self, given: str, path: str) -> bool:
        """Whether an Authorization header knows the password (RFC 7617, RFC 7616)."""
        if not self.digest:
            return given == "Basic " + base64.b64encode(self.password.encode()).decode()
        fields = dict(re.findall(r'(\w+)="?([^",]*)', given))
        user, _, password = self.password.partition(":")
        secret, request = _md5(f"{user}:camera:{password}"), _md5(f"GET:{path}")
        parts = [secret, NONCE, fields.get("nc", ""), fields.get("cnonce", ""), "auth", request]
        return fields.get("response") == _md5(":".join(parts))

    def _send_frame(self, handler: Any) -> None:
        if self.mode == "stall":
            return
        self.level = (self.level + 1) % 256
        size = SIZES[self.level % 3] if self.mode == "sizes" else SIZES[0]
        data = cv2.imencode(".jpg", np.full((*size, 3), self.level, np.uint8))[1].tobytes()
        if self.mode == "garbage":
            data = os.urandom(len(data))
        if self.mode == "cut" or (self.mode == "torn" and self.level % 2):
            data = data[: len(data) // 2]
        length = f"\r\nContent-Length: {len(data)}" if self.headers == "length" else ""
        part = f"--frame\r\nContent-Type: image/jpeg{length}\r\n\r\n".encode() + data + b"\r\n"
        if self.headers == "chunked":
            part = b"%x\r\n%b\r\n" % (len(part), part)
        handler.wfile.write(part)
        if self.mode == "cut":
            raise OSError("cut")


if __name__ == "__main__":
    server = MjpegServer(int(sys.argv[1]))
    server.start()
    print(server.port, flush=True)  # noqa: T201
    threading.Event().wait()
