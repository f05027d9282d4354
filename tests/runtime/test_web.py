"""The camera's web server: who may ask, what is answered, and what cannot slow or break it."""

from __future__ import annotations

import builtins
import http.client
import importlib.util
import itertools
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the web page needs aiohttp")

from edgecat_runtime.camera.opening import register_source
from edgecat_runtime.errors import BackendMissing, UserError
from edgecat_runtime.web import Panel, WebPage, panels, register_panel, server
from edgecat_runtime.web import connections as limits
from edgecat_runtime.web.access import HEADERS, address_from_text

_SPEC = importlib.util.spec_from_file_location("web_loop", Path(__file__).with_name("web_loop.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
web_loop = importlib.util.module_from_spec(_SPEC)
sys.modules["web_loop"] = web_loop
_SPEC.loader.exec_module(web_loop)
served = web_loop.served

Make = Callable[..., Any]


@pytest.fixture
def loop(brightness: Make) -> Iterator[Any]:
    """A page on loopback, where viewers may only look."""
    with served(brightness()) as one:
        yield one


def decoded(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


@contextmanager
def watching(loop: Any, path: str) -> Iterator[Iterator[bytes]]:
    """Yield the JPEG images of a stream."""
    connection = http.client.HTTPConnection(loop.host, loop.port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"

    def pictures() -> Iterator[bytes]:
        while line := answer.readline():
            if match := re.match(rb"Content-Length: (\d+)", line):
                answer.readline()
                yield answer.read(int(match[1]))

    yield pictures()
    connection.close()


def parts(loop: Any, path: str, count: int) -> list[np.ndarray]:
    """The first images of a stream, decoded."""
    with watching(loop, path) as pictures:
        return [decoded(picture) for picture in itertools.islice(pictures, count)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("8080", "127.0.0.1:8080"),
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("[::1]:9", "[::1]:9"),
        ("mycam.example:1", "mycam.example:1"),
    ],
)
def test_addresses(text: str, shown: str) -> None:
    assert str(address_from_text(text)) == shown


@pytest.mark.parametrize(
    "text", ["", "x", ":80", "70000", "-1", "host:", "::1:80", "a b:80", "a/b:1"]
)
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(UserError, match="expected \\[HOST:\\]PORT"):
        WebPage(text)


def test_a_port_that_is_taken_is_said_before_the_loop_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"cannot serve at 127.0.0.1:{port}: .*Choose another"):
            WebPage(str(port))
    with pytest.raises(UserError, match="cannot serve at 192.0.2.1:0"):
        WebPage("192.0.2.1:0")


def test_without_aiohttp_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("aiohttp"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(BackendMissing, match=r"pip install 'edgecat-runtime\[web\]'"):
        WebPage("0")


def test_status_says_what_the_loop_does(loop: Any) -> None:
    _, headers, body = loop.ask("/api/status")
    status = json.loads(body)
    camera = status["cameras"][0]
    assert (status["state"], camera["state"], camera["source"]) == ("live", "live", "squares:dark")
    assert (camera["label"], camera["size"]) == ("dark", "640x360")
    assert camera["answers"] == {"dark": camera["frames"]}
    assert camera["probabilities"][0] == ["dark", camera["confidence"]]
    assert status["engine"]["backend"] == "brightness"
    assert {"capture", "preprocess", "infer", "output"} <= set(status["stages_ms"])
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "aiohttp" not in headers["Server"]


def test_metrics_are_prometheus_text_of_this_loop_alone(loop: Any) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    status, headers, body = loop.ask("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    families = {
        family.name: family for family in parser.text_string_to_metric_families(body.decode())
    }
    assert all(name.startswith("edgecat_") for name in families)
    labels = {"camera": "0", "source": "squares:dark"}
    frames = families["edgecat_frames"].samples[0]
    assert (frames.name, frames.labels) == ("edgecat_frames_total", labels)
    assert 0 < frames.value <= loop.pipeline.summary.frames + 1
    assert families["edgecat_answers"].samples[0].labels == {**labels, "label": "dark"}
    stages = {sample.labels.get("stage") for sample in families["edgecat_stage_seconds"].samples}
    assert stages == set(loop.pipeline.summary.stages_ms)
    sums = {s.name: s.value for s in families["edgecat_frame_age_seconds"].samples if not s.labels}
    clock = loop.pipeline.clocks["age"]
    assert 0 < sums["edgecat_frame_age_seconds_count"] <= clock.count
    assert 0 < sums["edgecat_frame_age_seconds_sum"] <= clock.total
    assert families["edgecat_up"].samples[0].value == 1
    assert families["edgecat_engine_info"].samples[0].labels["backend"] == "brightness"


def test_the_stream_moves_at_the_width_that_was_asked_for(loop: Any) -> None:
    first, *_, last = parts(loop, "/stream?width=300&fps=30", 5)
    assert first.shape == last.shape == (180, 320, 3)  # 320 is the least that is offered
    assert np.abs(first.astype(int) - last).max() > 100
    assert parts(loop, "/stream?width=5000", 1)[0].shape == (360, 640, 3)  # never enlarged


def test_pictures_are_encoded_only_while_someone_watches_and_once_for_all(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgecat_runtime.web import encoders

    asked, allowed = threading.Semaphore(0), threading.Semaphore(0)
    real = encoders.jpeg

    def jpeg(*arguments: Any) -> bytes:
        asked.release()
        assert allowed.acquire(timeout=20)
        return real(*arguments)

    monkeypatch.setattr(encoders, "jpeg", jpeg)
    assert not asked.acquire(timeout=0.3), "nobody watches"
    with ExitStack() as stack:
        paths = ["/stream?width=320&fps=30"] * 4
        viewers = [stack.enter_context(watching(loop, path)) for path in paths]
        loop.until(lambda: json.loads(loop.ask("/api/status")[2])["viewers"] == 4)
        for _ in range(6):
            allowed.release()
            assert len({next(viewer) for viewer in viewers}) == 1, "all viewers get the same image"
    allowed.release(10**6)
    loop.until(lambda: not asked.acquire(timeout=0.3))  # encoding stops with the last viewer
    assert json.loads(loop.ask("/api/status")[2])["viewers"] == 0


def test_the_snapshot_is_the_newest_frame_at_full_size(loop: Any) -> None:
    status, headers, body = loop.ask("/snapshot.jpg")
    assert status == 200
    assert re.fullmatch(
        r'attachment; filename="edgecat-\d{8}-\d{6}\.jpg"', headers["Content-Disposition"]
    )
    assert decoded(body).shape == (360, 640, 3)


def test_events_begin_with_all_that_a_page_needs_and_go_on(loop: Any) -> None:
    connection = http.client.HTTPConnection(loop.host, loop.port, timeout=10)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    found: list[tuple[str, Any]] = []
    name = ""
    while len(found) < 4:
        field, _, value = answer.readline().decode().strip().partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            found.append((name, json.loads(value)))
    connection.close()
    assert [name for name, _ in found] == ["hello", "news", "news", "news"]
    assert found[0][1]["labels"] == ["dark", "bright"]
    assert found[-1][1]["cameras"][0]["frame"] > found[0][1]["cameras"][0]["frame"]


def test_health_follows_the_frames(brightness: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgecat_runtime.web import loop_status

    monkeypatch.setattr(loop_status, "LEAST_SILENCE", 0.4)
    with served(brightness()) as loop:
        loop.until(lambda: loop.ask("/healthz")[0] == 200)
        loop.source.flows.clear()
        loop.until(lambda: loop.ask("/healthz")[0] == 503)
        assert json.loads(loop.ask("/api/status")[2])["state"] == "no signal"
        loop.source.flows.set()
        loop.until(lambda: loop.ask("/healthz")[0] == 200)


def test_a_frozen_camera_is_not_healthy(brightness: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = pytest.importorskip("prometheus_client.parser")

    def frozen(loop: Any) -> float:
        families = parser.text_string_to_metric_families(loop.ask("/metrics")[2].decode())
        return (
            next(family for family in families if family.name == "edgecat_frozen").samples[0].value
        )

    with served(brightness()) as loop:
        loop.until(lambda: loop.ask("/healthz")[0] == 200)
        assert frozen(loop) == 0
        camera = loop.page._feed.views[0].camera
        monkeypatch.setattr(camera._reader.freeze, "frozen", True)
        status, _, body = loop.ask("/healthz")
        assert (status, json.loads(body)["frozen"]) == (503, True)
        assert json.loads(body)["state"] == "live"
        assert frozen(loop) == 1


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 200),
        ("/", {"host": "localhost"}, 200),
        ("/?token=of-another-run", {}, 200),
        ("/stream", {"method": "HEAD"}, 405),
        ("/", {"host": "evil.example"}, 421),
        ("/api/status", {"host": "127.0.0.1.evil.example:8080"}, 421),
        ("/api/status", {"host": "192.168.1.7"}, 421),
        ("/api/status", {"host": "[::1"}, 421),
        ("/snapshot.jpg", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403),
        ("/snapshot.jpg", {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"}, 403),
        ("/api/status", {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}, 200),
        ("/api/status", {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"}, 200),
        ("/", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 200),
        ("/", {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate"}, 200),
        ("/../../etc/passwd", {}, 404),
        ("/%2e%2e/%2e%2e/etc/passwd", {}, 404),
        ("/page.css/../access.py", {}, 404),
        ("/panels/..%2f..%2faccess.py", {}, 404),
        ("/stream?camera=1", {}, 404),
        ("/api/status", {"body": "x" * 5000}, 413),
        ("/stream?width=wide", {}, 400),
        ("/metrics", {"method": "PUT"}, 405),
    ],
)
def test_only_what_is_ours_is_answered(
    loop: Any, path: str, headers: dict[str, str], status: int
) -> None:
    assert loop.ask(path, **headers)[0] == status


def test_posts_come_from_the_page_and_are_small(brightness: Make) -> None:
    with served(brightness(), control=True, sources=("squares:dark", "squares:bright")) as loop:
        own = f"http://127.0.0.1:{loop.port}"
        post = {"method": "POST", "body": '{"source": "x"}'}
        assert loop.ask("/api/source", **post)[0] == 403
        for foreign in ("http://evil.example", "null", f"{own}0", "http://127.0.0.1"):
            assert loop.ask("/api/source", **post, Origin=foreign)[0] == 403
        assert loop.ask("/api/source", **post, Origin=own)[0] == 400
        assert loop.ask("/api/source", **{**post, "body": "[1]"}, Origin=own)[0] == 400
        assert loop.ask("/api/source", **{**post, "body": "x" * 5000}, Origin=own)[0] == 413
        chunked = iter([b"x" * 3000] * 3)
        assert loop.ask("/api/source", method="POST", body=chunked, Origin=own)[0] == 413
        assert loop.ask("/", Cookie="x" * 20000)[0] == 400
        assert loop.pipeline.summary.frames
        assert loop.ask("/api/status")[0] == 200


def test_without_permission_nothing_can_be_changed(loop: Any) -> None:
    assert loop.post("/api/stop") == (
        403,
        {"error": "not permitted: the operator did not set --web-control"},
    )
    assert loop.post("/api/source", {"source": "squares:bright"})[0] == 403
    frames = loop.pipeline.summary.frames
    loop.until(lambda: loop.pipeline.summary.frames > frames)


def test_with_permission_the_source_is_switched_and_the_loop_stopped(brightness: Make) -> None:
    register_source("squares", lambda text, options: web_loop.Squares(text))
    with served(brightness(), control=True, sources=("squares:dark", "squares:bright")) as loop:
        assert loop.post("/api/source", {"source": "/etc/passwd"})[0] == 400
        before = loop.source
        assert loop.post("/api/source", {"source": "squares:bright"})[0] == 200
        loop.until(
            lambda: json.loads(loop.ask("/api/status")[2])["cameras"][0].get("label") == "bright"
        )
        assert before._closed.is_set()
        assert loop.post("/api/stop")[0] == 200
        loop.until(lambda: not loop.page._server._thread.is_alive())


def test_a_source_that_cannot_be_opened_leaves_the_old_one(brightness: Make) -> None:
    with served(brightness(), control=True, sources=("squares:dark", "/no/such.mkv")) as loop:
        status, answer = loop.post("/api/source", {"source": "/no/such.mkv"})
        assert (status, "does not exist" in answer["error"]) == (400, True)
        frames = loop.pipeline.summary.frames
        loop.until(lambda: loop.pipeline.summary.frames > frames + 5)


def test_another_address_demands_the_token(brightness: Make) -> None:
    with served(brightness(), address="0.0.0.0:0") as loop:
        token = re.fullmatch(r"http://[^/]+:\d+/\?token=([\w-]{43})", loop.page.url)[1]
        for path in (
            "/",
            "/stream",
            "/snapshot.jpg",
            "/events",
            "/api/status",
            "/metrics",
            "/healthz",
            "/page.js",
            "/?token=",
            "/?token=wrong",
            "/?token=" + "%00" * 9,
            "/nothing",
        ):
            status, headers, body = loop.ask(path)
            assert status == 401, path
            assert token.encode() not in body
        assert loop.ask("/api/stop", method="POST")[0] == 401
        assert loop.ask("/metrics", Authorization=f"Bearer {token}")[0] == 200
        assert (
            loop.ask("/metrics", Authorization="Bearer wröng".encode().decode("latin-1"))[0] == 401
        )
        status, headers, body = loop.ask(f"/?token={token}")
        cookie = headers["Set-Cookie"]
        assert (status, headers["Refresh"]) == (200, "0; url=/")
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
        assert loop.ask("/", Cookie=cookie.partition(";")[0])[0] == 200
        assert loop.ask("/", Cookie=cookie.partition(";")[0] + "x")[0] == 401
        assert loop.ask("/", host="evil.example", Cookie=cookie.partition(";")[0])[0] == 421


def test_a_given_token_is_demanded_on_loopback_too(brightness: Make) -> None:
    with served(brightness(), token="s3cret") as loop:
        assert loop.page.url.endswith("/?token=s3cret")
        assert loop.ask("/")[0] == 401
        assert loop.ask("/", Authorization="Bearer s3cret")[0] == 200


def test_slow_requests_are_cut_off(brightness: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.5)
    with served(brightness()) as loop:
        for begin in (b"G", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "):
            with socket.create_connection((loop.host, loop.port), timeout=10) as slow:
                slow.sendall(begin)
                with pytest.raises(ConnectionError):
                    for _ in range(80):
                        time.sleep(0.1)
                        slow.sendall(b"a")
        monkeypatch.setattr(limits, "REQUEST_SECONDS", 60.0)
        assert loop.ask("/")[0] == 200


def test_viewers_and_connections_are_bounded(brightness: Make) -> None:
    with served(brightness(), most_viewers=2) as loop:
        sockets = []
        for _ in range(2):
            viewer = socket.create_connection((loop.host, loop.port), timeout=10)
            viewer.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert viewer.recv(15) == b"HTTP/1.1 200 OK"
            sockets.append(viewer)
        assert loop.ask("/stream")[0] == 503
        assert loop.ask("/api/status")[0] == 200
        for one in sockets:
            one.close()
        loop.until(lambda: loop.ask("/stream?camera=9")[0] == 404)


def is_open(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return bool(client.recv(1 << 16))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def test_half_open_connections_lock_nobody_out(brightness: Make) -> None:
    """Also not those of the same address, as behind one router; and there are never many."""
    with served(brightness(), most_viewers=2) as loop:
        viewer = socket.create_connection((loop.host, loop.port), timeout=10)
        viewer.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert viewer.recv(15) == b"HTTP/1.1 200 OK"
        idle = []
        for begin in (b"", b"GET / HTTP/1.1\r\nHost: x"):
            for _ in range(100):
                idle.append(socket.create_connection((loop.host, loop.port), timeout=10))
                idle[-1].sendall(begin)
            assert [loop.ask("/api/status")[0] for _ in range(10)] == [200] * 10
        loop.until(lambda: sum(map(is_open, idle)) <= limits.WAITING_PER_ADDRESS)
        assert viewer.recv(100), "who was admitted stays"
        for one in (viewer, *idle):
            one.close()


def test_half_open_connections_that_are_accepted_at_once_lock_nobody_out(brightness: Make) -> None:
    """A busy server finds them all in its queue, together with a viewer's."""
    with served(brightness(), most_viewers=2) as loop:
        loop.page._server._loop.call_soon_threadsafe(time.sleep, 1.0)
        idle = [
            socket.create_connection((loop.host, loop.port), timeout=10) for _ in range(2 * 2 + 60)
        ]
        assert loop.ask("/api/status")[0] == 200
        for one in idle:
            one.close()


def test_more_than_the_most_connections_that_were_admitted_are_refused(
    brightness: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = server.Server.__init__
    monkeypatch.setattr(
        server.Server, "__init__", lambda self, *given, most: begin(self, *given, most=8)
    )
    with served(brightness()) as loop:
        viewers = []
        for _ in range(8):
            viewers.append(socket.create_connection((loop.host, loop.port), timeout=10))
            viewers[-1].sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert viewers[-1].recv(15) == b"HTTP/1.1 200 OK"
        assert loop.ask("/api/status")[0] == 503
        for viewer in viewers:
            viewer.close()
        loop.until(lambda: loop.ask("/api/status")[0] == 200)


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /api/stop HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\nzz",
    ],
)
def test_what_is_no_request_is_answered_as_all_else(
    loop: Any, request_: bytes, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    with socket.create_connection((loop.host, loop.port), timeout=10) as client:
        client.sendall(request_)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1.[01] 4\d\d ", head), answer
    for header in (*HEADERS, "Server: edgecat"):
        assert header.lower().encode() in head.lower()
    assert b"aiohttp" not in head
    assert list(json.loads(body)) == ["error"]
    assert caplog.text == ""
    assert "".join(capfd.readouterr()) == ""


def test_who_does_not_read_is_dropped_and_holds_no_pictures(
    brightness: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watch_deaf() -> socket.socket:
        deaf = socket.create_connection((loop.host, loop.port), timeout=10)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"GET /stream?fps=30 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert deaf.recv(15) == b"HTTP/1.1 200 OK"
        return deaf

    monkeypatch.setattr(limits, "WRITE_SECONDS", 60.0)
    with served(brightness()) as loop:
        with watch_deaf():
            assert len(parts(loop, "/stream?fps=30", 10)) == 10  # other viewers are unaffected
        loop.until(lambda: json.loads(loop.ask("/api/status")[2])["viewers"] == 0)
        monkeypatch.setattr(limits, "WRITE_SECONDS", 0.5)
        with watch_deaf():
            loop.until(lambda: json.loads(loop.ask("/api/status")[2])["viewers"] == 0)


def test_open_streams_end_without_the_shutdown_timeout(
    brightness: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_SECONDS", 100.0)
    monkeypatch.setattr(server, "_JOIN_SECONDS", 20.0)
    before = threading.active_count()
    with served(brightness()) as loop:
        sockets = []
        for path in ("/stream", "/events") * 3:
            viewer = socket.create_connection((loop.host, loop.port), timeout=10)
            viewer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert viewer.recv(15) == b"HTTP/1.1 200 OK"
            sockets.append(viewer)
        loop.page.close()
        assert not loop.page._server._thread.is_alive()
        tail = b"".join(iter(lambda: sockets[1].recv(65536), b""))
        assert tail.endswith(b"event: end\ndata: {}\n\n\r\n0\r\n\r\n")
        for viewer in sockets:
            viewer.close()
    assert threading.active_count() <= before


def test_panels_have_a_fragment_a_script_actions_and_pictures(
    brightness: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "_PANELS", {})
    still = np.full((20, 30, 3), 150, np.uint8)

    def press(message: dict[str, Any]) -> dict[str, Any]:
        if "times" not in message:
            raise UserError("times is missing; expected a number")
        return {"pressed": message["times"]}

    register_panel(
        Panel(
            "deep",
            "Deep <view>",
            "<p id='x'>fragment</p>",
            script="export {}",
            actions={"press": press},
            picture=lambda: np.full((20, 30, 3), 77, np.uint8),
            views={"still": lambda: still},
        )
    )
    with served(brightness()) as loop:
        page = loop.ask("/")[2].decode()
        assert '<section class="card panel" id="panel-deep"><h2>Deep &lt;view&gt;</h2>' in page
        assert 'src="/panels/deep.js"' in page
        assert loop.ask("/panels/deep.js")[2] == b"export {}"
        assert loop.post("/panels/deep/press", {"times": 3}) == (200, {"pressed": 3})
        assert loop.post("/panels/deep/press")[0] == 400
        assert loop.post("/panels/deep/nothing")[0] == 404
        assert loop.post("/panels/none/press")[0] == 404
        assert abs(int(parts(loop, "/panels/deep/stream", 1)[0].mean()) - 77) <= 2
        # Twice for each viewer, and once more, since Chromium shows an image when the next begins.
        for _ in range(2):
            images = parts(loop, "/panels/deep/stream?view=still", 3)
            assert [abs(int(image.mean()) - 150) <= 2 for image in images] == [True] * 3
        assert loop.ask("/panels/deep/stream?view=none")[0] == 404


@pytest.mark.parametrize("name", ["", "Deep", "a/b", "../x"])
def test_a_panel_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="expected a-z"):
        Panel(name, "x")
