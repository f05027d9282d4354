"""Pretrained weights: reads the official ImageNet files and checkpoints."""

from __future__ import annotations

import argparse
import os
import pickle
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecat.download import Progress, fetch
from edgecat.models import ARCHITECTURES
from edgecat.pretrained import CHECKPOINT
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import CardMissing, ModelCard
from edgecat_runtime.system.cache import cache_folder

if TYPE_CHECKING:
    from torch import Tensor

IMAGENET, SHIPPED, NONE = "imagenet", "shipped", "none"

# torchvision's files of its first ImageNet weights (IMAGENET1K_V1), by torchvision's network names.
# The digits in a file name are the start of its SHA-256.
OFFICIAL = {
    "alexnet": "alexnet-owt-7be5be79.pth",
    "googlenet": "googlenet-1378be20.pth",
    "inception_v3": "inception_v3_google-0cc3c7bd.pth",
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "vgg11": "vgg11-8a719046.pth",
    "vgg11_bn": "vgg11_bn-6002323d.pth",
    "vgg13": "vgg13-19584684.pth",
    "vgg13_bn": "vgg13_bn-abd245e5.pth",
    "vgg16": "vgg16-397923af.pth",
    "vgg16_bn": "vgg16_bn-6c64b313.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "vgg19_bn": "vgg19_bn-c79401a0.pth",
}
# Where training scripts put the state dict, the preferred first.
_KEYS = (
    "state_dict",
    "model",
    "model_state_dict",
    "net",
    "network",
    "params",
    "weights",
    "model_ema",
    "ema",
)
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
_SITE = "https://download.pytorch.org/models"


@dataclass(frozen=True)
class Weights:
    """Initial weights.

    Attributes:
        name: file name.
        tensors: float32 or integers on the CPU, by torchvision's names.
        labels: class names; None if the file does not contain them.
    """

    name: str
    tensors: dict[str, Tensor]
    labels: tuple[str, ...] | None = None


def described(source: str, card: ModelCard) -> ModelCard:
    """Describe the network to train when its weights are initialised from `source`.

    Args:
        source: `imagenet`, `shipped`, a `.safetensors` file, edgecat's or another's, or a `.pth`
            state dict.
        card: the network described by the options.

    Returns:
        The card; widths, head, batch norm, activation and normalisation come from a checkpoint.

    Raises:
        UserError: unknown weights, or weights of another network.
    """
    if source == IMAGENET:
        official(card)
        return card
    path = _path(source)
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise UserError(
            f"--weights is {source!r}; expected shipped, imagenet, none, a .safetensors file or a "
            ".pth state dict"
        )
    own = _own_card(path)
    return _like(own, card, path) if own else card


def read_weights(
    source: str, card: ModelCard, *, on_progress: Progress = lambda done, total: None
) -> Weights:
    """Read the tensors, downloading official ones that are not in the cache.

    Args:
        source: as for `described`.
        card: the result of `described`.
        on_progress: as for `fetch`.

    Raises:
        UserError: they cannot be downloaded or read.
    """
    path = fetched(official(card), on_progress) if source == IMAGENET else _path(source)
    if _own_card(path) is None:
        return Weights(path.name, _state_dict(path))
    from edgecat.models.checkpoint import load_checkpoint

    model, made = load_checkpoint(path)
    return Weights(path.name, dict(model.state_dict()), made.labels)


def _path(source: str) -> Path:
    return CHECKPOINT if source == SHIPPED else Path(source)


def _own_card(path: Path) -> ModelCard | None:
    """The card of a checkpoint of edgecat's; None of another's file, such as timm's."""
    if path.suffix == ".safetensors":
        with suppress(CardMissing):
            return read_card(path)
    return None


def official(card: ModelCard) -> str:
    """Return the official file for a network.

    Raises:
        UserError: there is none for this width, activation or batch norm setting.
    """
    known = ARCHITECTURES[card.architecture]
    optional_norm = card.batch_norm and known.batch_norm is None
    name = f"{card.architecture}_bn" if optional_norm else card.architecture
    if name not in OFFICIAL:
        raise UserError(
            f"there are no official weights for {card.architecture} with batch norm. "
            "Use --no-batch-norm"
        )
    if card.layers != known.widths(head=card.head):
        raise UserError(
            f"the official weights of {card.architecture} have full width; got another --width. "
            "Use --width 1"
        )
    if card.activation != "relu":
        raise UserError(
            f"the official weights were trained with relu; got --activation {card.activation}. "
            "Omit it"
        )
    return OFFICIAL[name]


def fetched(name: str, on_progress: Progress = lambda done, total: None) -> Path:
    """Return an official file from the cache, `EDGECAT_WEIGHTS_URL` or its own site.

    Raises:
        UserError: as `fetch`.
    """
    site = os.environ.get("EDGECAT_WEIGHTS_URL") or _SITE
    return fetch(
        f"{site.rstrip('/')}/{name}",
        digest=f"sha256:{Path(name).stem.rpartition('-')[2]}",
        cache=cache_folder() / "weights",
        advice="Or download the file yourself and pass it: --weights FILE",
        on_progress=on_progress,
    )


def _like(made: ModelCard, card: ModelCard, path: Path) -> ModelCard:
    """Return `card` with the network of a checkpoint's card."""
    if made.architecture != card.architecture:
        raise UserError(
            f"{path} contains a {made.architecture}; expected a {card.architecture}. "
            f"Use --arch {made.architecture}"
        )
    return replace(
        card,
        layers=made.layers,
        head=made.head,
        batch_norm=made.batch_norm,
        activation=made.activation,
        mean=made.mean,
        std=made.std,
    )


def _state_dict(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors; code in a pickle is never run."""
    import torch

    found = _from_safetensors(path) if path.suffix == ".safetensors" else _from_pickle(path)
    tensors = _nested(found)
    if not tensors:
        raise UserError(
            f"{path} holds no weights; expected a state dict of tensors, by itself or under one of "
            f"{', '.join(_KEYS)}. Save model.state_dict() instead"
        )
    tensors = _without_prefixes(tensors)
    return {
        name: tensor.float() if torch.is_floating_point(tensor) else tensor
        for name, tensor in tensors.items()
    }


def _from_pickle(path: Path) -> Any:
    import torch

    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # of a training script's args
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}. Use an existing file"
        ) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is damaged, or holds more than weights; expected a state dict of tensors that "
            "torch.load reads with weights_only=True. Save model.state_dict() instead"
        ) from error


def _from_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"cannot read {path}: {error}. Copy it again") from error


def _nested(found: Any) -> dict[str, Tensor]:
    """The state dict in what a training script saved; empty if there is none."""
    import torch

    for _ in range(3):
        if not isinstance(found, dict):
            return {}
        if found and all(map(torch.is_tensor, found.values())):
            return {str(name): tensor for name, tensor in found.items()}
        found = next((found[key] for key in _KEYS if isinstance(found.get(key), dict)), None)
    return {}


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as the network itself has them: wrappers such as DataParallel put theirs in front."""
    while True:
        wrapped = [name for name in tensors if name.startswith(_PREFIXES)]
        plain = [name for name in tensors if "." in name and not name.startswith(_PREFIXES)]
        if not wrapped or plain:  # a network may have a part of that name among others
            return tensors
        tensors = {name.partition(".")[2]: tensors[name] for name in wrapped}
