"""Everything that decides the result of a training run, in one frozen dataclass."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import Fit

LEARNING_RATES = {
    "gd": 0.1,
    "sgd": 0.1,
    "momentum": 0.05,
    "nag": 0.05,
    "adagrad": 0.01,
    "rmsprop": 0.001,
    "adadelta": 1.0,
    "adam": 0.001,
    "adamw": 0.001,
    "nadam": 0.001,
}
VERSION = 2
STATE = "resume.state"
"""In a run's folder while the run has not finished: what `--resume` continues from."""
SCHEDULES = ("cosine", "one-cycle", "linear", "step", "constant")
# The table is in `edgecat.models.registry`, which imports torch; a test keeps the two equal.
ARCHITECTURES = (
    *("alexnet", "googlenet", "inception_v3", "resnet18", "resnet34", "resnet50"),
    *("vgg11", "vgg13", "vgg16", "vgg19"),
)
CHOICES = {
    "head": ("dense", "gap"),
    "activation": ("relu", "leaky_relu", "sigmoid", "tanh", "gelu"),
    "fit": ("crop", "letterbox", "stretch"),
    "optimizer": tuple(LEARNING_RATES),
    "schedule": SCHEDULES,
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "augment_on": ("auto", "cpu", "device"),
    "cache": ("none", "memory", "device"),
}


