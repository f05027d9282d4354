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
SCHEDULES = ("cosine", "one-cycle", "linear", "step", "constant")
_CHOICES = {
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

    The defaults train well on two CPU cores.

    Attributes:
        data: folders of class folders, and tar files with the same inside.
        name: the run's folder inside `output`; empty for architecture, date and time.
        output: folder of the runs.
        arch: name of the architecture.
        size: height and width of the network's input in pixels, when validated and served.
        progressive: sizes and epochs to train at, `64:10,96:8,128:5` for ten epochs at 64 x 64 and
            so on, the last size to the end; empty for `size` throughout. Training slightly smaller
            than serving helps, since random crops enlarge (https://arxiv.org/abs/1906.06423).
        width: channel multiplier.
        head: `gap` (global average pooling) or `dense`, as published.
        batch_norm: normalise after each convolution.
        dropout: rate in the head; None for the published rate, or 0 with a head other than the
            published one.
        activation: of the hidden layers: `relu`, `leaky_relu`, `sigmoid`, `tanh` or `gelu`.
        fit: how images are fitted to the input when served: `crop`, `letterbox` or `stretch`.
        epochs: passes over the training images.
        batch_size: largest number of images per batch; an epoch's batches are of even size.
        accumulate: batches per update, whose gradients are averaged, for larger batches than fit
            into memory; `gd` takes a whole epoch.
        optimizer: `nag` (stochastic gradient descent with Nesterov momentum), `gd`, `sgd`,
            `momentum`, `adagrad`, `rmsprop`, `adadelta`, `adam`, `adamw` or `nadam`.
        lr: peak learning rate; None for the optimiser's default.
        schedule: learning rate after the warm-up: half a `cosine` or a `linear` fall to 0, a tenth
            after each `step` (at half and three quarters of the run), `constant`; or `one-cycle`,
            a cosine up and a deeper one down.
        clip: clip the gradient norm to this value; None never clips.
        weight_decay: of weights, but not of biases and batch norm.
        warmup: fraction of updates used for learning-rate warm-up, 0..1.
        label_smoothing: 0..1.
        ema: decay of the weights' moving average, which is then validated and saved; 0 for none.
        augment: random resized crop, flip and colour change; turn off to fit a few images.
        erase: probability that a rectangle of an image becomes noise, 0..1.
        mixup: strength (alpha of the Beta distribution) of blending images in pairs, or 0.
        cutmix: strength of pasting a rectangle of one image into another, or 0; with `mixup` as
            well, each batch gets one of the two.
        teacher: a checkpoint with the same labels whose predictions are learned too; empty for
            none.
        teacher_temperature: softens both models' predictions before they are compared.
        teacher_weight: weight of the teacher's predictions in the loss, 0..1; the rest is the
            labels'.
        weights: initial weights: `imagenet` for the official ones, a `.pth` file of them, or a
            `.safetensors` checkpoint, which then decides widths, head, batch norm, activation and
            normalisation; empty for random weights.
        freeze: stages that keep their initial weights: a number of stages, counted from the input,
            or `features` for all but the head.
        unfreeze_at: epoch, from 1, at which frozen stages start to learn; None for never.
        lr_decay: learning rate of each stage relative to the next one towards the head, 0..1.
        val: fraction of each class to validate on, if the data has no `val/` folder.
        seed: of weights, split, order, augmentation and dropout.
        patience: stop after this many epochs without improvement; None never stops early.
        tensorboard: write TensorBoard event files into the run's folder.
        threads: CPU threads for PyTorch; None for one per core.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        precision: `fp32`, `bf16`, `fp16`, or `auto` for the fastest that the device supports.
        augment_on: where images are resized, mirrored and recoloured: on the `cpu`, by the threads
            that decode them; a batch at a time on the `device`; or `auto`: on a GPU if there is
            one.
        compiled: run training steps through `torch.compile`; all batches of an epoch are then the
            same size.
        stream: `data` are shards, opened when their turn comes; their own `val` shards validate.
        cache: decode all images once and keep them in `memory`, or on the GPU (`device`; without a
            GPU the same as `memory`); `none` decodes them in every epoch.
        version: of the rules by which data is split and views are drawn. Not an option: a run
            keeps the version it was started with, 1 if its `config.json` has none. In version 1 the
            split depends on the names of tars and data folders, and each view has a generator of
            its own; in version 2 the split depends on names inside tars and data folders alone, and
            the views of a batch are drawn at once.

    Raises:
        UserError: a value out of its range.
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
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                wanted = ", ".join(allowed)
                raise UserError(f"{name} is {getattr(self, name)!r}; expected one of {wanted}")
        for name, least, most in _RANGES:
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


_RANGES = (
    ("size", 32, 1024),
    ("width", 0.01, 8),
    ("dropout", 0, 0.95),
    ("epochs", 1, 100_000),
    ("batch_size", 2, 65_536),
    ("accumulate", 1, 65_536),
    ("lr", 1e-8, 100),
    ("clip", 1e-6, 1e6),
    ("weight_decay", 0, 10),
    ("warmup", 0, 1),
    ("label_smoothing", 0, 0.9),
    ("ema", 0, 0.99999),
    ("erase", 0, 1),
    ("mixup", 0, 100),
    ("cutmix", 0, 100),
    ("teacher_temperature", 0.1, 100),
    ("teacher_weight", 0, 1),
    ("unfreeze_at", 2, 100_000),
    ("lr_decay", 0.01, 1),
    ("seed", 0, 2**32 - 1),
    ("patience", 1, 100_000),
    ("threads", 1, 1024),
    ("version", 1, VERSION),
)


def _sane(size: int, epochs: int) -> bool:
    if not (32 <= size <= 1024 and epochs >= 1):
        raise ValueError
    return True


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
