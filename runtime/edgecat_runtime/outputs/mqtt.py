"""MQTT: the state of every camera as a retained message, and edgecat's availability."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import BackendMissing, UserError
from edgecat_runtime.outputs.events import event_from_answer, event_from_signal, json_from_event
from edgecat_runtime.outputs.sink import Sink

if TYPE_CHECKING:
    from edgecat_runtime.camera.frames import StatusEvent
    from edgecat_runtime.loop.answers import Answer
    from edgecat_runtime.loop.running import Loop

log = logging.getLogger("edgecat_runtime")

PORTS = {"mqtt": 1883, "mqtts": 8883}
_EXPECTED = "expected mqtt[s]://[user:password@]host[:port]/topic"
_KEEPALIVE_SECONDS = 15
_LONGEST_PAUSE = 5
_CONNECT_SECONDS = 3.0
_FAREWELL_SECONDS = 2.0


@dataclass(frozen=True)
class Broker:
    """A parsed MQTT address.

    Attributes:
        host: name or address.
        port: 1883, or with TLS 8883, unless given.
        topic: prefix of all topics.
        tls: whether the connection is encrypted, and the broker's certificate checked.
        user: empty for none.
        password: not shown by `str` or `repr`.
    """

    host: str
    port: int
    topic: str
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Broker:
        """Read `mqtt[s]://[user:password@]host[:port]/topic`; escapes as in any URL.

        Raises:
            UserError: the address is invalid; the message does not contain its password.
        """
        try:
            parts = urlsplit(text)
            port, host = parts.port, parts.hostname
        except ValueError:
            raise UserError(f"the MQTT address has no valid host or port; {_EXPECTED}") from None
        topic = unquote(parts.path).strip("/")
        if parts.scheme not in PORTS or not host or parts.query or parts.fragment:
            raise UserError(
                f"the MQTT address is invalid; {_EXPECTED}. Escape ?, # and @ as %3F, %23 and %40"
            )
        if not topic or re.search("[+#\0]", topic) or len(topic.encode()) > 1000:
            raise UserError(
                f"the MQTT topic is {topic!r}; expected one such as yard/cat, without + or #"
            )
        return cls(
            host,
            port or PORTS[parts.scheme],
            topic,
            parts.scheme == "mqtts",
            unquote(parts.username or ""),
            unquote(parts.password or ""),
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"


class Mqtt(Sink):
    """Publishes to an MQTT broker, and reconnects when the connection is lost.

    `TOPIC/status` is `online`, or `offline` when edgecat has ended, was killed or lost its network
    (the last will). `TOPIC/state/N` is the newest event of camera N as JSON, as in the events file.
    Both are retained. Changes while disconnected are not sent later; only the newest state is. The
    broker may be unreachable at the start.

    Args:
        address: see `Broker.parse`.

    Raises:
        UserError: the address is invalid.
        BackendMissing: paho-mqtt is not installed.
    """

    name = "MQTT"
    only_changes = True

    def __init__(self, address: str) -> None:
        self._broker = broker = Broker.parse(address)
        self._status = f"{broker.topic}/status"
        self._states: dict[str, bytes] = {}
        self._lock = Lock()
        self._trouble = ""
        self._told = self._ends = False
        self._client = self._new_client()
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = lambda *_: self._report("is unreachable")
        self._client.on_disconnect = self._on_disconnect

    def begin(self, loop: Loop) -> None:
        """Connect, in a background thread."""
        broker = self._broker
        self._client.connect_async(broker.host, broker.port, keepalive=_KEEPALIVE_SECONDS)
        self._client.loop_start()

    def write(self, answer: Answer, picture: NDArray[np.uint8]) -> None:
        """Publish a label change."""
        self._publish(event_from_answer(answer))

    def signal(self, signal: StatusEvent) -> None:
        """Publish a status event."""
        self._publish(event_from_signal(signal))

    def close(self) -> None:
        """Publish `offline`, if connected, and disconnect."""
        until = time.monotonic() + _FAREWELL_SECONDS
        while not (self._told or self._trouble) and time.monotonic() < until:
            time.sleep(0.01)  # a run this short may not be connected yet
        self._ends = True
        if self._client.is_connected():
            told = self._client.publish(self._status, "offline", qos=1, retain=True)
            while not told.is_published() and time.monotonic() < until:
                time.sleep(0.01)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, event: dict[str, Any]) -> None:
        topic = f"{self._broker.topic}/state/{event['camera']}"
        with self._lock:
            self._states[topic] = json_from_event(event)
            if self._client.is_connected():
                self._send(topic)

    def _send(self, topic: str) -> None:
        # QoS 0: with any other, paho resends messages that were in flight after the newest state,
        # and the older one would be retained. Each connection begins with the newest states.
        self._client.publish(topic, self._states[topic], qos=0, retain=True)

    def _new_client(self) -> Any:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise BackendMissing(
                "paho-mqtt 2 is not installed: pip install 'edgecat-runtime[mqtt]'"
            ) from error
        client = Client(CallbackAPIVersion.VERSION2)
        client.connect_timeout = _CONNECT_SECONDS
        client.reconnect_delay_set(1, _LONGEST_PAUSE)
        client.will_set(self._status, "offline", qos=1, retain=True)
        if self._broker.tls:
            client.tls_set()
        if self._broker.user:
            client.username_pw_set(self._broker.user, self._broker.password or None)
        return client

    # Called in paho's thread.

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if reason.is_failure:
            self._report(f"rejected the connection ({reason})")
            return
        if self._trouble:
            log.warning("the MQTT broker %s is connected again", self._broker)
            self._trouble = ""
        with self._lock:
            client.publish(self._status, "online", qos=0, retain=True)
            for topic in self._states:
                self._send(topic)
        self._told = True

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if not self._ends and reason.is_failure:
            self._report(f"disconnected ({reason})")

    def _report(self, trouble: str) -> None:
        """Warn once per outage, and again if the broker rejects the connection."""
        refused = trouble.startswith("rejected") and not self._trouble.startswith("rejected")
        if (not self._trouble or refused) and not self._ends:
            log.warning("the MQTT broker %s %s; retrying", self._broker, trouble)
            self._trouble = trouble
