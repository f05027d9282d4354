"""Measure batch classification: `python benchmarks/batch.py > docs/results/batch.md`.

Images (drawn pets, or photographs with EDGECAT_PHOTOS) are classified with the model that ships, by
one local process and by as many as there are cores, alternately. Where Ray is installed, the same
images are classified on two Ray nodes of this machine (`ray start`, loopback), and once more while
one of the nodes is killed. All outputs have to be the same bytes.

What the driver alone does is measured too: listing images, taking results in and writing them. From
these figures the second table is worked out, not measured: ten million images on 1, 10 and 100
nodes. `--cores` and `--price` (per core and hour, in any currency) describe a node.

    python benchmarks/batch.py [--images 1000] [--rounds 3] [--cores 16] [--price 0.04]

Limits: a second core makes it at least 1.8 times as fast; a killed node costs no image. Prints
Markdown; exit code 3: a limit is missed.
"""

from __future__ import annotations

import argparse
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from threading import Thread
from time import monotonic, perf_counter, sleep
from typing import Any

from edgecat.data.sources import tar_entries
from edgecat.pets.synthetic import write_pets
from edgecat.workflows.batch.classify import classify_to_parquet
from edgecat.workflows.batch.engine import Plan, setup_for
from edgecat.workflows.batch.output import merge, part_bytes, schema
from edgecat.workflows.batch.placement import Workers
from edgecat.workflows.batch.sources import list_items
from edgecat.workflows.batch.summary import BatchSummary
from edgecat.workflows.batch.worker import Worker
from edgecat.workflows.models import models_to_serve
from edgecat.workflows.serving import open_classifier
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.machine import cores
from fuzz import machine_line

PACKAGES = ("onnxruntime", "openvino", "cv2", "pyarrow", "ray")
SCALING = 1.8
TEN_MILLION = 10_000_000
NODES = (1, 10, 100)
PATIENCE = 120.0
_TIMES, _PART = (
    20,
    512,
)  # how often the driver's work is repeated, on a part as large as the largest


@dataclass(frozen=True)
class Driver:
    """What the driver needs for one image, in seconds and bytes.

    Attributes:
        listing: to list it, in a tar.
        taking: to unpack its result and write it, into a part and into the output.
        image: its bytes in the input.
    """

    listing: float
    taking: float
    image: float


def photographs(folder: Path, count: int) -> Path:
    """A tar of photographs or drawn pets, at most `count`."""
    given = os.environ.get("EDGECAT_PHOTOS")
    path = folder / "images.tar"
    if given is None:
        write_pets(folder / "pets", count=count, seed=0, size=256)
        subprocess.run(["tar", "-cf", str(path), "-C", str(folder), "pets"], check=True)
        return path
    chosen = folder / "photos"
    chosen.mkdir()
    kept = 0
    for shard in sorted(Path(given).glob("train-*.tar")):
        with shard.open("rb") as file:
            for entry in tar_entries(shard):
                if entry.is_folder or entry.problem or kept == count:
                    continue
                file.seek(entry.offset)
                name = f"{kept:06}{Path(entry.parts[-1]).suffix}"
                (chosen / name).write_bytes(file.read(entry.size))
                kept += 1
    subprocess.run(["tar", "-cf", str(path), "-C", str(folder), "photos"], check=True)
    return path


def classified(data: Path, output: Path, workers: Workers, backend: str) -> BatchSummary:
    """One run, from nothing."""
    output.unlink(missing_ok=True)
    found = classify_to_parquet(data, output, "shipped", workers=workers, backend=backend)
    print(f"{output.name}: {found.run}", file=sys.stderr, flush=True)
    return found


