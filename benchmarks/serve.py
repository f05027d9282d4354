"""Measure the inference service under load: `python benchmarks/serve.py [MODEL] [--clients 32]`.

A process of its own asks for one frame at a time on each of 32 connections that stay open, in the
binary form of the protocol and without an HTTP library, so that asking costs little. The service
has as many instances of the model as there are cores (`--instances`), a thread each, and batches of
which two per instance hold all clients. Limits:

- 32 clients together get at least 0.85 of the frames per second of the bare classifier, with all
  cores for itself, in batches of the mean size that the service formed. It runs before and after
  every second of load, since a shared host changes its speed;
- the 99th percentile of their latency is at most twice the time in which the bare classifier does
  one frame of each client, plus the delay;
- with three times the clients and the queue as long as before, some requests get 503 at once, and
  all others are answered, and rightly.

Both share the machine's cores, so the clients' work counts against the service.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import multiprocessing
import platform
import selectors
import socket
import statistics
import sys
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import cast

import numpy as np

from edgecat.pretrained import INT8
from edgecat.workflows.serving import open_copies, threads_of_each
from edgecat_runtime import Classifier
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.system.machine import cores, this_machine
from edgecat_runtime.web.access import AccessControl, Address, listen
from edgecat_runtime.web.inference.service import InferenceServer, ServiceOptions

SHARE, LATENCY = 0.85, 2.0
_DELAY = 0.002
_WARM_UP = 0.2
"""Seconds of load whose answers do not count: until as many requests wait as will."""
_STEADY = 0.15
"""Relative difference of the bare classifier before and after a second of steady speed."""
_AGAIN = 0.02
"""Seconds until a client that was refused asks again."""


def main() -> int:
    """Measure, print, and return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", default=INT8)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--instances", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    threads = threads_of_each(options.instances, None)
    print(f"{this_machine()}. Python {platform.python_version()}, numpy {np.__version__}")
    with (
        Classifier.open(options.model) as bare,
        open_copies(bare, options.instances, threads=threads) as instances,
    ):
        print(f"{options.model.name} on {bare.backend}, instances: {options.instances}")
        return _judged(bare, instances, options.clients, options.seconds, options.rounds)


