"""Makes what a run works with from its configuration, or takes an interrupted run up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch.amp.grad_scaler import GradScaler

from edgecat.data.folder import PictureSet, scan, split
from edgecat.data.stream import ShardSet, find_shards
from edgecat.models import architecture, build_model
from edgecat.models.devices import choose_device
from edgecat.models.weights import IMAGENET, described
from edgecat.training.augment import Augmentation
from edgecat.training.average import WeightAverage
from edgecat.training.compiled import check_compiler
from edgecat.training.config import TrainConfig
from edgecat.training.distributed import ALONE, World
from edgecat.training.history import write_metrics
from edgecat.training.job import Job
from edgecat.training.loader import Loader
from edgecat.training.optim import choose_precision, make_optimizer
from edgecat.training.run_folder import CONFIG, CONFUSION, METRICS, STATE, digest_of, new_folder
from edgecat.training.schedule import learning_rate
from edgecat.training.state import RunState, load_state
from edgecat.training.teacher import Teacher, load_teacher
from edgecat.training.tensorboard import EventLog, require_tensorboard
from edgecat.training.transfer import begin, spread
from edgecat.training.watcher import Watcher, Watchers
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.machine import cores


def prepare(
    config: TrainConfig, *, resume: Path | None, watcher: Watcher, world: World = ALONE
) -> Job:
    """Split the pictures, build the model, and make the run's folder or take up where it stands.

    Raises:
        UserError: the pictures, the options or the folder cannot be used.
        DeviceError: the device is not there.
    """
    if config.tensorboard:
        require_tensorboard()
    fresh = resume is None or not (resume / STATE).exists()
    job = assemble(config, watcher=watcher, world=world, fresh=fresh)
    job.folder = resume or world.led(partial(new_folder, job.config))
    _take_up(job) if resume else None
    world.check_same(job.state.pictures)
    if world.leader:
        atomic_write(job.folder / CONFIG, job.config.to_json())
        write_metrics(job.folder / METRICS, job.state.history)
        if config.tensorboard:
            job.watcher = Watchers(watcher, _event_log(job))
    job.save()
    watcher.started(job.folder, job.loader.pictures, job.validation)
    return job


def assemble(
    config: TrainConfig, *, watcher: Watcher, world: World = ALONE, fresh: bool = True
) -> Job:
    """Split the pictures and build the model; nothing is written, and the folder is nowhere.

    Args:
        config: of the run.
        watcher: told of the weights that it starts from.
        world: the processes of the run.
        fresh: load these weights; not where the state of an interrupted run follows.

    Raises:
        UserError: the pictures or the options cannot be used.
        DeviceError: the device is not there.
    """
    device = world.device(choose_device(config.device))
    config = _settled(config, device, world)
    if config.compiled:
        check_compiler(device)
    torch.set_num_threads(config.threads or 1)
    torch.manual_seed(config.seed)
    training, validation = _pictures(config)
    card = card_of(config, training.labels)
    if config.weights:
        card = described(config.weights, card)
    model = build_model(card)
    if fresh:
        begin(config, model, card, watcher)
    model = world.prepared(model, device).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    job = Job(
        config=config,
        folder=Path(),
        device=device,
        card=card,
        model=model,
        optimizer=make_optimizer(
            model, config.optimizer, lr=config.peak_rate, weight_decay=config.weight_decay
        ),
        average=WeightAverage(model, config.ema) if config.ema else None,
        teacher=_teacher(config, card.labels, device) if config.teacher else None,
        scaler=GradScaler(device.type, enabled=config.precision == "fp16"),
        loader=_loader(config, training, world),
        validation=validation,
        rate=lambda update: 0.0,
        state=RunState(digest_of(training, validation)),
        watcher=watcher,
        forward=model,
        world=world,
    )
    job.wrap()
    spread(job.optimizer, model, config.lr_decay)
    job.rate = _rate(config, config.epochs * job.updates)
    return job


def card_of(config: TrainConfig, labels: tuple[str, ...]) -> ModelCard:
    """Describe the model that a configuration asks for.

    Raises:
        UserError: an unknown architecture, an input too small for it, or a head that it has not.
    """
    known = architecture(config.arch)
    least = min([config.size, *(size for size, _ in config.stages)])
    if least < known.smallest:
        raise UserError(
            f"the input has {least} pixels a side; {config.arch} needs at least {known.smallest}. "
            "Give a larger --size, and larger sizes in --progressive"
        )
    return known.card(
        labels,
        size=config.size,
        head=config.head,
        factor=config.width,
        batch_norm=config.batch_norm,
        dropout=config.dropout,
        activation=config.activation,
        fit=config.fit,
    )


def _settled(config: TrainConfig, device: torch.device, world: World) -> TrainConfig:
    """The configuration with what `auto` and None stand for filled in."""
    return replace(
        config,
        data=tuple(str(Path(path).absolute()) for path in config.data),
        teacher=str(Path(config.teacher).absolute()) if config.teacher else "",
        weights=_absolute(config.weights),
        threads=config.threads or world.cores(cores()),
        device=str(device),
        precision=choose_precision(config.precision, device),
        augment_on=_augment_on(config.augment_on, device),
    )


def _rate(config: TrainConfig, updates: int) -> Callable[[int], float]:
    return partial(
        learning_rate,
        steps=updates,
        peak=config.peak_rate,
        warmup=config.warmup,
        schedule=config.schedule,
    )


def _absolute(weights: str) -> str:
    return weights if weights in ("", IMAGENET) else str(Path(weights).absolute())


def _pictures(config: TrainConfig) -> tuple[PictureSet | ShardSet, PictureSet]:
    """Those to train on, and those to validate on."""
    if config.stream:
        return find_shards(config.data)
    return split(scan(config.data), val=config.val, seed=config.seed)


def _augment_on(chosen: str, device: torch.device) -> str:
    return ("device" if device.type == "cuda" else "cpu") if chosen == "auto" else chosen


def _loader(config: TrainConfig, training: PictureSet | ShardSet, world: World) -> Loader:
    return Loader(
        training,
        config.size,
        config.batch_size,
        config.seed,
        how=Augmentation() if config.augment else None,
        fit=config.fit,
        workers=world.cores(cores()),
        part=world.part,
        on_device=config.augment_on == "device",
        pinned=config.device.startswith("cuda"),
    )


def _teacher(config: TrainConfig, labels: tuple[str, ...], device: torch.device) -> Teacher:
    return load_teacher(
        config.teacher,
        labels,
        device,
        temperature=config.teacher_temperature,
        weight=config.teacher_weight,
    )


def _take_up(job: Job) -> None:
    """Load the state of an interrupted run, if it got so far as to write one."""
    path = job.folder / STATE
    if (job.folder / CONFUSION).exists() and not path.exists():
        raise UserError(f"{job.folder} is finished: there is nothing to resume. Start a new run")
    if path.exists():
        state = load_state(path, job.models, job.optimizer, job.scaler, device=job.device)
        if state.pictures != job.state.pictures:
            raise UserError(
                f"the pictures are not those that {job.folder} was started with; expected the same "
                "files. Put them back, or start a new run"
            )
        job.state = state


def _event_log(job: Job) -> EventLog:
    steps, state = job.loader.steps, job.state
    return EventLog(
        job.folder / "events",
        steps=steps,
        done=state.epoch * steps + state.step,
        groups=job.optimizer.param_groups,
    )