def driver_cost(data: Path, folder: Path) -> Driver:
    """Measure what the driver does for an image, with real results."""
    start = perf_counter()
    listed = len(list_items([data] * _TIMES))
    listing = (perf_counter() - start) / listed
    items = list_items([data])
    with open_classifier(models_to_serve("shipped"), threads=1) as classifier:
        plan = Plan(items, 16, _PART)
        setup = setup_for(classifier, plan)
    worker = Worker(setup)
    task = plan.task(0)
    packed = pickle.dumps(worker.run(task))
    worker.close()
    columns = schema({})
    parts = [folder / f"{i}.parquet" for i in range(_TIMES)]
    start = perf_counter()
    for part in parts:
        atomic_write(part, part_bytes(task.items, pickle.loads(packed), columns))
    merge(parts, folder / "merged.parquet", columns)
    taking = (perf_counter() - start) / (_TIMES * len(task.items))
    return Driver(listing, taking, sum(item.size for item in items) / len(items))


@contextmanager
def ray_nodes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two Ray nodes of one core each on this machine, the head first."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # whether or not a token lies in ~/.ray
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"127.0.0.1:{port}"
    ray = Path(sys.executable).with_name("ray")
    common = ["--num-cpus=1", "--block", "--disable-usage-stats"]
    head = ["--head", f"--port={port}", "--include-dashboard=false", "--node-ip-address=127.0.0.1"]
    nodes: list[subprocess.Popen[bytes]] = []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        for more in (head, [f"--address={address}"]):
            nodes.append(
                subprocess.Popen([ray, "start", *more, *common], stdout=sys.stderr, env=environment)
            )
            wait_for_nodes(address, len(nodes))
        os.environ["RAY_ADDRESS"] = address
        yield nodes
    finally:
        os.environ.pop("RAY_ADDRESS", None)
        for node in reversed(nodes):
            kill_all(node)


def wait_for_nodes(address: str, count: int) -> None:
    """Wait until the cluster has so many nodes."""
    ray: Any = import_module("ray")

    end = monotonic() + PATIENCE
    while monotonic() < end:
        with suppress(ConnectionError, RuntimeError):
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
            try:
                if sum(node["Alive"] for node in ray.nodes()) >= count:
                    return
            finally:
                ray.shutdown()
        sleep(0.5)
    raise SystemExit(f"the Ray cluster at {address} does not get {count} nodes")


def kill_all(node: subprocess.Popen[bytes]) -> None:
    """Kill a node's processes, the youngest ones last so that none is started again."""
    pids = [node.pid]
    for pid in pids:
        pids += children(pid)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    node.wait()


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(place.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(place.parent.name))
    return found


def killed_node(data: Path, output: Path, backend: str) -> tuple[BatchSummary, bool]:
    """Classify on two nodes and kill one; whether it was killed before the end."""
    with ray_nodes() as (_, second):
        killed: list[bool] = []

        def kill() -> None:
            parts = output.with_name(output.name + ".partial")
            while len(list(parts.glob("part-*"))) < 4:
                sleep(0.01)
            kill_all(second)
            killed.append(not output.exists())

        thread = Thread(target=kill, daemon=True)
        thread.start()
        found = classified(data, output, Workers("ray", 2), backend)
        thread.join(PATIENCE)
        return found, killed == [True]


