"""One run in several processes, on one machine or many: `torchrun` starts them, `World` joins them.

    torchrun --nproc-per-node 4 -m edgecat train photos/

Every process takes its part of the same batches, so the batch size is that of the whole run, and
without batch norm and dropout the losses are those of one process. Only the leader, rank 0, writes
files and prints.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from edgecat.data.batches import Batch
from edgecat.data.folder import PictureSet
from edgecat.scores import Evaluation
from edgecat.training.loader import BegunBatch
from edgecat_runtime.errors import DeviceError, UserError

Value = TypeVar("Value")

_PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class World:
    """The processes of a run; the default is one process alone, for which nothing here costs.

    Attributes:
        rank: this process, 0 .. size - 1.
        size: processes, over all machines.
        local_rank: this process among those on its machine.
        local_size: processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def leader(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """This process and the number of them, as loaders take it."""
        return self.rank, self.size

    def device(self, chosen: torch.device) -> torch.device:
        """Give each process on a machine a GPU of its own.

        Raises:
            UserError: more processes than GPUs.
        """
        if self.size == 1 or chosen.type != "cuda":
            return chosen
        if self.local_size > torch.cuda.device_count():
            raise UserError(
                f"{self.local_size} processes were started for {torch.cuda.device_count()} GPUs; "
                f"expected one for each. Use --nproc-per-node {torch.cuda.device_count()}"
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def cores(self, available: int) -> int:
        """This process's fair part of its machine's cores."""
        return max(1, available // self.local_size)

    def check_same(self, digest: str) -> None:
        """Refuse to start where the processes found other pictures, as machines may.

        Raises:
            UserError: `digest`, of the pictures, is not the same in every process.
        """
        if len(set(self.gathered(digest))) > 1:
            raise UserError(
                "the processes of this run found different pictures; expected the same files under "
                "the same names on every machine"
            )

    def prepared(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Let batch norm see the whole batch, where it can: on GPUs."""
        if self.size == 1 or device.type != "cuda":
            return model
        convert: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
        return convert(model)

    def wrapped(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The module to call in training: it shares `model`'s weights and averages gradients."""
        if self.size == 1:
            return model
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True)

    def apart(self, *key: int) -> None:
        """Let each process drop out neurons of its own, and the same ones after a resume.

        Args:
            key: of the step: seed, epoch and number. One process alone goes on as it was.
        """
        if self.size > 1:
            seed = np.random.SeedSequence((*key, self.rank)).generate_state(1, np.uint64)
            torch.manual_seed(int(seed[0]))

    def weight(self, pictures: int) -> float:
        """What this process's mean loss counts, so that the gradients' average is the batch's."""
        if self.size == 1:
            return 1.0
        return pictures * self.size / max(self._sum(pictures), 1.0)

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return flag if self.size == 1 else self._sum(flag) > 0

    def summed(self, values: Tensor) -> Tensor:
        """The processes' values added up."""
        if self.size > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def gathered(self, value: Value) -> list[Value]:
        """Every process's value, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[Value | None] = [None] * self.size
        distributed.all_gather_object(values, value)
        return cast("list[Value]", values)

    def led(self, function: Callable[[], Value]) -> Value:
        """Let the leader do something and tell every process what came out."""
        if self.size == 1:
            return function()
        values = [function() if self.leader else None]
        distributed.broadcast_object_list(values, 0)
        return cast("Value", values[0])

    def evaluated(
        self, pictures: PictureSet, run: Callable[[PictureSet], Evaluation], model: nn.Module
    ) -> Evaluation:
        """Evaluate a part of the pictures in each process and add up.

        Args:
            pictures: all of them.
            run: evaluates some of them.
            model: what `run` evaluates; every process takes over the leader's running statistics.

        Raises:
            UserError: no image could be decoded.
        """
        if self.size == 1:
            return run(pictures)
        for buffer in model.buffers():
            distributed.broadcast(buffer, 0)
        mine = replace(pictures, pictures=pictures.pictures[self.rank :: self.size])
        return _merged(self.gathered(_tried(run, mine)))

    def _sum(self, value: float) -> float:
        total = torch.tensor(float(value), dtype=torch.float64)
        distributed.all_reduce(total)
        return float(total)


ALONE = World()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the processes that `torchrun` started, if it did.

    Args:
        device: what the run computes on, as in its configuration.

    Raises:
        DeviceError: another process of the run ended, or cannot be reached.
    """
    world = started_by_torchrun()
    if world.size == 1:
        yield world
        return
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    try:
        distributed.init_process_group(backend, timeout=_PATIENCE)
        yield world
        distributed.barrier() if not cuda else None
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise DeviceError(
            f"another of the {world.size} processes of this run ended or cannot be reached. "
            "Look for its message; then start all of them again, with --resume and the run's folder"
        ) from error
    distributed.destroy_process_group()


def started_by_torchrun() -> World:
    """This process's place among those that `torchrun` started; alone without it."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    try:
        return World(*(int(os.environ[name]) for name in names))
    except (KeyError, ValueError):
        return World()


def filled(batch: Batch, size: int) -> Batch:
    """Give a process whose part of a batch is empty, or one picture, two frames to step with.

    Every process has to take every step, and batch norm needs two values. The one picture is
    doubled, which leaves the mean loss alone; black frames stand in for none, and weigh nothing.
    """
    if len(batch.labels) > 1:
        return batch
    if len(batch.labels) == 1:
        frames, labels = batch.frames.repeat(2, 0), batch.labels.repeat(2)
        if isinstance(batch, BegunBatch):
            return BegunBatch(frames, labels, batch.skipped, views=batch.views.repeated(2))
        return replace(batch, frames=frames, labels=labels)
    black = np.zeros((2, size, size, 3), np.uint8)
    return Batch(black, np.zeros(2, np.int64), batch.skipped)


def _tried(
    run: Callable[[PictureSet], Evaluation], pictures: PictureSet
) -> Evaluation | UserError | None:
    try:
        return run(pictures) if len(pictures) else None
    except UserError as error:
        return error


def _merged(parts: list[Evaluation | UserError | None]) -> Evaluation:
    """Add up evaluations of parts of a set."""
    whole = [part for part in parts if isinstance(part, Evaluation)]
    if not whole:
        raise next(part for part in parts if isinstance(part, UserError))
    n = sum(part.n for part in whole)
    return Evaluation(
        whole[0].labels,
        sum((part.confusion for part in whole[1:]), whole[0].confusion),
        sum(part.loss * part.n for part in whole) / n,
        tuple(sentence for part in whole for sentence in part.skipped),
    )