def _judged(
    bare: Classifier, instances: list[Classifier], clients: int, seconds: float, rounds: int
) -> int:
    frame = golden_frames(bare.card.height, bare.card.width)[:1]
    limits = ServiceOptions(max(1, clients // (2 * len(instances))), _DELAY, clients)
    with _service(instances, frame, limits) as load:
        alone = load(1, 3 * seconds)
        size = max(1, round(load(clients, seconds)["size"]))
        frames = np.repeat(frame, size, axis=0)
        rates, loads = [_rate(bare, frames, seconds / 2)], []
        for _ in range(rounds):
            loads.append(load(clients, seconds))
            rates.append(_rate(bare, frames, seconds / 2))
        over = load(3 * clients, 3 * seconds)
    shares, waits, steady = [], [], []
    for found, before, after in zip(loads, rates, rates[1:], strict=False):
        alone_rate, served = (before + after) / 2, found["answered"] / seconds
        shares.append(served / alone_rate)
        waits.append(found["p99"] / (clients / alone_rate + _DELAY))
        if abs(before - after) < _STEADY * alone_rate:
            steady.append(shares[-1])
        print(
            f"{clients} clients: {served:.1f} frames/s in batches of {found['size']:.1f}, "
            f"p50 {found['p50'] * 1e3:.1f} ms, p99 {found['p99'] * 1e3:.1f}; "
            f"bare {before:.1f} before, {after:.1f} after"
        )
    share, wait = statistics.median(shares), statistics.median(waits)
    print(f"1 client: p50 {alone['p50'] * 1e3:.1f} ms, p99 {alone['p99'] * 1e3:.1f}")
    print(f"service / bare classifier: {share:.3f} (limit {SHARE}), ", end="")
    print(f"{len(steady)} seconds of steady speed: {statistics.median(steady or [np.nan]):.3f}")
    print(f"p99 / time of a batch of all clients: {wait:.2f} (limit {LATENCY})")
    print(
        f"{3 * clients} clients: {over['all']} answered, {over['refused']} refused with 503, "
        f"{over['wrong']} wrong, {over['lost']} lost"
    )
    flawless = not any(found["wrong"] or found["lost"] for found in (alone, *loads, over))
    good = share >= SHARE and wait <= LATENCY and over["refused"] > 0
    return 0 if good and flawless else 1


def _rate(classifier: Classifier, frames: np.ndarray, seconds: float) -> float:
    """Frames per second."""
    count, started = 0, perf_counter()
    while (now := perf_counter()) < started + seconds:
        classifier.infer(frames)
        count += len(frames)
    return count / (now - started)


@contextlib.contextmanager
def _service(
    instances: list[Classifier], frame: np.ndarray, options: ServiceOptions
) -> Iterator[Callable[[int, float], dict[str, float]]]:
    """Serve; yield what has a number of clients ask for a while, and what they counted."""
    address = Address("127.0.0.1", 0)
    sock = listen(address)
    guard = AccessControl(address, sock)
    context = multiprocessing.get_context("spawn")
    first, *copies = instances
    expected = first.infer(frame)[0].tolist()
    here, there = context.Pipe()
    with InferenceServer(first, sock, guard, name="model", options=options, copies=copies):
        process = context.Process(target=_process, args=(there, guard.port, frame, expected))
        process.start()
        there.close()  # if the process dies, the connection ends

        def load(clients: int, seconds: float) -> dict[str, float]:
            before = _scraped(guard.port)
            here.send((clients, seconds))
            found: dict[str, float] = here.recv()
            after = _scraped(guard.port)
            frames, batches = (
                after[name] - before[name] for name in ("edgecat_frames", "edgecat_batches")
            )
            return {**found, "size": frames / max(1.0, batches)}

        try:
            yield load
        finally:
            here.close()
            process.join()


def _process(commands: Connection, port: int, frame: np.ndarray, expected: list[float]) -> None:
    with contextlib.suppress(EOFError):  # the end of the benchmark
        while True:
            commands.send(_asked(port, frame, expected, *commands.recv()))


def _scraped(port: int) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name.partition("{")[0]: float(value) for name, value in pairs}


def _asked(
    port: int, frame: np.ndarray, expected: list[float], clients: int, seconds: float
) -> dict[str, float]:
    """Ask for a frame over each connection, again and again; count what came back."""
    request = _request(frame)
    answers: list[tuple[float, float]] = []
    counted = {"refused": 0, "wrong": 0, "lost": 0}
    asked: dict[socket.socket, float] = {}
    later: deque[tuple[float, socket.socket]] = deque()
    begin = perf_counter() + _WARM_UP
    until = begin + seconds

    def ask(connection: socket.socket) -> None:
        if perf_counter() < until:
            asked[connection] = perf_counter()
            with contextlib.suppress(OSError):  # what broke is found when it is read
                connection.sendall(request)

    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(clients):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 60))
            selector.register(connection, selectors.EVENT_READ)
            ask(connection)
        while asked or later:
            for key, _ in selector.select(_AGAIN if later else None):
                connection = cast("socket.socket", key.fileobj)
                outcome, started = _outcome(connection, expected), asked.pop(connection, 0.0)
                if outcome == "answered":
                    answers.append((perf_counter(), perf_counter() - started))
                else:
                    counted[outcome] += 1
                if outcome == "lost":
                    selector.unregister(connection)
                elif outcome == "refused":
                    later.append((perf_counter() + _AGAIN, connection))
                else:
                    ask(connection)
            while later and later[0][0] <= perf_counter():
                ask(later.popleft()[1])
    times = [latency for now, latency in answers if begin <= now < until]
    p50, p99 = np.percentile(times or [np.nan], [50, 99])
    counted["all"] = len(answers)
    return {"answered": len(times), "p50": float(p50), "p99": float(p99), **counted}


def _request(frame: np.ndarray) -> bytes:
    tensor = {
        "name": "frames",
        "datatype": "UINT8",
        "shape": list(frame.shape),
        "parameters": {"binary_data_size": frame.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "outputs": [{"name": "logits"}]}).encode()
    lines = (
        "POST /v2/models/model/infer HTTP/1.1",
        "Host: 127.0.0.1",
        f"Inference-Header-Content-Length: {len(head)}",
        f"Content-Length: {len(head) + frame.nbytes}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + head + frame.tobytes()


def _outcome(connection: socket.socket, expected: list[float]) -> str:
    """Read a response: answered, wrong, refused, or lost if the connection broke."""
    text = b""
    while b"\r\n\r\n" not in text or len(text) < _length(text):
        try:
            part = connection.recv(65536)
        except OSError:
            part = b""
        if not part:
            return "lost"
        text += part
    status = text.split(b" ", 2)[1]
    if status == b"503":
        return "refused"
    if status != b"200":
        return "wrong"
    found = json.loads(text.partition(b"\r\n\r\n")[2])["outputs"][0]["data"]
    near = all(abs(a - b) < 1e-3 for a, b in zip(found, expected, strict=True))
    return "answered" if near else "wrong"


def _length(text: bytes) -> int:
    """Of a whole response, from its first lines."""
    head = text.partition(b"\r\n\r\n")[0]
    _, _, behind = head.lower().partition(b"content-length:")
    return len(head) + 4 + int(behind.split(b"\r\n", 1)[0])


if __name__ == "__main__":
    sys.exit(main())