@dataclass(frozen=True)
class TrainConfig:
    """One training run; saved as `config.json` in its folder and read back by `--resume`.

    The defaults train well on two CPU cores. The first sentence of each attribute is also the help
    of the option of `edgecat train`, which adds the choices.

    Attributes:
        data: folders of class folders, or .tar files with the same layout.
        name: name of the run's folder (default: architecture, date and time).
        output: folder that holds the runs.
        arch: network architecture.
        size: height and width of the network's input in pixels. This is the size for validation
            and serving; `progressive` sets other sizes for training.
        progressive: train at several input sizes in turn, as SIZE:EPOCHS, such as 64:10,96:8,128:5
            (default: --size throughout). The last size is used until the end. Training slightly
            smaller than serving pays off, since random crops enlarge objects
            (https://arxiv.org/abs/1906.06423).
        width: multiply the number of channels by this factor.
        head: classifier head (gap: global average pooling). `dense` is the published one.
        batch_norm: use batch normalisation after each convolution.
        dropout: dropout rate in the head (default: as published, or 0 if the head is not the
            published one).
        activation: activation function of the hidden layers.
        fit: how to fit an image into the input, in training and when serving.
        epochs: number of passes over the training images.
        batch_size: number of images per batch, over all processes. An epoch's batches are of even
            size, at most this.
        accumulate: number of batches whose gradients are averaged per step. This allows larger
            batches than fit into memory; `gd` takes the whole epoch.
        optimizer: optimiser (nag: SGD with Nesterov momentum). `gd` uses the whole training set
            per step.
        lr: peak learning rate (default: depends on the optimiser).
        schedule: learning-rate schedule after the warm-up. `cosine` and `linear` decay to 0, `step`
            divides the rate by ten at half and at three quarters of the run, and `one-cycle` is a
            cosine up and a deeper one down.
        clip: clip the gradient norm to this value (default: no clipping).
        weight_decay: weight decay. Biases and batch normalisation are excluded.
        warmup: fraction of steps used for learning-rate warm-up.
        label_smoothing: label smoothing, from 0 to 0.9.
        ema: decay of the exponential moving average of the weights; 0 disables it. If enabled, the
            average is what is validated and saved.
        augment: augment training images with random resized crops, flips and colour changes.
            Disable it to overfit a few images.
        erase: probability that a random rectangle of an image is replaced with noise.
        mixup: mixup strength (alpha of the Beta distribution), such as 0.2; 0 disables it.
        cutmix: CutMix strength (alpha of the Beta distribution), such as 1; 0 disables it. With
            `mixup` as well, each batch uses one of the two.
        teacher: distil from this checkpoint, which must have the same labels.
        teacher_temperature: distillation temperature, applied to both teacher and student.
        teacher_weight: weight of the distillation loss, from 0 to 1. The labels have the rest.
        weights: initial weights: shipped (the bundled model), imagenet, a .pth or .safetensors
            file, or none (default: shipped if there are fewer than 500 images per class and the
            classes differ from its own, otherwise none). A checkpoint's widths, head, batch norm,
            activation and normalisation take precedence over those given here. The default is
            resolved by `edgecat train` and `edgecat.train`; here, empty means none.
        freeze: freeze this many stages, counted from the input, or 'features' for all but the head.
        unfreeze_at: unfreeze the frozen stages from this epoch on, counted from 1 (default: never).
        lr_decay: learning rate of each stage relative to the next one towards the head.
        val: fraction of each class to validate on if the data has no val/ folder.
        seed: random seed for weights, split, order, augmentation and dropout.
        patience: stop after this many epochs without a new best epoch (default: never).
        tensorboard: also write TensorBoard event files.
        threads: number of PyTorch threads (default: one per core).
        device: device to train on: auto, cpu, cuda, cuda:1, ...
        precision: arithmetic precision (auto: the fastest that the device supports).
        augment_on: where to augment images (auto: on the device if it is a GPU). `cpu` means the
            threads that decode images; `device` handles whole batches.
        compiled: compile the training step with torch.compile. All batches of an epoch are then the
            same size.
        stream: open each shard only when it is needed. Validation then needs `val` shards.
        cache: where to cache all decoded images. They are decoded once, into an array in `memory`
            or on the GPU (`device`; without a GPU the same as `memory`), or in every epoch
            (`none`).
        version: version of the rules by which data is split and views are drawn. A run keeps the
            one it was started with, 1 if its `config.json` has none. In version 1 the split depends
            on the names of tars and data folders, and every view has a generator of its own; in
            version 2 it depends on names inside them alone, a batch's views are drawn at once, and
            `fit` reaches augmented images.

    Raises:
        UserError: a value is out of range.

    Example:
        >>> config = TrainConfig(data=("photos/",), arch="vgg16", epochs=12)
        >>> config.peak_rate, config.size_at(0)
        (0.05, 64)
    """

    data: tuple[str, ...]
    name: str = ""
    output: str = "runs"
    arch: str = "vgg16"
    size: int = 64
    progressive: str = ""
    width: float = 0.5
    head: str = "gap"
    batch_norm: bool = True
    dropout: float | None = None
    activation: str = "relu"
    fit: Fit = "crop"
    epochs: int = 20
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str = "nag"
    lr: float | None = None
    schedule: str = "cosine"
    clip: float | None = None
    weight_decay: float = 5e-4
    warmup: float = 0.1
    label_smoothing: float = 0.1
    ema: float = 0.0
    augment: bool = True
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    teacher: str = ""
    teacher_temperature: float = 4.0
    teacher_weight: float = 0.9
    weights: str = ""
    freeze: str = "0"
    unfreeze_at: int | None = None
    lr_decay: float = 1.0
    val: float = 0.1
    seed: int = 0
    patience: int | None = None
    tensorboard: bool = False
    threads: int | None = None
    device: str = "auto"
    precision: str = "auto"
    augment_on: str = "auto"
    compiled: bool = False
    stream: bool = False
    cache: str = "none"
    version: int = field(default=VERSION, metadata={"option": False})

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                wanted = ", ".join(allowed)
                raise UserError(f"{name} is {getattr(self, name)!r}; expected one of {wanted}")
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and least <= value <= most):
                raise UserError(f"{_option(name)} is {value}; expected {least:g} to {most:g}")
        if self.name and Path(self.name).name != self.name:
            raise UserError(
                f"--name is {self.name!r}; expected a plain name. Use --output for the folder"
            )
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.stages and self.head == "dense":
            raise UserError("--progressive needs a network that takes any size. Use --head gap")
        if self.optimizer == "gd" and self.accumulate > 1:
            raise UserError("gd makes one update per epoch. Leave out --accumulate, or use sgd")
        if self.cache != "none" and self.stream:
            raise UserError("--stream never holds all images, and --cache does. Leave one out")
        if self.freeze != "0" and not self.weights:
            raise UserError("--freeze keeps initial weights. Give --weights too")
        if self.unfreeze_at and self.freeze == "0":
            raise UserError("--unfreeze-at needs frozen stages. Add --freeze features")

    def frozen_at(self, epoch: int) -> str:
        """The stages frozen in an epoch, counted from 0, as in `freeze`."""
        return self.freeze if self.unfreeze_at is None or epoch + 1 < self.unfreeze_at else "0"

    @property
    def peak_rate(self) -> float:
        """The highest learning rate of the run."""
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """Pairs of a size in pixels and a number of epochs, from `progressive`."""
        try:
            stages = [tuple(map(int, s.split(":"))) for s in self.progressive.split(",") if s]
            return tuple((size, epochs) for size, epochs in stages if _sane(size, epochs))
        except ValueError as error:
            raise UserError(
                f"--progressive is {self.progressive!r}; expected sizes from 32 to 1024 pixels and "
                "epochs, such as 64:10,96:8,128:5"
            ) from error

    def size_at(self, epoch: int) -> int:
        """Height and width in pixels of the training images in an epoch, counted from 0."""
        for size, epochs in self.stages:
            if epoch < epochs:
                return size
            epoch -= epochs
        return self.stages[-1][0] if self.stages else self.size

    def to_json(self) -> str:
        """The configuration as readable JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, name: str) -> TrainConfig:
        """Read the result of `to_json`.

        Args:
            text: the JSON.
            name: of the file, for the message.

        Raises:
            UserError: not JSON, unknown fields or values out of range.
        """
        try:
            values = json.loads(text)
            known = {f.name for f in fields(cls)}
            if unknown := sorted(values.keys() - known):
                raise UserError(f"{name} has unknown fields {', '.join(unknown)}. Upgrade edgecat")
            if (version := values.get("version", 1)) > VERSION:
                raise UserError(f"{name} was written by a newer edgecat. Upgrade edgecat")
            return cls(**{**values, "data": tuple(values["data"]), "version": version})
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise UserError(f"{name} is not a configuration of edgecat train ({error})") from error


RANGES: dict[str, tuple[float, float]] = {
    "size": (32, 1024),
    "width": (0.01, 8),
    "dropout": (0, 0.95),
    "epochs": (1, 100_000),
    "batch_size": (2, 65_536),
    "accumulate": (1, 65_536),
    "lr": (1e-8, 100),
    "clip": (1e-6, 1e6),
    "weight_decay": (0, 10),
    "warmup": (0, 1),
    "label_smoothing": (0, 0.9),
    "ema": (0, 0.99999),
    "erase": (0, 1),
    "mixup": (0, 100),
    "cutmix": (0, 100),
    "teacher_temperature": (0.1, 100),
    "teacher_weight": (0, 1),
    "unfreeze_at": (2, 100_000),
    "lr_decay": (0.01, 1),
    "seed": (0, 2**32 - 1),
    "patience": (1, 100_000),
    "threads": (1, 1024),
    "version": (1, VERSION),
}


def _sane(size: int, epochs: int) -> bool:
    if not (32 <= size <= 1024 and epochs >= 1):
        raise ValueError
    return True


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