def worked_out(rate: float, driver: Driver, each: int, price: float) -> list[str]:
    """Ten million images on several nodes, from the measured figures."""
    lines = [
        "| nodes | cores | listing | classifying | driver busy | in all | core hours | cost |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    listing = TEN_MILLION * driver.listing
    for nodes in NODES:
        count = nodes * each
        workers = TEN_MILLION / (rate * count)
        taking = TEN_MILLION * driver.taking
        whole = listing + max(workers, taking)
        hours = count * whole / 3600
        lines.append(
            f"| {nodes} | {count:,} | {clock(listing)} | {clock(workers)} | "
            f"{taking / max(workers, taking):.0%} | {clock(whole)} | {hours:,.0f} | "
            f"{hours * price:,.2f} |"
        )
    return lines


def clock(seconds: float) -> str:
    """Hours and minutes."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=16, help="of a node in the worked-out table")
    parser.add_argument("--price", type=float, default=0.04, help="of a core for an hour")
    parser.add_argument("--backend", default="auto", help="as edgecat classify takes it")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data = photographs(folder, options.images)
        return measured(data, folder, options)


def measured(data: Path, folder: Path, options: argparse.Namespace) -> int:
    """Run everything and print the page; the exit code."""
    many, backend = min(2, cores()), options.backend
    rates: dict[int, list[float]] = {1: [], many: []}
    outputs: list[Path] = []
    batch = None
    for turn in range(options.rounds):
        for count in dict.fromkeys((1, many)):
            outputs.append(folder / f"local-{count}-{turn}.parquet")
            found = classified(data, outputs[-1], Workers("local", count, batch), backend)
            batch = found.run.batch
            rates[count].append(found.run.rate)
    ray_lines: list[str] = []
    faults: list[str] = []
    if find_spec("ray"):
        with ray_nodes():
            outputs.append(folder / "ray.parquet")
            on_ray = classified(data, outputs[-1], Workers("ray", 2, batch), backend)
        outputs.append(folder / "killed.parquet")
        killed, in_time = killed_node(data, outputs[-1], backend)
        ray_lines = [ray_row("two Ray nodes", on_ray), ray_row("one of them killed", killed)]
        if not in_time or not killed.run.lost:
            faults.append("the node was not killed in time: take more --images")
    driver = driver_cost(data, folder)
    same = len({path.read_bytes() for path in outputs}) == 1
    ratio = median(rates[many]) / median(rates[1])
    if not same:
        faults.append("the outputs differ")
    if many == 2 and ratio < SCALING:
        faults.append(f"two processes are {ratio:.2f} times as fast as one, below {SCALING}")
    if cores() < 2:
        faults.append("one core: scaling was not measured")
    print(page(options, rates, ray_lines, driver, found, same))
    for fault in faults:
        print(f"missed: {fault}", file=sys.stderr)
    return 3 if faults else 0


def ray_row(name: str, found: BatchSummary) -> str:
    """A row of the first table."""
    run = found.run
    return f"| {name} | {run.rate:.1f} | {run.rate_per_core:.1f} | | {run.lost} |"


def page(
    options: argparse.Namespace,
    rates: dict[int, list[float]],
    ray_lines: Sequence[str],
    driver: Driver,
    found: BatchSummary,
    same: bool,
) -> str:
    """The result as Markdown."""
    single = median(rates[1])
    rows = [
        f"| {count} local process{'es' * (count > 1)} | {median(each):.1f} | "
        f"{median(each) / count:.1f} | {median(each) / single:.2f} | 0 |"
        for count, each in rates.items()
    ]
    most, per_core = max(rates), median(rates[max(rates)]) / max(rates)
    photos = "photographs" if os.environ.get("EDGECAT_PHOTOS") else "drawn pets"
    bound = 1 / driver.taking
    row = found.output.stat().st_size / found.images
    return "\n".join(
        [
            "# Batch classification",
            "",
            f"Written by `benchmarks/batch.py`: {found.images:,} {photos} of "
            f"{driver.image / 1000:.0f} kB on average in a tar, {found.served_by}, batches of "
            f"{found.run.batch}, {options.rounds} rounds, medians.",
            "",
            machine_line(*PACKAGES),
            "",
            "## Measured",
            "",
            "| | images/s | per core | times one process | workers lost |",
            "| --- | ---: | ---: | ---: | ---: |",
            *rows,
            *(ray_lines or ["| Ray is not installed | | | | |"]),
            "",
            f"The outputs {'are the same bytes' if same else 'differ'}.",
            "",
            f"The driver lists {1 / driver.listing:,.0f} images/s of a tar and takes in "
            f"{bound:,.0f} results/s; a row of the output has {row:.0f} bytes.",
            "",
            "## Worked out",
            "",
            f"Ten million such images on nodes of {options.cores} cores, if every core classifies "
            f"{per_core:.1f} images/s as each of {most} did here, at {options.price} per core and "
            f"hour (an assumption). Reading {driver.image / 1000:.0f} kB per image takes "
            f"{per_core * options.cores * driver.image / 1e6:.0f} MB/s per node. Nothing of this "
            "was measured on more than one machine.",
            "",
            *worked_out(per_core, driver, options.cores, options.price),
            "",
            f"One driver keeps up with {bound / per_core:,.0f} such cores.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
