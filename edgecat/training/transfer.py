"""Transfer learning: initial weights, frozen stages, and lower learning rates far from the head.

Source: Howard and Ruder, 2018, https://arxiv.org/abs/1801.06146, sections 3.2 and 3.3:
discriminative fine-tuning and gradual unfreezing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn
from torch.optim import Optimizer

from edgecat.models.weights import Weights, read_weights
from edgecat.training.config import TrainConfig
from edgecat.training.watcher import Watcher
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard

FEATURES = "features"
_HEAD = re.compile(r"classifier|dropout|fc|aux\d|AuxLogits")
_NUMBERED = re.compile(r"(layer|inception|Mixed_)\d")
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class LoadedWeights:
    """What a model took from another model's weights.

    Attributes:
        name: of the weights.
        tensors: number of tensors loaded.
        initialised: modules that keep their random initial weights.
        ignored: modules in the weights that the model does not have, or has for other classes.
    """

    name: str
    tensors: int
    initialised: tuple[str, ...]
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"loaded {self.tensors} tensors from {self.name}"]
        replaced = [name for name in self.initialised if name in self.ignored]
        fates = {
            "replaced for the new classes": replaced,
            "new": [name for name in self.initialised if name not in replaced],
            "ignored": [name for name in self.ignored if name not in replaced],
        }
        parts += [f"{fate}: {', '.join(names)}" for fate, names in fates.items() if names]
        return "; ".join(parts)


def load_initial_weights(
    config: TrainConfig, model: nn.Module, card: ModelCard, watcher: Watcher
) -> None:
    """Load the weights that a run starts from, if it names any, and check what it freezes.

    Raises:
        UserError: weights that are unavailable or do not fit, or more stages than there are.
    """
    frozen_stages(model, config.freeze, config.arch)
    if config.weights:
        weights = read_weights(config.weights, card, on_progress=watcher.fetching)
        watcher.on_message(str(load_matching(weights, model, card)))


def load_matching(weights: Weights, model: nn.Module, card: ModelCard) -> LoadedWeights:
    """Load weights into a model, except a head for other classes.

    Args:
        weights: to start from.
        model: from `build_model(card)`; unchanged if the weights do not fit.
        card: of the model.

    Raises:
        UserError: the weights are another network's: a tensor outside the head does not fit.
    """
    wanted, given = model.state_dict(), weights.tensors
    foreign = weights.labels is not None and weights.labels != card.labels
    last = set(_outputs(model, card.classes)) if foreign else set()
    fitting = {
        name: given[name]
        for name, tensor in wanted.items()
        if name in given and given[name].shape == tensor.shape and _module(name) not in last
    }
    new = [name for name in wanted if name not in fitting and not name.endswith(_COUNTER)]
    ignored = [name for name in given if name not in fitting]
    for name in (*new, *ignored):
        if not _HEAD.match(name):
            raise UserError(_misfit(name, weights, model, card))
    model.load_state_dict(fitting, strict=False)
    return LoadedWeights(weights.name, len(fitting), _modules(new), _modules(ignored))


def stages_of(model: nn.Module) -> list[list[nn.Module]]:
    """Split a model where its feature maps become smaller.

    Returns:
        The modules of each stage, from the input to the head. A VGG has five stages and the head,
        a ResNet the stem, four stages and the head.
    """
    stages: dict[str, list[nn.Module]] = {}
    pools = 0
    for name, module in model.named_children():
        for inner, part in module.named_children() if name == FEATURES else [("", module)]:
            stages.setdefault(_stage(name, pools if inner else None), []).append(part)
            pools += isinstance(part, nn.MaxPool2d)
    head = stages.pop("head")
    return [parts for parts in stages.values() if _parameters(parts)] + [head]


def frozen_stages(model: nn.Module, freeze: str, name: str) -> int:
    """Number of stages that `--freeze` means.

    Args:
        model: the network.
        freeze: a number of stages, from the input, or `features` for all but the head.
        name: name of the architecture.

    Raises:
        UserError: neither a number nor `features`, or more stages than there are.
    """
    most = len(stages_of(model)) - 1
    if freeze == FEATURES:
        return most
    if freeze.isdecimal() and int(freeze) <= most:
        return int(freeze)
    raise UserError(
        f"--freeze is {freeze!r}; expected features, or 0 to {most}, counting the stages of {name} "
        "from the input"
    )


def freeze(model: nn.Module, count: int) -> bool:
    """Freeze the first stages of a model.

    Their weights get no gradient, and their batch norm keeps its statistics.

    Args:
        model: in training mode.
        count: number of stages, from the input.

    Returns:
        Whether this changed which weights are trained.
    """
    changed = False
    for number, parts in enumerate(stages_of(model)):
        for parameter in _parameters(parts):
            changed |= parameter.requires_grad != (number >= count)
            parameter.requires_grad_(number >= count)
        if number < count:
            for part in parts:
                part.eval()
    return changed


def set_stage_rates(optimizer: Optimizer, model: nn.Module, decay: float) -> None:
    """Train each stage at `decay` times the learning rate of the next one; the head at the full.

    The parameter groups of the optimiser, which has not stepped yet, are split by stage; `share`
    is a group's factor of the learning rate (see `set_learning_rate`).
    """
    if decay == 1:
        return
    stages = stages_of(model)[::-1]
    groups = []
    for depth, parts in enumerate(stages):
        members = {id(parameter) for parameter in _parameters(parts)}
        for group in optimizer.param_groups:
            inside = [p for p in group["params"] if id(p) in members]
            if inside:
                groups.append({**group, "params": inside, "share": decay**depth})
    optimizer.param_groups[:] = groups


def _stage(name: str, pools: int | None) -> str:
    if _HEAD.match(name):
        return "head"
    numbered = _NUMBERED.match(name)
    return numbered[0] if numbered else f"stem {pools or 0}"


def _parameters(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]


def _outputs(model: nn.Module, classes: int) -> list[str]:
    """The dense layers that give the logits."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == classes and _HEAD.match(name)
    ]


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _modules(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_module, names)))


def _misfit(name: str, weights: Weights, model: nn.Module, card: ModelCard) -> str:
    shapes = [
        f"shape {tuple(tensors[name].shape)}" if name in tensors else "nothing"
        for tensors in (weights.tensors, model.state_dict())
    ]
    norm = "with" if card.batch_norm else "without"
    return (
        f"{weights.name} does not fit this {card.architecture} {norm} batch norm: for {name} it "
        f"has {shapes[0]}; expected {shapes[1]}. Use the --arch, --width and --batch-norm that it "
        "was made with"
    )
