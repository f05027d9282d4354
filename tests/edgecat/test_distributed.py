"""Several processes: two give what one gives, signals save, and a dead one is named."""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgecat.data.batches import Batch
from edgecat.training.augment import Augmentation, begin_view, lay_out
from edgecat.training.config import TrainConfig
from edgecat.training.device_augment import on_device
from edgecat.training.distributed import ALONE, World, filled, started_by_torchrun
from edgecat.training.draws import draw_view
from edgecat.training.loader import BegunBatch
from edgecat.training.loop import train
from edgecat.training.run_folder import read_config
from edgecat_runtime.errors import DeviceError, UserError

# One of two processes, forked from one that has imported torch: in its seventh step, of five an
# epoch, it is killed, or waits for signals.
RANK = """
import os, signal, sys, time
from pathlib import Path
import torch
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from edgecat.training import shared_model
from edgecat.training.config import TrainConfig
from edgecat.training.interruption import Interrupted
from edgecat.training.loop import train
from edgecat.training.trainer import Trainer
from edgecat_runtime.errors import EdgecatError

sys.stderr = (folder / f"rank-{rank}.txt").open("w", buffering=1)
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
os.environ.update(zip(names, map(str, (rank, rank, 2, 2, "127.0.0.1", port))))
steps, taken = Trainer.step, []

def counted(state, bucket):
    if bucket.is_last():
        print("gradients reduced", file=sys.stderr)
    return allreduce_hook(None, bucket)

class Counted(shared_model.DistributedDataParallel):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.register_comm_hook(None, counted)

def step(trainer, batch):
    taken.append(1)
    if len(taken) == 7 and killed:
        os.kill(os.getpid(), signal.SIGKILL) if rank else None
    elif len(taken) == 7:
        (folder / f"ready-{rank}").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
    totals = steps(trainer, batch)
    print("dropout from", torch.initial_seed(), file=sys.stderr)
    return totals

Trainer.step, shared_model.DistributedDataParallel = step, Counted
try:
    train(TrainConfig.from_json((folder / "config.json").read_text(), ""))
except EdgecatError as error:
    print("error:", error, file=sys.stderr)
    sys.exit(error.exit_code)
except Interrupted as interrupted:
    print(interrupted, file=sys.stderr)
    sys.exit(interrupted.exit_code)
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and bright noise, 22 pictures, so that five steps an epoch have uneven parts."""
    folder, random = tmp_path_factory.mktemp("data") / "noise", np.random.default_rng(0)
    for label, low in (("dark", 0), ("bright", 100)):
        (folder / label).mkdir(parents=True)
        for i in range(14 if low else 13):
            picture = random.integers(low, low + 150, (36, 36, 3), np.uint8)
            cv2.imwrite(str(folder / label / f"{i:02}.png"), picture)
    return folder


@pytest.fixture
def config(pictures: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        data=(str(pictures),),
        output=str(tmp_path / "runs"),
        name="two",
        size=32,
        width=0.05,
        batch_norm=False,
        epochs=2,
        batch_size=5,
        lr=0.1,
        val=0.2,
        threads=1,
        device="cpu",
        precision="fp32",
    )


