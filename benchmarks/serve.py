"""Measure the inference service under load: `python benchmarks/serve.py [MODEL] [--clients 32]`.

Clients in a process of their own ask for one frame at a time, over connections that stay open, in
the binary form of the protocol. Limits:

- 32 clients together get at least 0.85 of the frames per second of the bare classifier in batches
  of the mean size that the service formed, measured in turns with the service;
- the 99th percentile of their latency is at most twice that of the batches that have to be waited
  for: the one in the network and their own, plus the delay;
- with three times the clients and the queue as long as before, some requests get 503 at once, and
  all others are answered, and rightly.

Both share the machine's cores, so the clients' work counts against the service.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import platform
import statistics
import sys
import threading
from pathlib import Path
from time import perf_counter

import numpy as np

from edgecat.pretrained import INT8
from edgecat_runtime import Classifier
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.system.machine import this_machine
from edgecat_runtime.web.access import AccessControl, Address, listen
from edgecat_runtime.web.inference.service import InferenceServer, ServiceOptions

SHARE, LATENCY = 0.85, 2.0
_BATCH, _DELAY = 16, 0.002


def main() -> int:
    """Measure, print, and return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", default=INT8)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{this_machine()}. Python {platform.python_version()}, numpy {np.__version__}")
    with Classifier.open(options.model) as classifier:
        print(f"{options.model.name} on {classifier.backend}, batches up to {_BATCH}")
        return _judged(classifier, options.clients, options.seconds, options.rounds)


def _judged(classifier: Classifier, clients: int, seconds: float, rounds: int) -> int:
    frame = golden_frames(classifier.card.height, classifier.card.width)[:1]
    served, bare, waits, sizes = [], [], [], []
    alone = _under_load(classifier, frame, 1, seconds, queue=clients)
    for _ in range(rounds):
        load = _under_load(classifier, frame, clients, seconds, queue=clients)
        size = max(1, round(load["size"]))
        batch = _batch_seconds(classifier, np.repeat(frame, size, axis=0), seconds / 2)
        served.append(load["answered"] / seconds)
        bare.append(size / batch)
        waits.append(load["p99"] / (2 * batch * clients / (2 * size) + _DELAY))
        sizes.append(load["size"])
        print(
            f"{clients} clients: {served[-1]:.1f} frames/s in batches of {sizes[-1]:.1f}, "
            f"p50 {load['p50'] * 1e3:.1f} ms, p99 {load['p99'] * 1e3:.1f}; bare {bare[-1]:.1f}"
        )
    over = _under_load(classifier, frame, 3 * clients, seconds, queue=clients)
    share = statistics.median(a / b for a, b in zip(served, bare, strict=True))
    wait = statistics.median(waits)
    print(f"1 client: {alone['answered'] / seconds:.1f} frames/s, p99 {alone['p99'] * 1e3:.1f} ms")
    print(f"service / bare classifier: {share:.3f} (limit {SHARE})")
    print(f"p99 / time of the batches that are waited for: {wait:.2f} (limit {LATENCY})")
    print(
        f"{3 * clients} clients: {over['answered'] / seconds:.1f} frames/s, {over['refused']} of "
        f"{over['answered'] + over['refused']} requests refused with 503, {over['wrong']} wrong, "
        f"{over['lost']} lost"
    )
    good = share >= SHARE and wait <= LATENCY and over["refused"] > 0
    return 0 if good and not over["wrong"] and not over["lost"] else 1


def _batch_seconds(classifier: Classifier, frames: np.ndarray, seconds: float) -> float:
    times = []
    until = perf_counter() + seconds
    while perf_counter() < until:
        started = perf_counter()
        classifier.infer(frames)
        times.append(perf_counter() - started)
    return statistics.median(times)


def _under_load(
    classifier: Classifier, frame: np.ndarray, clients: int, seconds: float, *, queue: int
) -> dict[str, float]:
    """Serve clients in another process for a while; what they counted, and the mean batch."""
    address = Address("127.0.0.1", 0)
    sock = listen(address)
    guard = AccessControl(address, sock)
    options = ServiceOptions(max_batch=_BATCH, delay=_DELAY, queue=queue)
    context = multiprocessing.get_context("spawn")
    expected = classifier.infer(frame)[0].tolist()
    results = context.Queue()
    with InferenceServer(classifier, sock, guard, name="model", options=options):
        process = context.Process(
            target=_clients, args=(guard.port, frame, expected, clients, seconds, results)
        )
        process.start()
        found: dict[str, float] = results.get(timeout=10 * seconds + 60)
        process.join()
        metrics = _scraped(guard.port)
    found["size"] = metrics["edgecat_frames"] / max(1.0, metrics["edgecat_batches"])
    return found


def _scraped(port: int) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name.partition("{")[0]: float(value) for name, value in pairs}


def _clients(
    port: int,
    frame: np.ndarray,
    expected: list[float],
    clients: int,
    seconds: float,
    results: multiprocessing.Queue[dict[str, float]],
) -> None:
    shape = list(frame.shape)
    parameters = {"binary_data_size": frame.nbytes}
    tensor = {"name": "frames", "datatype": "UINT8", "shape": shape, "parameters": parameters}
    head = json.dumps({"inputs": [tensor], "outputs": [{"name": "logits"}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    times: list[float] = []
    counted = {"refused": 0, "wrong": 0, "lost": 0}
    lock, begin = threading.Lock(), threading.Barrier(clients)

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        begin.wait()
        until = perf_counter() + seconds
        while perf_counter() < until:
            started = perf_counter()
            try:
                connection.request(
                    "POST", "/v2/models/model/infer", head + frame.tobytes(), headers
                )
                answer = connection.getresponse()
                body = answer.read()
            except OSError:
                with lock:
                    counted["lost"] += 1
                return
            elapsed = perf_counter() - started
            with lock:
                if answer.status == 503:
                    counted["refused"] += 1
                elif answer.status != 200 or not np.allclose(
                    json.loads(body)["outputs"][0]["data"], expected, atol=1e-3
                ):
                    counted["wrong"] += 1
                else:
                    times.append(elapsed)
            if answer.status == 503:
                threading.Event().wait(0.02)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p50, p99 = np.percentile(times or [np.nan], [50, 99])
    results.put({"answered": len(times), "p50": float(p50), "p99": float(p99), **counted})


if __name__ == "__main__":
    sys.exit(main())
