"""Cameras over HTTP: their authentication, redirects, certificates, single images and delays."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.opening import open_source
from edgecat_runtime.camera.source import SourceOptions
from edgecat_runtime.camera.sources import mjpeg
from edgecat_runtime.camera.sources.http_auth import Credentials, challenges
from edgecat_runtime.camera.sources.rtsp import _why_refused, open_ffmpeg
from edgecat_runtime.errors import DeviceError, UserError

PATIENCE = 20.0
USER, PASSWORD = "user", 'p:"@ss'
LOGIN = "user:p%3A%22%40ss@"
NONCE = "f00d"


def jpeg(level: int) -> bytes:
    return cv2.imencode(".jpg", np.full((48, 64, 3), level, np.uint8))[1].tobytes()


class Web:
    """A web server whose every response a test decides.

    Attributes:
        answer: called with the request's handler.
        given: the Authorization header of each request, "" for none.
        paths: of each request.
    """

    def __init__(self, answer: Callable[[Any], None], context: ssl.SSLContext | None) -> None:
        owner = self
        self.answer = answer
        self.given: list[str] = []
        self.paths: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.given.append(self.headers.get("Authorization") or "")
                owner.paths.append(self.path)
                with contextlib.suppress(OSError):
                    owner.answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: object) -> None:
                pass  # clients that distrust the certificate

        self.server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def serve() -> Iterator[Callable[..., Web]]:
    """`serve(answer, context=None)` starts a server."""
    servers: list[Web] = []

    def start(answer: Callable[[Any], None], context: ssl.SSLContext | None = None) -> Web:
        servers.append(Web(answer, context))
        return servers[-1]

    yield start
    for web in servers:
        web.server.shutdown()
        web.server.server_close()


def send(handler: Any, status: int, body: bytes = b"", **headers: str | list[str]) -> None:
    handler.send_response(status)
    for name, values in headers.items():
        for value in [values] if isinstance(values, str) else values:
            handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def send_image(handler: Any, level: int = 7) -> None:
    send(handler, 200, jpeg(level), Content_Type="image/jpeg")


def read_levels(address: str, count: int = 1, **options: Any) -> list[int]:
    with Camera.open(address, options=SourceOptions(**options)) as camera:
        frames = [camera.read(PATIENCE) for _ in range(count)]
    return [int(frame.image.mean()) for frame in frames if frame is not None]


# Authentication.


def proves(given: str, method: str = "GET") -> str:
    """Return the algorithm with which an Authorization header proves the password, or ""."""
    if given == "Basic dXNlcjpwOiJAc3M=":
        return "basic"
    plain = dict(re.findall(r"(\w+)=([^\s,\"]+)", given))
    quoted = {
        name: value.replace('\\"', '"') for name, value in re.findall(r'(\w+)="([^"]*)"', given)
    }
    fields = plain | quoted
    stated = fields.get("algorithm", "MD5")
    algorithm = {"MD5": "md5", "SHA-256": "sha256"}.get(stated.removesuffix("-sess"), "")
    if not given.startswith("Digest ") or not algorithm:
        return ""

    def digest(text: str) -> str:
        return hashlib.new(algorithm, text.encode()).hexdigest()

    secret = digest(f"{USER}:{fields['realm']}:{PASSWORD}")
    if stated.endswith("-sess"):
        secret = digest(f"{secret}:{NONCE}:{fields['cnonce']}")
    request = digest(f"{method}:{fields['uri']}")
    middle = f"{NONCE}:{fields['nc']}:{fields['cnonce']}:auth" if "qop" in fields else NONCE
    right = fields["nonce"] == NONCE and fields["response"] == digest(
        f"{secret}:{middle}:{request}"
    )
    return stated if right else ""


MD5 = f'Digest realm="a, b", nonce="{NONCE}", qop="auth,auth-int"'
SHA = f'Digest realm="cam", nonce="{NONCE}", algorithm=SHA-256, qop="auth", opaque="o"'
NEGOTIATE = "Negotiate TlRMTVNTUAACAAAA=="
BASIC = 'Basic realm="cam"'


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ([BASIC], "basic"),
        ([MD5], "MD5"),
        ([SHA, MD5], "SHA-256"),
        ([MD5, SHA], "SHA-256"),
        ([f"{SHA}, {MD5}"], "SHA-256"),
        ([NEGOTIATE, "NTLM", MD5], "MD5"),
        ([NEGOTIATE, BASIC], "basic"),
        ([f"Negotiate, {BASIC}"], "basic"),
        ([BASIC, MD5], "MD5"),
        ([f"Digest realm=cam,nonce={NONCE}"], "MD5"),
        ([f'Digest realm="cam", nonce="{NONCE}", algorithm=MD5-sess, qop="auth"'], "MD5-sess"),
        ([f'Digest realm="cam", nonce="{NONCE}", algorithm=NEW-7', BASIC], "basic"),
    ],
)
def test_the_strongest_scheme_that_is_understood_is_used(
    serve: Callable[..., Web], asked: list[str], used: str
) -> None:
    def answer(handler: Any) -> None:
        if proves(handler.headers.get("Authorization") or "") == used:
            send_image(handler)
        else:
            send(handler, 401, WWW_Authenticate=asked)

    web = serve(answer)
    levels = read_levels(f"http://{LOGIN}127.0.0.1:{web.port}/a?b=c", 3, fps=50)
    assert levels == [7, 7, 7]
    assert web.given.count("") == 1, "the challenge is remembered"


def test_a_new_nonce_is_taken(serve: Callable[..., Web]) -> None:
    asked: list[str] = []

    def answer(handler: Any) -> None:
        given = handler.headers.get("Authorization") or ""
        if asked and f'nonce="{asked[-1]}"' in given and len(asked) % 2:
            asked.append(str(len(asked)))  # used once, it is stale
            send_image(handler)
        else:
            asked.append(str(len(asked) | 1))
            asked[:] = asked[-1:]
            send(
                handler, 401, WWW_Authenticate=f'Digest realm="r", nonce="{asked[-1]}", stale=true'
            )

    web = serve(answer)
    assert read_levels(f"http://{LOGIN}127.0.0.1:{web.port}/", 3, fps=50) == [7, 7, 7]


def test_what_is_not_understood_is_said(serve: Callable[..., Web]) -> None:
    web = serve(lambda handler: send(handler, 401, WWW_Authenticate=["NTLM", NEGOTIATE]))
    with pytest.raises(UserError, match="wants ntlm, negotiate authentication; expected Basic"):
        open_source(f"http://{LOGIN}127.0.0.1:{web.port}/")
    assert web.given == [""], "the password is not sent to those who cannot check it"


def test_challenges_are_told_apart() -> None:
    assert challenges([r'Digest realm="a \"b\", c" , nonce = "n",qop="auth"']) == [
        ("digest", {"realm": 'a "b", c', "nonce": "n", "qop": "auth"})
    ]
    assert [scheme for scheme, _ in challenges([NEGOTIATE, "", "Bearer x,Basic"])] == [
        *("negotiate", "bearer", "x", "basic"),
    ]
    assert not Credentials("", "x")


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_same_host_keeps_the_password(
    serve: Callable[..., Web], status: int
) -> None:
    def answer(handler: Any) -> None:
        if not handler.path.startswith("/new/"):
            send(handler, status, Location="/new/image.jpg?x=1")
        elif proves(handler.headers.get("Authorization") or ""):
            send_image(handler)
        else:
            send(handler, 401, WWW_Authenticate=SHA)

    web = serve(answer)
    assert read_levels(f"http://{LOGIN}127.0.0.1:{web.port}/old") == [7]


def test_a_redirect_to_another_host_does_not_take_the_password_along(
    serve: Callable[..., Web],
) -> None:
    other = serve(send_image)
    asking = serve(lambda handler: send(handler, 401, WWW_Authenticate=BASIC))
    targets = iter([other.port, asking.port])

    def answer(handler: Any) -> None:
        if proves(handler.headers.get("Authorization") or ""):
            send(handler, 302, Location=f"http://localhost:{port}/")
        else:
            send(handler, 401, WWW_Authenticate=BASIC)

    web = serve(answer)
    address = f"http://{LOGIN}127.0.0.1:{web.port}/"
    port = next(targets)
    assert read_levels(address) == [7]
    port = next(targets)
    with pytest.raises(UserError, match="rejects the user"):
        open_source(address)
    assert {*other.given, *asking.given} == {""}
    assert any(web.given)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [("/again", "redirects more than 5 times"), ("ftp://h/x", "redirects to an address that is")],
)
def test_a_redirect_that_leads_nowhere_is_said(
    serve: Callable[..., Web], target: str, sentence: str
) -> None:
    web = serve(lambda handler: send(handler, 302, Location=target))
    with pytest.raises(DeviceError, match=sentence):
        open_source(f"http://127.0.0.1:{web.port}/")


# Certificates.


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes certificates, is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=x"
    command += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context, folder / "cert"


def test_a_certificate_is_checked_unless_chosen_otherwise(
    serve: Callable[..., Web],
    self_signed: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context, certificate = self_signed
    web = serve(send_image, context)
    place = f"127.0.0.1:{web.port}/image.jpg"
    with pytest.raises(UserError, match=r"certificate is not trusted .* SSL_CERT_FILE, or trust"):
        open_source(f"https://{LOGIN}{place}")
    assert web.paths == [], "nothing was asked of it, let alone a password told"
    assert read_levels(f"https+insecure://{place}") == [7]
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert read_levels(f"https://{place}") == [7]


def test_ffmpeg_checks_the_certificate_too(
    serve: Callable[..., Web],
    self_signed: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    context, certificate = self_signed
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48)
    )
    for level in range(5):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    body = (tmp_path / "clip.avi").read_bytes()
    web = serve(lambda handler: send(handler, 200, body, Content_Type="video/avi"), context)
    address = f"https://127.0.0.1:{web.port}/clip.avi"
    settings = mjpeg._verified()
    with pytest.raises(DeviceError, match="delivers no stream"):
        open_ffmpeg(address, SourceOptions(), settings)
    assert web.paths == []
    assert len(read_levels(address.replace("https", "https+insecure"))) == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert len(read_levels(address)) == 1


def test_no_password_leaves_encryption(
    serve: Callable[..., Web], self_signed: tuple[ssl.SSLContext, Path]
) -> None:
    plain = serve(lambda handler: send(handler, 401, WWW_Authenticate=BASIC))
    target = f"http://127.0.0.1:{plain.port}/"
    web = serve(lambda handler: send(handler, 302, Location=target), self_signed[0])
    with pytest.raises(UserError, match="rejects the user"):
        open_source(f"https+insecure://{LOGIN}127.0.0.1:{web.port}/")
    assert plain.given == [""]


# Delays.


@pytest.mark.parametrize(
    ("scheme", "begin"),
    [
        ("http", b"HTTP/1.1 200 OK\r\nX-Slow: "),
        ("https+insecure", b"\x16\x03\x03\x10\x00"),  # a long record of a TLS handshake
    ],
)
def test_a_header_that_trickles_has_a_deadline(scheme: str, begin: bytes) -> None:
    """Each byte arrives in time; the whole never would."""
    over = threading.Event()

    def trickle(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client, contextlib.suppress(OSError):
            client.sendall(begin)
            while not over.wait(0.1):
                client.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=trickle, args=(listening,), daemon=True).start()
        address = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/"
        with pytest.raises(DeviceError, match="has not responded within"):
            open_source(address, SourceOptions(stall=1))
    over.set()


# Single images.


def test_an_image_is_requested_again_and_again(serve: Callable[..., Web]) -> None:
    levels = iter(range(0, 250, 10))
    web = serve(lambda handler: send_image(handler, next(levels)))
    with Camera.open(
        f"http://127.0.0.1:{web.port}/snapshot.jpg?w=1", options=SourceOptions(fps=25)
    ) as camera:
        assert (camera.source.live, camera.source.fps) == (True, 25)
        seen = [camera.read(PATIENCE) for _ in range(4)]
    assert [int(frame.image.mean()) for frame in seen if frame] == sorted(
        {int(frame.image.mean()) for frame in seen if frame}
    )
    assert set(web.paths) == {"/snapshot.jpg?w=1"}
    assert open_source(f"http://127.0.0.1:{web.port}/").fps == 5


@pytest.mark.parametrize("stated", [{}, {"Content_Type": "application/octet-stream"}])
@pytest.mark.parametrize("kind", ["image", "images", "parts"])
def test_what_is_stated_badly_is_recognised(
    serve: Callable[..., Web], stated: dict[str, str], kind: str
) -> None:
    def answer(handler: Any) -> None:
        if kind == "image":
            return send(handler, 200, jpeg(7), **stated)
        handler.send_response(200)
        for name, value in stated.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        begin = b"--b\r\nContent-Type: image/jpeg\r\n\r\n" if kind == "parts" else b""
        while True:
            handler.wfile.write(begin + jpeg(7) + b"\r\n" * len(begin))
            time.sleep(0.02)

    web = serve(answer)
    assert read_levels(f"http://127.0.0.1:{web.port}/", 3) == [7, 7, 7]
    assert (len(web.paths) > 2) is (kind == "image")


def test_a_busy_camera_and_a_torn_image_are_passed_over(serve: Callable[..., Web]) -> None:
    count = 0

    def answer(handler: Any) -> None:
        nonlocal count
        count += 1
        if count % 3 == 0:
            send(handler, 503)
        elif count % 3 == 1 and count > 1:
            send(handler, 200, jpeg(9)[:-20], Content_Type="image/jpeg")
        else:
            send_image(handler)

    web = serve(answer)
    address = f"http://127.0.0.1:{web.port}/"
    with Camera.open(address, options=SourceOptions(fps=50)) as camera:
        for _ in range(4):
            assert camera.read(PATIENCE) is not None
        assert camera.losses == 0
        assert camera.skipped >= 2


def test_a_camera_that_stops_giving_images_is_lost_and_comes_back(
    serve: Callable[..., Web],
) -> None:
    failing = False
    web = serve(lambda handler: send(handler, 401) if failing else send_image(handler))
    address = f"http://127.0.0.1:{web.port}/"
    with Camera.open(address, options=SourceOptions(fps=50, stall=0.5)) as camera:
        for state, failing in [("live", False), ("no signal", True), ("live", False)]:  # noqa: B007
            deadline = time.perf_counter() + PATIENCE
            while camera.state != state:
                assert time.perf_counter() < deadline
                with contextlib.suppress(TimeoutError):
                    camera.read(0.05)
        assert camera.losses == 1


def test_a_size_is_refused_and_a_rate_for_streams(serve: Callable[..., Web]) -> None:
    kind = "multipart/x-mixed-replace; boundary=b"
    web = serve(lambda handler: send(handler, 200, b"--b", Content_Type=kind))
    address = f"http://127.0.0.1:{web.port}/"
    for option in ({"width": 9}, {"height": 9}, {"fps": 9.0}):
        with pytest.raises(UserError, match=f"does not support --{next(iter(option))}; set it"):
            open_source(address, SourceOptions(**option))  # type: ignore[arg-type]


# Other addresses.


def test_a_file_has_an_address(tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").write_bytes(jpeg(3))
    address = (tmp_path / "a b.jpg").as_uri()
    assert not open_source(address).live
    assert read_levels(address) == [3]
    with pytest.raises(UserError, match="on another machine; expected file:///path"):
        open_source("file://server/share/a.jpg")


@pytest.mark.parametrize(
    ("scheme", "form"), [("udp", "mpegts"), ("rtp", "rtp_mpegts"), ("tcp", "mpegts")]
)
def test_streams_that_ffmpeg_receives(scheme: str, form: str) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg, which sends the stream, is not installed")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        address = f"{scheme}://127.0.0.1:{free.getsockname()[1]}"
    command = "ffmpeg -v error -re -f lavfi -i testsrc=size=64x48:rate=25 -c:v mpeg2video -g 5"
    sender = subprocess.Popen(
        [*command.split(), "-f", form, address + ("?listen=1" if scheme == "tcp" else "")]
    )
    try:
        options = SourceOptions(stall=PATIENCE)
        with Camera.open(address, options=options, wait=True) as camera:
            frame = camera.read(3 * PATIENCE)
            assert frame is not None
            assert frame.image.shape == (48, 64, 3)
    finally:
        sender.kill()
        sender.wait()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("rtsp://127.0.0.1:1/x", "delivers no stream: it cannot be reached: Connection refused"),
        ("rtmp://127.0.0.1:1/x", "delivers no stream: it cannot be reached: Connection refused"),
        ("rtsp://nosuch.invalid/x", "delivers no stream: it cannot be reached: "),
    ],
)
def test_a_refusal_is_not_a_timeout(address: str, sentence: str) -> None:
    with pytest.raises(DeviceError, match=sentence):
        open_source(address)


@pytest.mark.parametrize(
    ("text", "seconds", "sentence"),
    [
        ("srt://127.0.0.1:1?passphrase=x", 0.01, "built without srt, or the address, its passphr"),
        ("srt://127.0.0.1:1", 3.1, "no sender answers at this address"),
        ("udp://:99999", 0.01, "the address is not valid"),
        (
            "rtp://127.0.0.1:1",
            0.01,
            "built without rtp, or the address or its parameters are wrong",
        ),
    ],
)
def test_a_stream_without_a_connection_is_told_by_its_time(
    text: str, seconds: float, sentence: str
) -> None:
    assert sentence in _why_refused(text, seconds)


def test_nobody_who_sends_srt() -> None:
    with pytest.raises(DeviceError, match=r"no sender answers|built without srt|no response with"):
        open_source("srt://127.0.0.1:1?passphrase=0123456789", SourceOptions(stall=5))


def test_silence_is_a_timeout_and_rejection_neither() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"rtsp://127.0.0.1:{listening.getsockname()[1]}/x"
        with pytest.raises(DeviceError, match="no stream: no response within 1 s"):
            open_source(address, SourceOptions(stall=1))

        def reject() -> None:
            with contextlib.suppress(OSError):  # the test is over
                for _ in range(8):
                    answer(listening.accept()[0])

        def answer(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                client.recv(4096)
                client.sendall(b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n\r\n")

        threading.Thread(target=reject, daemon=True).start()
        with pytest.raises(DeviceError, match="the server responds, but the path, user or passw"):
            open_source(address, SourceOptions(stall=PATIENCE))