def _two(config: TrainConfig, folder: Path, *, killed: bool = False) -> list[BaseProcess]:
    """Start two processes of a run."""
    (folder / "rank.py").write_text(RANK)
    (folder / "config.json").write_text(config.to_json())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"folder": folder, "port": free.getsockname()[1], "killed": killed}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["edgecat.training.loop"])
    processes = [
        context.Process(
            target=runpy.run_path,
            args=(str(folder / "rank.py"),),
            kwargs={"init_globals": {**shared, "rank": rank}},
        )
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    return processes


def _ended(processes: list[BaseProcess]) -> list[int | None]:
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


def _torchrun(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, env=environment
    )


def _losses(folder: Path) -> list[float]:
    lines = (folder / "metrics.csv").read_text().splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    return [float(row[name]) for row in rows for name in ("train_loss", "val_loss")]


@pytest.mark.parametrize(("accumulate", "reductions"), [(1, 7), (3, 2)])
def test_two_processes_are_one_and_go_on_after_ctrl_c(
    config: TrainConfig, tmp_path: Path, accumulate: int, reductions: int
) -> None:
    """The signals come after 7 batches, of 5 per epoch: within a group of 3."""
    config = replace(config, accumulate=accumulate, lr=0.1 * accumulate)
    processes = _two(config, tmp_path)
    one = train(replace(config, name="one"))
    deadline = time.monotonic() + 120
    while not all((tmp_path / f"ready-{rank}").exists() for rank in range(2)):
        assert time.monotonic() < deadline, (tmp_path / "rank-0.txt").read_text()
        time.sleep(0.05)
    for number in (signal.SIGINT, signal.SIGTERM):  # from the terminal, and again from torchrun
        for process in processes:
            os.kill(process.pid or 0, number)
        time.sleep(0.1)
    (tmp_path / "go").touch()
    assert _ended(processes) == [130, 130]
    told = (tmp_path / "rank-0.txt").read_text()
    assert "interrupted; saved" in told
    assert told.count("gradients reduced") == reductions
    folder = Path(config.output) / "two"
    assert len(_losses(folder)) == 2

    resumed = _torchrun("-m", "edgecat", "train", "--json", "--resume", folder)
    assert not resumed.returncode, resumed.stderr
    assert json.loads(resumed.stdout)["n"] == one.evaluation.n  # one process alone printed
    expected = _losses(one.folder)
    assert len(expected) == 4
    assert abs(expected[0] - expected[2]) > 1e-3  # there is something to get wrong
    assert _losses(folder) == pytest.approx(expected, abs=1e-5)
    weights = load_file(folder / "vgg16.safetensors")
    for name, tensor in load_file(one.checkpoint).items():
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-5)
    assert read_config(folder) == replace(read_config(one.folder), name="two")


def test_a_dead_process_is_named(config: TrainConfig, tmp_path: Path) -> None:
    dropped = replace(config, head="dense", dropout=0.5)
    assert _ended(_two(dropped, tmp_path, killed=True)) == [DeviceError.exit_code, -signal.SIGKILL]
    told = [(tmp_path / f"rank-{rank}.txt").read_text().splitlines() for rank in range(2)]
    assert "error: another of the 2 processes of this run ended" in told[0][-1]
    assert len(_losses(Path(config.output) / "two")) == 2
    seeds = {line for lines in told for line in lines if line.startswith("dropout from")}
    assert len(seeds) == 12  # two processes, six steps


def test_each_process_drops_out_its_own() -> None:
    state = torch.get_rng_state()
    drawn = []
    for rank, step in ((0, 4), (1, 4), (1, 5), (1, 4)):
        World(rank=rank, size=2).seed_dropout(0, 1, step)
        drawn.append(torch.rand(4).tolist())
    assert drawn[1] == drawn[3]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]
    torch.set_rng_state(state)
    ALONE.seed_dropout(0, 1, 4)
    assert torch.equal(torch.get_rng_state(), state)


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert started_by_torchrun() == ALONE
    for name, value in zip(
        ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"), "3412", strict=True
    ):
        monkeypatch.setenv(name, value)
    world = started_by_torchrun()
    assert world == World(rank=3, size=4, local_rank=1, local_size=2)
    assert (world.leader, world.cores(16), world.cores(1)) == (False, 8, 1)


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="2 processes were started for 1 GPUs"):
        World(size=2, local_size=2).device(torch.device("cuda"))


@pytest.mark.parametrize(("pictures", "labels"), [(0, [0, 0]), (1, [1, 1]), (3, [1, 1, 1])])
def test_a_short_part_is_filled(pictures: int, labels: list[int]) -> None:
    batch = Batch(np.full((pictures, 32, 32, 3), 7, np.uint8), np.ones(pictures, np.int64))
    whole = filled(batch, 32)
    assert whole.labels.tolist() == labels
    assert whole.frames.shape == (len(labels), 32, 32, 3)
    assert (whole.frames == (7 if pictures else 0)).all()


def test_a_view_is_doubled_with_its_picture() -> None:
    view = draw_view(9, 9, Augmentation(), np.random.default_rng(0))
    drawn = [begin_view(np.zeros((9, 9, 3), np.uint8), 32, view)]
    canvases = np.empty((1, 64, 64, 3), np.uint8)
    views = lay_out(drawn, canvases)
    whole = filled(BegunBatch(canvases, np.ones(1, np.int64), views=views), 32)
    frames, _ = on_device(whole, torch.device("cpu"))
    assert frames.shape == (2, 32, 32, 3)
    none = BegunBatch(canvases[:0], np.zeros(0, np.int64), views=lay_out([], canvases[:0]))
    assert on_device(filled(none, 32), torch.device("cpu"))[0].shape == (2, 32, 32, 3)
