"""Builds a trainer from a configuration, or restores an interrupted one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from edgecat.data.decodable import check_decodable
from edgecat.data.folder import ImageSet, scan, split
from edgecat.data.stream import ShardSet, find_shards
from edgecat.models import architecture, build_model
from edgecat.models.devices import choose_device
from edgecat.models.weights import IMAGENET, NONE, SHIPPED, described
from edgecat.training.augment import Augmentation
from edgecat.training.average import WeightAverage
from edgecat.training.cache import ImageCache, fill_cache
from edgecat.training.compiled import check_compiler
from edgecat.training.config import STATE, TrainConfig
from edgecat.training.distributed import ALONE, World
from edgecat.training.learner import Learner
from edgecat.training.loader import Loader
from edgecat.training.optim import choose_precision, make_optimizer
from edgecat.training.run_folder import RunFolder, digest_of, new_run
from edgecat.training.schedule import learning_rate
from edgecat.training.state import RunState
from edgecat.training.teacher import Teacher, load_teacher
from edgecat.training.tensorboard import EventLog, require_tensorboard
from edgecat.training.trainer import Trainer
from edgecat.training.training_run import TrainingRun, updates_per_epoch
from edgecat.training.transfer import load_initial_weights, set_stage_rates
from edgecat.training.watcher import Watcher, Watchers
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system.machine import cores

Rate = Callable[[int], float]


def prepare(
    config: TrainConfig, *, resume: Path | None, watcher: Watcher, world: World = ALONE
) -> Trainer:
    """Build a trainer and create the run's folder, or restore the run that it holds.

    Raises:
        UserError: the images, the options or the folder cannot be used, or a class has no image
            that can be decoded.
        DeviceError: the device is missing.
    """
    if config.tensorboard:
        require_tensorboard()
    fresh = resume is None or not (resume / STATE).exists()
    trainer = assemble(config, watcher=watcher, world=world, fresh=fresh)
    run = trainer.run
    path = resume or world.broadcast(partial(new_run, run.config))
    trainer.folder = RunFolder(path, run.config.arch, writes=world.leader)
    if resume:
        images = trainer.state.pictures
        trainer.state = trainer.folder.load_state(trainer.learner, images) or trainer.state
    world.check_same(trainer.state.pictures)
    trainer.folder.begin(run.config, trainer.state.history)
    if config.tensorboard and world.leader:
        trainer.watcher = Watchers(watcher, _event_log(trainer))
    trainer.save()
    watcher.started(path, run.loader.pictures, run.validation)
    return trainer


def assemble(
    config: TrainConfig,
    *,
    watcher: Watcher,
    world: World = ALONE,
    fresh: bool = True,
    rate: Rate | None = None,
) -> Trainer:
    """Split the images and build the model; nothing is written, and the trainer has no folder.

    Args:
        config: of the run.
        watcher: receives the progress.
        world: the processes of the run.
        fresh: load the initial weights; False if the state of an interrupted run follows.
        rate: learning rate of each update; None for the configuration's schedule.

    Raises:
        UserError: the images or the options cannot be used.
        DeviceError: the device is missing.
    """
    device = world.device(choose_device(config.device))
    config = _settled(config, device, world)
    if config.compiled:
        check_compiler(device)
    torch.set_num_threads(config.threads or 1)
    torch.manual_seed(config.seed)
    training, validation = _images(config)
    if fresh:
        _check_images(training, validation, workers=world.cores(cores()))
    card = card_of(config, training.labels)
    if config.weights:
        card = described(config.weights, card)
    model = build_model(card)
    if fresh:
        load_initial_weights(config, model, card, watcher)
    learner = _learner(config, model, device, world)
    loader = _loader(config, training, world, watcher)
    run = TrainingRun(
        config=config,
        card=card,
        loader=loader,
        validation=validation,
        rate=rate or _rate(config, config.epochs * updates_per_epoch(config, loader.steps)),
        teacher=_teacher(config, card.labels, device) if config.teacher else None,
    )
    state = RunState(digest_of(training, validation))
    return Trainer(run, learner, state, watcher=watcher, world=world)


def card_of(config: TrainConfig, labels: tuple[str, ...]) -> ModelCard:
    """Describe the model that a configuration asks for.

    Raises:
        UserError: unknown architecture, an input too small for it, or a head it does not have.
    """
    known = architecture(config.arch)
    least = min([config.size, *(size for size, _ in config.stages)])
    if least < known.smallest:
        raise UserError(
            f"the input is {least} pixels wide; {config.arch} needs at least {known.smallest}. "
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
    """Replace `auto` and None by what they mean on this machine."""
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


def _learner(config: TrainConfig, model: nn.Module, device: torch.device, world: World) -> Learner:
    shared = world.setup(model, device, compile_steps=config.compiled)
    model = shared.module
    learner = Learner(
        shared=shared,
        optimizer=make_optimizer(
            model,
            config.optimizer,
            lr=config.peak_rate,
            weight_decay=config.weight_decay,
            foreach=True if device.type == "cuda" else None,
        ),
        scaler=GradScaler(device.type, enabled=config.precision == "fp16"),
        average=WeightAverage(model, config.ema) if config.ema else None,
    )
    set_stage_rates(learner.optimizer, model, config.lr_decay)
    return learner


def _rate(config: TrainConfig, updates: int) -> Rate:
    return partial(
        learning_rate,
        steps=updates,
        peak=config.peak_rate,
        warmup=config.warmup,
        schedule=config.schedule,
    )


def _absolute(weights: str) -> str:
    if weights in ("", NONE):
        return ""
    return weights if weights in (IMAGENET, SHIPPED) else str(Path(weights).absolute())


def _images(config: TrainConfig) -> tuple[ImageSet | ShardSet, ImageSet]:
    """The training and the validation images."""
    if config.stream:
        return find_shards(config.data)
    return split(scan(config.data), val=config.val, seed=config.seed, version=config.version)


def _check_images(training: ImageSet | ShardSet, validation: ImageSet, *, workers: int) -> None:
    """Refuse classes without a decodable image; streamed images are not opened in advance."""
    if isinstance(training, ImageSet):
        check_decodable(training, "training", workers=workers)
    check_decodable(validation, "validation", workers=workers)


def _augment_on(chosen: str, device: torch.device) -> str:
    return ("device" if device.type == "cuda" else "cpu") if chosen == "auto" else chosen


def _loader(
    config: TrainConfig, training: ImageSet | ShardSet, world: World, watcher: Watcher
) -> Loader:
    return Loader(
        training,
        config.size,
        config.batch_size,
        config.seed,
        augmentation=Augmentation() if config.augment else None,
        fit=config.fit,
        workers=world.cores(cores()),
        part=world.part,
        on_device=config.augment_on == "device",
        pinned=config.device.startswith("cuda"),
        even=config.compiled and config.version >= 2,
        cache=_cache(config, training, world, watcher),
        version=config.version,
    )


def _cache(
    config: TrainConfig, training: ImageSet | ShardSet, world: World, watcher: Watcher
) -> ImageCache | None:
    """Decode the training images, if the configuration asks for it, and put them where it says."""
    if config.cache == "none" or isinstance(training, ShardSet):
        return None
    device = torch.device(config.device)
    on_gpu = device.type == "cuda" and config.augment and config.augment_on == "device"
    cache = fill_cache(
        training,
        workers=world.cores(cores()),
        pinned=on_gpu and config.cache == "memory",
        processes=world.local_size,
    )
    watcher.on_message(f"cached {cache}")
    return cache.to(device) if on_gpu and config.cache == "device" else cache


def _teacher(config: TrainConfig, labels: tuple[str, ...], device: torch.device) -> Teacher:
    return load_teacher(
        config.teacher,
        labels,
        device,
        temperature=config.teacher_temperature,
        weight=config.teacher_weight,
    )


def _event_log(trainer: Trainer) -> EventLog:
    steps, state = trainer.run.steps, trainer.state
    return EventLog(
        trainer.folder.path / "events",
        steps=steps,
        done=state.epoch * steps + state.step,
        groups=trainer.learner.optimizer.param_groups,
    )
