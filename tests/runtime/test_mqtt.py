"""MQTT, at a real broker: Debian's mosquitto."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.errors import BackendMissing, UserError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.outputs import sink as sinks
from edgecat_runtime.outputs.mqtt import Broker, Mqtt
from edgecat_runtime.outputs.sink import BackgroundOutput
from edgecat_runtime.pipeline import Pipeline

Make = Callable[..., Any]
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PICTURE = np.zeros((48, 64, 3), np.uint8)
SECRET = "s3:cr@t/"

with_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


def until(true: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait for something and return it."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return value


class Mosquitto:
    """A broker on loopback that forgets all when it is killed."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        user = "user root\n" if os.getuid() == 0 else ""
        lines = lines or ("allow_anonymous true",)
        self._config.write_text(f"{user}listener {self.port} 127.0.0.1\n" + "\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(MOSQUITTO), "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Subscriber:
    """All that a broker tells of everything."""

    def __init__(self, port: int, **login: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[tuple[str, str, bool]] = []
        self._client = Client(CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(login["user"], login["password"])
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_message = self._keep
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _keep(self, client: Any, userdata: Any, message: Any) -> None:
        self.messages.append((message.topic, message.payload.decode(), bool(message.retain)))

    def of(self, topic: str) -> list[str]:
        return [payload for name, payload, _ in self.messages if name == topic]

    def states(self, topic: str) -> list[str]:
        return [json.loads(payload)["to"] for payload in self.of(topic)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    pytest.importorskip("paho.mqtt", reason="MQTT needs paho-mqtt")
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def subscriber(broker: Mosquitto) -> Iterator[Subscriber]:
    subscriber = Subscriber(broker.port)
    yield subscriber
    subscriber.close()


def blinking(scripted: Make, seconds: float) -> Any:
    """A live camera that sees dark and bright in turn, 0.4 s each."""
    frames = (
        np.full((48, 64, 3), 240 if index // 20 % 2 else 10, np.uint8)
        for index in range(int(50 * seconds))
    )
    return scripted(frames, live=True, fps=50)


def test_states_are_json_and_retained(
    scripted: Make, brightness: Make, broker: Mosquitto, subscriber: Subscriber
) -> None:
    with Camera(blinking(scripted, 2)) as camera:
        Pipeline(camera, brightness(), [Mqtt(f"mqtt://127.0.0.1:{broker.port}/yard/cat")]).run()
    until(lambda: subscriber.of("yard/cat/status") == ["online", "offline"])
    states = subscriber.states("yard/cat/state/0")
    assert states[-5:] == ["bright", "dark", "bright", "dark", "stopped"]
    event = json.loads(subscriber.of("yard/cat/state/0")[-2])
    assert (event["event"], event["from"], event["camera"]) == ("label", "bright", 0)
    assert event["confidence"] > 0.7
    assert event["age"] > 0
    later = Subscriber(broker.port)
    until(lambda: len(later.messages) == 2)
    later.close()
    assert {(name, retained) for name, _, retained in later.messages} == {
        ("yard/cat/status", True),
        ("yard/cat/state/0", True),
    }


def test_a_run_that_is_over_at_once_is_told_too(
    scripted: Make, brightness: Make, broker: Mosquitto, subscriber: Subscriber
) -> None:
    with Camera(scripted([PICTURE] * 3)) as camera:
        Pipeline(camera, brightness(), [Mqtt(f"mqtt://127.0.0.1:{broker.port}/yard")]).run()
    until(lambda: subscriber.of("yard/status") == ["online", "offline"])
    assert subscriber.states("yard/state/0")[-1] == "stopped"


def test_a_killed_broker_slows_nothing_and_is_found_again(
    scripted: Make, brightness: Make, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    states: list[list[str]] = []

    def listen() -> None:
        """Twice: wait for both labels, kill the broker, and see changes still being accepted."""
        for _ in range(2):
            hear(Subscriber(broker.port))
            broker.kill()
            until(lambda: not sink._client.is_connected())
            for _ in range(3):
                newest = dict(sink._states)
                until(lambda newest=newest: sink._states != newest)
            broker.start()
        loop.stop()

    def hear(subscriber: Subscriber) -> None:
        until(lambda: {"dark", "bright"} <= set(subscriber.states("yard/state/0")))
        states.append(subscriber.of("yard/status"))
        subscriber.close()

    with Camera(blinking(scripted, 60)) as camera, caplog.at_level(logging.WARNING):
        sink = Mqtt(f"mqtt://127.0.0.1:{broker.port}/yard")
        loop = Pipeline(camera, brightness(), [sink])
        listener = Thread(target=listen)
        listener.start()
        summary = loop.run()
        listener.join()
    assert states == [["online"], ["online"]]
    assert summary.failures == ()
    assert summary.not_recorded == 0
    gone = [record.getMessage() for record in caplog.records]
    assert [text.split(str(broker.port))[1].split(" (")[0] for text in gone][:3] == [
        " disconnected",
        " is connected again",
        " disconnected",
    ]


def test_a_broker_that_has_forgotten_is_told_the_newest_state_again(
    answer: Callable[..., Answer], broker: Mosquitto
) -> None:
    sink = Mqtt(f"mqtt://127.0.0.1:{broker.port}/yard")
    sink.begin(None)  # type: ignore[arg-type]  # it asks the loop nothing
    sink.write(answer(1, label="cat"), PICTURE)
    until(lambda: sink._told)
    broker.kill()
    until(lambda: not sink._client.is_connected())
    sink.write(answer(2, label="cat"), PICTURE)
    sink.write(answer(3, label="dog"), PICTURE)
    broker.start()
    subscriber = Subscriber(broker.port)
    until(lambda: subscriber.of("yard/state/0"))
    sink.close()
    until(lambda: subscriber.of("yard/status")[-1:] == ["offline"])
    subscriber.close()
    assert subscriber.states("yard/state/0") == ["dog"]


@pytest.mark.parametrize("trouble", ["absent", "frozen"])
def test_a_broker_that_does_not_answer_holds_up_nobody(
    answer: Callable[..., Answer],
    broker: Mosquitto,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    monkeypatch.setattr(sinks, "CLOSE_SECONDS", 60.0)
    process = broker.process
    assert process is not None
    if trouble == "absent":
        broker.kill()
    else:
        process.send_signal(signal.SIGSTOP)
    sink = Mqtt(f"mqtt://user:secret@127.0.0.1:{broker.port}/yard")
    output = BackgroundOutput(sink, wait=False)
    with caplog.at_level(logging.WARNING):
        sink.begin(None)  # type: ignore[arg-type]  # it asks the loop nothing
        for index in range(200):
            output.write(answer(index), PICTURE)
        if trouble == "absent":
            until(lambda: "is unreachable; retrying" in caplog.text)
            time.sleep(1.5)  # another attempt
        output.close()
    assert not sink._told
    assert output.failure == ""
    assert caplog.text.count("retrying") <= 1
    assert "secret" not in caplog.text
    if trouble == "frozen":
        process.send_signal(signal.SIGCONT)


def test_nothing_waits_for_the_connection(
    answer: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection attempt hangs until everything else is done."""
    pytest.importorskip("paho.mqtt", reason="MQTT needs paho-mqtt")
    written, outlasted = Event(), []

    def connect(*arguments: Any, **options: Any) -> socket.socket:
        outlasted.append(written.wait(20))
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", connect)
    sink = Mqtt("mqtt://192.0.2.1/yard")
    output = BackgroundOutput(sink, wait=False)
    sink.begin(None)  # type: ignore[arg-type]  # it asks the loop nothing
    output.write(answer(), PICTURE)
    until(lambda: sink._states)
    written.set()
    output.close()
    assert outlasted == [True]
    assert output.failure == ""


KILLED = """
import sys, time
import numpy as np
from edgecat.cli import main
from edgecat_runtime.camera import Shot, Source, register_source

class Endless(Source):
    live = True
    def read(self):
        time.sleep(0.02)
        return Shot(np.full((64, 96, 3), 200, np.uint8))

register_source("endless", lambda text, options: Endless())
sys.argv = ["edgecat", "camera", "--source", "endless:", "--headless", *sys.argv[1:]]
main()
"""


def test_the_last_will_of_a_killed_camera(
    tiny_onnx: Path, broker: Mosquitto, subscriber: Subscriber
) -> None:
    address = f"mqtt://127.0.0.1:{broker.port}/yard"
    arguments = [sys.executable, "-c", KILLED, "--engine", str(tiny_onnx), "--mqtt", address]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    try:
        until(lambda: "dog" in subscriber.states("yard/state/0"), 60)
    finally:
        process.kill()
        process.wait()
    until(lambda: subscriber.of("yard/status") == ["online", "offline"])
    later = Subscriber(broker.port)
    until(lambda: len(later.messages) == 2)
    later.close()
    assert ("yard/status", "offline", True) in later.messages, "the broker must retain it"


def test_the_connect_packet_asks_for_a_retained_last_will() -> None:
    """Read the CONNECT packet itself: MQTT 3.1.1, section 3.1.2."""
    pytest.importorskip("paho.mqtt", reason="MQTT needs paho-mqtt")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = Mqtt(f"mqtt://127.0.0.1:{listener.getsockname()[1]}/yard")
        sink.begin(None)  # type: ignore[arg-type]  # it asks the loop nothing
        connection, _ = listener.accept()
        with connection:
            packet = connection.recv(1000)
    sink.close()
    name = packet.index(b"\x00\x04MQTT")
    flags = packet[name + 7]
    assert (flags >> 2 & 1, flags >> 3 & 3, flags >> 5 & 1) == (1, 1, 1), "will, QoS 1, retained"
    assert b"\x00\x0byard/status\x00\x07offline" in packet


@with_broker
def test_a_password_is_given_and_never_shown(
    answer: Callable[..., Answer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("paho.mqtt", reason="MQTT needs paho-mqtt")
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "cat", SECRET], check=True)
    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}")
    broker.start()
    place = f"127.0.0.1:{broker.port}/yard"
    wrong, right = Mqtt(f"mqtt://cat:wrong-one@{place}"), Mqtt(f"mqtt://cat:s3%3Acr%40t%2F@{place}")
    try:
        with caplog.at_level(logging.WARNING):
            wrong.begin(None)  # type: ignore[arg-type]
            until(lambda: "rejected the connection (Not authorized); retrying" in caplog.text)
            time.sleep(1.5)
            wrong.close()
        subscriber = Subscriber(broker.port, user="cat", password=SECRET)
        right.begin(None)  # type: ignore[arg-type]
        right.write(answer(), PICTURE)
        until(lambda: subscriber.states("yard/state/0") == ["dog"])
        right.close()
        subscriber.close()
    finally:
        broker.kill()
    assert caplog.text.count("rejected") == 1
    assert "wrong-one" not in caplog.text + repr(wrong.__dict__)


@with_broker
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_certificate_is_demanded_and_checked(
    answer: Callable[..., Answer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("paho.mqtt", reason="MQTT needs paho-mqtt")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -batch"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *subject, *files], check=True, capture_output=True)
    tls = (f"certfile {certificate}", f"keyfile {key}")
    broker = Mosquitto(tmp_path, "allow_anonymous true", *tls)
    broker.start()
    address = f"mqtts://localhost:{broker.port}/yard"
    try:
        with caplog.at_level(logging.WARNING):
            stranger = Mqtt(address)
            stranger.begin(None)  # type: ignore[arg-type]
            until(lambda: "is unreachable" in caplog.text)
            stranger.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        sink = Mqtt(address)
        sink.begin(None)  # type: ignore[arg-type]
        until(lambda: sink._client.is_connected())
        sink.close()
    finally:
        broker.kill()


# Addresses.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://yard/cat", Broker("yard", 1883, "cat")),
        ("mqtts://yard/a/b/", Broker("yard", 8883, "a/b", tls=True)),
        ("mqtt://[::1]:99/cat", Broker("::1", 99, "cat")),
        ("mqtt://me:p%40s@yard:1/K%C3%A4t", Broker("yard", 1, "Kät", False, "me", "p@s")),
        ("mqtt://me@yard/cat", Broker("yard", 1883, "cat", user="me")),
    ],
)
def test_an_address_is_read(text: str, expected: Broker) -> None:
    assert Broker.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the MQTT address is invalid; expected mqtt"),
        ("yard/cat", "the MQTT address is invalid; expected mqtt"),
        ("http://yard/cat", "the MQTT address is invalid; expected mqtt"),
        ("mqtt:///cat", "the MQTT address is invalid; expected mqtt"),
        ("mqtt://yard/cat?x=1", "Escape .*%3F"),
        ("mqtt://yard:port/cat", "no valid host or port"),
        ("mqtt://yard:99999/cat", "no valid host or port"),
        ("mqtt://[::1/cat", "no valid host or port"),
        ("mqtt://yard", "the MQTT topic is ''"),
        ("mqtt://yard/cat/+", "the MQTT topic is"),
        ("mqtt://yard/cat/%23", "the MQTT topic is"),
    ],
)
def test_an_address_that_is_none_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Broker.parse(text)


def test_a_password_is_in_no_text() -> None:
    broker = Broker.parse("mqtts://me:secret@[::1]:99/cat")
    assert str(broker) == "mqtts://[::1]:99"
    assert "secret" not in repr(broker)


def test_without_paho_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(BackendMissing, match=r"pip install 'edgecat-runtime\[mqtt\]'"):
        Mqtt("mqtt://yard/cat")
