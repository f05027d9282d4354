"""Several processes: two give what one gives, a dead one is named, and the run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgecat.training.config import TrainConfig
from edgecat.training.distributed import ALONE, World, filled, started_by_torchrun
from edgecat.training.loader import Batch
from edgecat.training.loop import train
from edgecat.training.run import read_config
from edgecat_runtime import UserError

# Rank 1 is killed in its seventh step of five an epoch, where the state holds the first epoch.
KILLED = """
import os, signal, sys
from pathlib import Path
from edgecat.training import loop
from edgecat.training.config import TrainConfig
from edgecat_runtime.errors import EdgecatError

steps, taken = loop.step, []

def step(job, batch):
    taken.append(1)
    if job.world.rank == 1 and len(taken) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return steps(job, batch)

loop.step = step
try:
    loop.train(TrainConfig.from_json(Path(sys.argv[1]).read_text(), ""))
except EdgecatError as error:
    print("error:", error, file=sys.stderr)
    sys.exit(error.exit_code)
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


def test_two_processes_are_one_and_survive_a_kill(config: TrainConfig, tmp_path: Path) -> None:
    one = train(replace(config, name="one"))
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    (tmp_path / "config.json").write_text(config.to_json())

    killed = _torchrun(script, tmp_path / "config.json")
    assert killed.returncode
    assert "error: another of the 2 processes of this run ended" in killed.stderr
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
