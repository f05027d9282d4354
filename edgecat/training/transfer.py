"""Transfer: starting from other weights, frozen stages, and smaller steps far from the head.

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
class Taken:
    """What a model took from weights made elsewhere.

    Attributes:
        name: of the weights.
        taken: number of tensors.
        anew: modules whose weights stay as they were drawn.
        left: modules in the weights that the model does not have, or has with other classes.
    """

    name: str
    taken: int
    anew: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.taken} tensors taken from {self.name}"]
        parts += [f"drawn anew: {', '.join(self.anew)}"] if self.anew else []
        parts += [f"left out: {', '.join(self.left)}"] if self.left else []
        return "; ".join(parts)


def begin(config: TrainConfig, model: nn.Module, card: ModelCard, watcher: Watcher) -> None:
    """Load the weights that a run starts from, if it names any, and check what it freezes.

    Raises:
        UserError: weights that cannot be had or do not fit, or more stages than there are.
    """
    frozen_stages(model, config.freeze, config.arch)
    if config.weights:
        weights = read_weights(config.weights, card, on_progress=watcher.fetching)
        watcher.on_message(str(take(weights, model, card)))


def take(weights: Weights, model: nn.Module, card: ModelCard) -> Taken:
    """Load weights into a model, all but what belongs to other classes.

    Args:
        weights: what to start from.
        model: what `build_model(card)` gave; left as it is where the weights do not fit.
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
    anew = [name for name in wanted if name not in fitting and not name.endswith(_COUNTER)]
    left = [name for name in given if name not in fitting]
    for name in (*anew, *left):
        if not _HEAD.match(name):
            raise UserError(_misfit(name, weights, model, card))
    model.load_state_dict(fitting, strict=False)
    return Taken(weights.name, len(fitting), _modules(anew), _modules(left))


def stages_of(model: nn.Module) -> list[list[nn.Module]]:
    """Split a model where its maps become smaller.

    Returns:
        The modules of each stage, the one at the input first; the head is the last. A VGG has five
        and the head, a ResNet its stem, four and the head.
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
    """How many stages `--freeze` means.

    Args:
        model: the network.
        freeze: a number of stages, from the input, or `features` for all but the head.
        name: name of the architecture.

    Raises:
        UserError: there are not so many, or it is no number.
    """
    most = len(stages_of(model)) - 1
    if freeze == FEATURES:
        return most
    if freeze.isdecimal() and int(freeze) <= most:
        return int(freeze)
    raise UserError(
        f"--freeze is {freeze!r}; expected features, or 0 to {most}, the stages of {name} from the "
        "input on"
    )


def freeze(model: nn.Module, count: int) -> bool:
    """Hold the first stages of a model in training mode still.

    Their weights take no gradient, and their batch norm keeps its statistics.

    Args:
        model: in training mode.
        count: of stages from the input.

    Returns:
        Whether weights that moved before stand still now, or the other way round.
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


def spread(optimizer: Optimizer, model: nn.Module, decay: float) -> None:
    """Let each stage learn at `decay` times the rate of the one behind it, the head at the full.

    The groups of the optimiser, which has not stepped yet, are split by stage; `share` is what a
    group takes of the rate (`set_learning_rate`).
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
