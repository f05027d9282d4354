"""One run in several processes, on one machine or more: `torchrun` starts them, `World` joins them.

    torchrun --nproc-per-node 4 -m edgecat train photos/

Every process trains on its part of the same batches, so the batch size is that of the whole run,
and without batch norm and dropout the losses equal those of a single process. Only the leader,
rank 0, writes files and prints.
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

from edgecat.data.batches import Batch
from edgecat.data.folder import ImageSet
from edgecat.scores import Evaluation
from edgecat.training.shared_model import SharedModel
from edgecat_runtime.errors import DeviceError, UserError

Value = TypeVar("Value")

_PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class Share:
    """A process's part of a batch, ready for a step that every process takes.

    Attributes:
        batch: with at least two images in a run of several processes.
        images: number of images that were really there.
        weight: factor for this process's mean loss, so that the mean of the processes' gradients
            is the gradient of the whole batch.
    """

    batch: Batch
    images: int
    weight: float = 1.0


@dataclass(frozen=True)
class World:
    """The processes of a run. The default is a single process, for which every method is free.

    Attributes:
        rank: of this process, 0 to size - 1.
        size: number of processes, over all machines.
        local_rank: rank among the processes of this machine.
        local_size: number of processes on this machine.
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
        """Rank and number of processes, as loaders take them."""
        return self.rank, self.size

    def device(self, chosen: torch.device) -> torch.device:
        """Give each process on a machine its own GPU.

        Raises:
            UserError: more processes than GPUs.
        """
        if self.size == 1 or chosen.type != "cuda":
            return chosen
        if self.local_size > torch.cuda.device_count():
            raise UserError(
                f"{self.local_size} processes were started for {torch.cuda.device_count()} GPUs; "
                f"expected one per GPU. Use --nproc-per-node {torch.cuda.device_count()}"
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def cores(self, available: int) -> int:
        """This process's share of the machine's cores."""
        return max(1, available // self.local_size)

    def check_same(self, digest: str) -> None:
        """Refuse to start if the processes, on different machines, found different images.

        Raises:
            UserError: `digest`, of the images, is not the same in every process.
        """
        if len(set(self.gathered(digest))) > 1:
            raise UserError(
                "the processes of this run found different images; expected the same files under "
                "the same names on every machine"
            )

    def setup(
        self, model: nn.Module, device: torch.device, *, compile_steps: bool = False
    ) -> SharedModel:
        """Move a model to its device and let the processes share its gradients.

        On GPUs batch norm sees the whole batch, on CPUs the process's part of it.

        Args:
            model: from `build_model`.
            device: of this process.
            compile_steps: run training steps through `torch.compile`.
        """
        if self.size > 1 and device.type == "cuda":
            convert: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
            model = convert(model)
        model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return SharedModel(model, device, processes=self.size, compile_steps=compile_steps)

    def seed_dropout(self, *key: int) -> None:
        """Seed dropout per rank and step, so that a resumed run is identical.

        Args:
            key: of the step: seed, epoch and number. A single process keeps its generator.
        """
        if self.size > 1:
            seed = np.random.SeedSequence((*key, self.rank)).generate_state(1, np.uint64)
            torch.manual_seed(int(seed[0]))

    def share(self, batch: Batch, size: int) -> Share:
        """Make this process's part of a batch ready for a step, which every process takes.

        Args:
            batch: this process's part.
            size: height and width of the frames.
        """
        images = len(batch.labels)
        if self.size == 1:
            return Share(batch, images)
        return Share(filled(batch, size), images, images * self.size / max(self._sum(images), 1.0))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.size == 1 else self._sum(flag) > 0

    def summed(self, values: Tensor) -> Tensor:
        """The sum of the processes' values."""
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

    def broadcast(self, function: Callable[[], Value]) -> Value:
        """Call a function in the leader and return its result in every process."""
        if self.size == 1:
            return function()
        values = [function() if self.leader else None]
        distributed.broadcast_object_list(values, 0)
        return cast("Value", values[0])

    def evaluated(
        self, images: ImageSet, run: Callable[[ImageSet], Evaluation], model: nn.Module
    ) -> Evaluation:
        """Evaluate a part of the images in each process and combine the results.

        Args:
            images: all of them.
            run: evaluates some of them.
            model: what `run` evaluates; every process takes the leader's running statistics.

        Raises:
            UserError: no image could be decoded.
        """
        if self.size == 1:
            return run(images)
        for buffer in model.buffers():
            distributed.broadcast(buffer, 0)
        mine = replace(images, pictures=images.pictures[self.rank :: self.size])
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
        device: of the run, as in its configuration.

    Raises:
        DeviceError: another process of the run ended or cannot be reached.
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
            "Check its message, then start all of them again with --resume and the run's folder"
        ) from error
    distributed.destroy_process_group()


def started_by_torchrun() -> World:
    """This process's place among those that `torchrun` started; a single process without it."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    try:
        return World(*(int(os.environ[name]) for name in names))
    except (KeyError, ValueError):
        return World()


def filled(batch: Batch, size: int) -> Batch:
    """Fill up a process's part of a batch to two images.

    Every process has to take every step, and batch norm needs two values. A single image is
    doubled, which leaves the mean loss unchanged; for none, black frames are used with weight 0.
    """
    if len(batch.labels) > 1:
        return batch
    if len(batch.labels) == 1:
        return batch.repeated(2)
    black = np.zeros((2, size, size, 3), np.uint8)
    return Batch(black, np.zeros(2, np.int64), batch.skipped)


def _tried(
    run: Callable[[ImageSet], Evaluation], images: ImageSet
) -> Evaluation | UserError | None:
    try:
        return run(images) if len(images) else None
    except UserError as error:
        return error


def _merged(parts: list[Evaluation | UserError | None]) -> Evaluation:
    """Combine evaluations of parts of a set."""
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
