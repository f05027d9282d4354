"""Batch classification on Ray: two nodes on this machine, one of them killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat.workflows.batch import ray_pool
from edgecat.workflows.batch.classify import classify_to_parquet
from edgecat.workflows.batch.engine import Plan, classify_items, setup_for
from edgecat.workflows.batch.placement import Workers
from edgecat.workflows.batch.reading import Reader
from edgecat.workflows.batch.sources import list_items
from edgecat.workflows.batch.tasks import Rows
from edgecat.workflows.evaluate import evaluate
from edgecat.workflows.reporter import Silent
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import UserError

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'edgecat[ray]'")
pytest.importorskip("pyarrow", reason="not installed: pip install 'edgecat[parquet]'")
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="this Ray has no test clusters")

Cli = Callable[..., Any]
PATIENCE = 120.0
# Ray waits up to 60 s for a client's process that died at its start, until another one is started.
CLIENT_PATIENCE = 240.0
TIMES = 100
BACKEND = ("--backend", "onnxruntime")  # else the fastest, which may differ between runs


class Heard(Silent):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images, the last one broken."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(20):
        cv2.imwrite(str(folder / f"{i:02}.png"), rng.integers(0, 256, (40, 50, 3), np.uint8))
    (folder / "19.png").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head node without CPUs, whose client server listens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 0, "include_dashboard": False, "ray_client_server_port": free_port()}
        made = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        made.client_port = head["ray_client_server_port"]
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def node(cluster: Any) -> Any:
    """A node with one CPU."""
    return cluster.add_node(num_cpus=1)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def run(cluster: Any, *arguments: object) -> subprocess.Popen[str]:
    """Start `edgecat ARGS...` with the cluster as that of this machine."""
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, "-m", "edgecat", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "RAY_ADDRESS": cluster.address},
    )


def finished(
    process: subprocess.Popen[str], patience: float = PATIENCE
) -> tuple[dict[str, Any], str]:
    """The JSON and the standard error of a command that has to succeed."""
    try:
        out, err = process.communicate(timeout=patience)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return json.loads(out), err


@pytest.fixture(scope="module")
def expected(photos: Path, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The output of local processes."""
    output = tmp_path_factory.mktemp("expected") / "o.parquet"
    workers = Workers(count=2, batch=4)
    classify_to_parquet([photos] * TIMES, output, exported, workers=workers, backend=BACKEND[1])
    return output.read_bytes()


def chosen(photos: Path, output: Path, exported: Path, on: str) -> list[object]:
    """A long run in batches of four."""
    options = ("--output", output, "--model", exported, "--batch", 4, *BACKEND)
    return ["classify", *[photos] * TIMES, *options, "--json", "--on", on]


def test_a_node_killed_in_the_middle_costs_nothing(
    cluster: Any,
    photos: Path,
    exported: Path,
    expected: bytes,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Of two workers one waits for a CPU; the other one's node is lost while another one joins."""
    lost = cluster.add_node(num_cpus=1)
    output = tmp_path / "o.parquet"
    process = run(cluster, *chosen(photos, output, exported, "ray"), "--workers", 2)
    try:
        parts, end = output.with_name("o.parquet.partial"), monotonic() + PATIENCE
        while len(list(parts.glob("part-*"))) < 3:
            assert process.poll() is None, process.communicate()
            assert monotonic() < end, "no parts appear"
            sleep(0.01)
        process.send_signal(signal.SIGSTOP)  # so that it does not end meanwhile
    except BaseException:
        process.kill()
        raise
    finally:
        cluster.remove_node(lost, allow_graceful=False)
    request.getfixturevalue("node")
    process.send_signal(signal.SIGCONT)
    values, err = finished(process)
    assert output.read_bytes() == expected
    assert values["kind"] == "Ray workers"
    assert values["failed"] == TIMES
    assert values["lost"] == 1, err
    assert "a Ray worker ended (" in err
    cluster.wait_for_nodes(PATIENCE)  # until the lost one is no longer counted


def test_a_cluster_elsewhere(
    cluster: Any, node: Any, photos: Path, exported: Path, expected: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "o.parquet"
    where = f"ray://127.0.0.1:{cluster.client_port}"
    process = run(cluster, *chosen(photos, output, exported, where))
    values, _ = finished(process, CLIENT_PATIENCE)
    assert values["workers"] == 1
    assert output.read_bytes() == expected


def test_evaluate_on_ray(cluster: Any, node: Any, exported: Path, album: Path) -> None:
    plain = evaluate(exported, album, threads=1).to_dict()
    values, _ = finished(run(cluster, "evaluate", exported, album, "--on", "ray", "--json"))
    run_values = values.pop("workers")
    assert values == json.loads(json.dumps(plain))
    assert (run_values["kind"], run_values["workers"]) == ("Ray workers", 1)


def test_a_node_that_does_not_see_the_images_is_sent_them(
    cluster: Any, node: Any, photos: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    plan = Plan.of(list_items([photos]), 4)
    with Classifier.open(exported, backend="onnxruntime", threads=1) as classifier:
        setup = setup_for(classifier, plan)
    hidden = replace(setup, inputs=((str(photos / "00.png"), 1),))  # of another size: not there
    heard, sent, contents = Heard(), [], Reader.contents
    monkeypatch.setattr(Reader, "contents", lambda *a: sent.append(a[1].part) or contents(*a))
    found: dict[str, list[Rows]] = {}
    for on, opened in (("local", setup), ("ray", hidden)):
        rows: dict[int, Rows] = {}
        classify_items(
            *(plan, opened, Workers(on, 1)),
            parts=range(plan.parts),
            done=lambda task, answer, rows=rows: rows.update({task.part: answer}),
            reporter=heard,
        )
        found[on] = [rows[part] for part in range(plan.parts)]
    assert sorted(sent) == list(range(plan.parts)) == [0, 1, 2, 3, 4]
    for here, there in zip(found["local"], found["ray"], strict=True):
        assert np.array_equal(here.logits, there.logits)
        assert (here.labels, here.errors) == (there.labels, there.errors)
    assert len(heard.warnings) == 1
    assert f"does not see {photos / '00.png'}: its images are sent" in heard.warnings[0]


def test_an_address_that_nobody_answers(exported: Path, photos: Path, cli: Cli) -> None:
    where = f"ray://127.0.0.1:{free_port()}"
    ran = cli("classify", photos, "--output", "o.parquet", "--model", exported, "--on", where)
    assert ran.code == 1
    assert f"cannot use the Ray cluster at {where} (" in ran.err
    assert "Start one: ray start --head" in ran.err
    assert "If it asks for a token, set RAY_AUTH_MODE=token here" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(("fails", "ends_well"), [(2, True), (3, False)])
def test_a_client_server_that_dies_at_its_start_gets_another_chance(
    monkeypatch: pytest.MonkeyPatch, fails: int, ends_well: bool
) -> None:
    """Ray's own race: the process that it forks for a client dies before it runs, at times."""
    asked: list[str] = []

    def init(address: str, **options: object) -> None:
        asked.append(address)
        if len(asked) <= fails:
            raise RuntimeError("psutil.ZombieProcess: PID still exists but it's a zombie")

    monkeypatch.setattr(ray, "init", init)
    if ends_well:
        assert ray_pool._connected("ray://head:10001") == (ray, True)
    else:
        with pytest.raises(UserError, match=r"cannot use .* at ray://head:10001 \(psutil.Zombie"):
            ray_pool._connected("ray://head:10001")
    assert len(asked) == 3
