"""Everything that decides what a training run gives, in one frozen dataclass."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
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
SCHEDULES = ("cosine", "one-cycle", "linear", "step", "constant")
_CHOICES = {
    "head": ("dense", "gap"),
    "activation": ("relu", "leaky_relu", "sigmoid", "tanh", "gelu"),
    "fit": ("crop", "letterbox", "stretch"),
    "optimizer": tuple(LEARNING_RATES),
    "schedule": SCHEDULES,
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "augment_on": ("auto", "cpu", "device"),
}


@dataclass(frozen=True)
class TrainConfig:
    """One training run; saved as `config.json` into its folder and read back by `--resume`.

    The defaults are what trains well on two CPU cores.

    Attributes:
        data: folders of class folders and tar files.
        name: the run's folder inside `output`; empty for architecture, date and time.
        output: folder of the runs.
        arch: name of the architecture.
        size: height and width of the network's input in pixels, when validated and served.
        progressive: sizes to train at in turn, `64:10,96:8,128:5` for ten epochs at 64 x 64 and so
            on, the last one to the end; empty for `size` throughout. Training a little smaller than
            serving pays, since random crops show things larger (https://arxiv.org/abs/1906.06423).
        width: channel multiplier.
        head: `gap` (global average pooling) or `dense`, as published.
        batch_norm: normalise after each convolution.
        dropout: rate in the head; None for the published one, or 0 with another head than that.
        activation: of the hidden layers: `relu`, `leaky_relu`, `sigmoid`, `tanh` or `gelu`.
        fit: how photographs meet the input when served: `crop`, `letterbox` or `stretch`.
        epochs: passes over the training pictures.
        batch_size: pictures a step, at most; an epoch's batches are of even size.
        accumulate: batches whose gradients are averaged before a step, for larger batches than
            the memory holds; `gd` takes all of an epoch.
        optimizer: `nag` (stochastic gradient descent with Nesterov's momentum), `gd`, `sgd`,
            `momentum`, `adagrad`, `rmsprop`, `adadelta`, `adam`, `adamw` or `nadam`.
        lr: peak learning rate; None for the optimiser's own default.
        schedule: the rate's course after the warm-up: half a `cosine` or a `linear` fall to 0, a
            tenth at each `step` (at half and three quarters of the run), `constant`; or
            `one-cycle`, a cosine up and a deeper one down.
        clip: the norm that a step's gradient is shortened to; None for as long as it comes.
        weight_decay: of weights; biases and batch norm are left alone.
        warmup: share of all steps over which the rate climbs, 0..1.
        label_smoothing: 0..1.
        ema: decay of the weights' moving average, which is then what is validated and saved; 0 for
            the weights themselves.
        augment: random resized crop, flip and colour; off for fitting a few pictures.
        erase: chance that a rectangle of a picture becomes noise, 0..1.
        mixup: strength (alpha of the Beta distribution) of blending pictures in pairs, or 0.
        cutmix: strength of pasting a rectangle of one picture into another, or 0; with `mixup`
            as well, each batch has either.
        teacher: a checkpoint of the same labels whose answers are learnt beside the labels; empty
            for the labels alone.
        teacher_temperature: softens both answers before they are compared.
        teacher_weight: of the teacher's answers in the loss, 0..1; the rest is the labels'.
        weights: to start from: `imagenet` for the official ones, a `.pth` file of such, or a
            `.safetensors` checkpoint, whose widths, head, batch norm, activation and normalisation
            then count and not those asked for here; empty for random ones.
        freeze: stages that keep the weights they start with: so many from the input, or `features`
            for all but the head.
        unfreeze_at: the epoch, from 1, in which they begin to learn after all.
        lr_decay: the rate of each stage relative to the next one towards the head, 0..1.
        val: share of each class to validate on, where the data has no `val/` folder.
        seed: of weights, split, order, augmentation and dropout.
        patience: stop after so many epochs without a better one; None never stops early.
        tensorboard: write event files into the run's folder.
        threads: of torch; None for one a core.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        precision: of the arithmetic: `fp32`, `bf16`, `fp16`, or `auto`: what the device is fast in.
        augment_on: where pictures are resized, mirrored and recoloured: by the threads that decode
            them (`cpu`), whole batches at a time on the `device`, or `auto`: there on GPUs.
        compiled: let `torch.compile` fuse the step's kernels.
        stream: `data` are shards, opened when their turn comes; their own `val` shards validate.

    Raises:
        UserError: a value out of its range.

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
                f"--name is {self.name!r}; expected a plain name. Use --output for where"
            )
        if self.stages and self.head == "dense":
            raise UserError("--progressive needs a network for any size. Use --head gap")
        if self.optimizer == "gd" and self.accumulate > 1:
            raise UserError("gd takes one step an epoch. Leave out --accumulate, or use sgd")

        if self.freeze != "0" and not self.weights:
            raise UserError("--freeze keeps the weights that a run starts with. Name --weights too")
        if self.unfreeze_at and self.freeze == "0":
            raise UserError("--unfreeze-at needs something frozen. Add --freeze features")

    def frozen_at(self, epoch: int) -> str:
        """The stages frozen in an epoch, counted from 0; as in `freeze`."""
        return self.freeze if self.unfreeze_at is None or epoch + 1 < self.unfreeze_at else "0"

    @property
    def peak_rate(self) -> float:
        """The highest learning rate of the run."""
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """Sizes in pixels and for how many epochs, from `progressive`."""
        try:
            stages = [tuple(map(int, s.split(":"))) for s in self.progressive.split(",") if s]
            return tuple((size, epochs) for size, epochs in stages if _sane(size, epochs))
        except ValueError as error:
            raise UserError(
                f"--progressive is {self.progressive!r}; expected sizes from 32 to 1024 pixels and "
                "epochs, such as 64:10,96:8,128:5"
            ) from error

    def size_at(self, epoch: int) -> int:
        """Height and width in pixels to train at in an epoch, counted from 0."""
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
        """Read what `to_json` gave.

        Args:
            text: the JSON.
            name: of the file, for the message.

        Raises:
            UserError: no JSON, unknown fields or values out of range.
        """
        try:
            values = json.loads(text)
            known = {f.name for f in fields(cls)}
            if unknown := sorted(values.keys() - known):
                raise UserError(f"{name} has unknown fields {', '.join(unknown)}. Upgrade edgecat")
            return cls(**{**values, "data": tuple(values["data"])})
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise UserError(f"{name} is no configuration of edgecat train ({error})") from error


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
)


def _sane(size: int, epochs: int) -> bool:
    if not (32 <= size <= 1024 and epochs >= 1):
        raise ValueError
    return True


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
