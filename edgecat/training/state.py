"""A run's state, saved as one file so that it can be resumed bit for bit: safetensors and JSON.

The tensors (model, optimiser, random generators) are safetensors; the rest is JSON in the file's
metadata. One file and one rename: a `kill -9` leaves the old state or the new one. The metadata
also holds the SHA-256 of the whole file, computed with zeros in its own place.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from edgecat.training.history import Epoch
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import atomic_write

log = logging.getLogger("edgecat")

_KEY, _DIGEST = "edgecat.run", "edgecat.sha256"
_PLACE = f'"{_DIGEST}":"'.encode()  # cannot occur inside the JSON text, whose quotes are escaped
_ZEROS = "0" * 64


@dataclass
class RunState:
    """A run's progress.

    Attributes:
        pictures: digest of the training and validation images.
        epoch: the epoch to continue with, from 0.
        step: the batch of that epoch to continue with.
        totals: summed loss, correct predictions and images of that epoch so far.
        seconds: spent on that epoch so far.
        history: the finished epochs.
        best: the best of them.
        skipped: a sentence for each image that could not be decoded.
    """

    pictures: str
    epoch: int = 0
    step: int = 0
    totals: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None
    skipped: list[str] = field(default_factory=list)

    def next_epoch(self, row: Epoch) -> bool:
        """Finish the epoch with its row; True if it is the best so far."""
        better = row.beats(self.best)
        self.best = row if better else self.best
        self.history.append(row)
        self.epoch, self.step, self.totals, self.seconds = self.epoch + 1, 0, [0.0, 0.0, 0.0], 0.0
        return better

    def stale_for(self) -> int:
        """Epochs since the best one."""
        return self.epoch - (self.best.epoch if self.best else 0)


def save_state(
    path: Path,
    state: RunState,
    models: Mapping[str, nn.Module],
    optimizer: Optimizer,
    scaler: GradScaler,
    *,
    device: torch.device,
) -> None:
    """Write everything that the next step depends on.

    That includes accumulated gradients whose update is still to come.

    Args:
        path: the file.
        state: progress.
        models: by their names in the file.
        optimizer: of the first model.
        scaler: of the gradients.
        device: of the run: its random generator is saved beside the CPU's.

    Raises:
        UserError: the file cannot be written.
    """
    stepped = optimizer.state_dict()
    tensors = {
        f"{key}.{name}": tensor
        for key, model in models.items()
        for name, tensor in model.state_dict().items()
    }
    tensors |= {f"gradient.{name}": gradient for name, gradient in _gradients(models)}
    plain: dict[str, Any] = {}
    for index, slots in stepped["state"].items():
        for name, value in slots.items():
            target = tensors if isinstance(value, Tensor) else plain
            target[f"optimizer.{index}.{name}"] = value
    tensors["random.cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    text = json.dumps(
        {
            "state": asdict(state),
            "slots": plain,
            "groups": stepped["param_groups"],
            "scaler": scaler.state_dict(),
        }
    )
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    atomic_write(path, _sealed(save(whole, {_KEY: text, _DIGEST: _ZEROS})))


def load_state(
    path: Path,
    models: Mapping[str, nn.Module],
    optimizer: Optimizer,
    scaler: GradScaler,
    *,
    device: torch.device,
) -> RunState:
    """Restore what `save_state` wrote, and return the progress.

    Raises:
        UserError: the file is missing, damaged, or does not fit this run.
    """
    try:
        with safe_open(path, "pt") as file:
            _check_seal(path, file.metadata())
            values = json.loads(file.metadata()[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for key, model in models.items():
            model.load_state_dict(_under(tensors, f"{key}."))
        _put_gradients(models, _under(tensors, "gradient."))
        optimizer.load_state_dict(_optimizer_state(tensors, values))
        scaler.load_state_dict(values["scaler"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} is not a state of this run ({error}). Start again without --resume"
        ) from error
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
    history = [Epoch(**row) for row in values["state"].pop("history")]
    best = values["state"].pop("best")
    state = RunState(**values["state"], history=history, best=Epoch(**best) if best else None)
    log.info("resuming at epoch %d, step %d, from %s", state.epoch + 1, state.step, path)
    return state


def _sealed(data: bytes) -> bytes:
    """Write the digest over its zeros."""
    start = data.index(_PLACE) + len(_PLACE)
    digest = hashlib.sha256(data).hexdigest().encode()
    return data[:start] + digest + data[start + len(digest) :]


def _check_seal(path: Path, metadata: Mapping[str, str]) -> None:
    """Refuse a file of which any bit has changed.

    Files of earlier releases have no digest, and their metadata no entry but `_KEY`.

    Raises:
        UserError: the digest is missing or not that of the file.
    """
    if set(metadata) == {_KEY}:
        return
    data = path.read_bytes()
    digest = metadata.get(_DIGEST, "").encode()
    blank = data.replace(_PLACE + digest, _PLACE + _ZEROS.encode(), 1)
    if hashlib.sha256(blank).hexdigest().encode() != digest:
        raise UserError(
            f"{path} is damaged: its contents do not match its SHA-256. Restore it from a backup, "
            "or start again without --resume"
        )


def _gradients(models: Mapping[str, nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for key, model in models.items():
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                yield f"{key}.{name}", parameter.grad


def _put_gradients(models: Mapping[str, nn.Module], gradients: Mapping[str, Tensor]) -> None:
    for key, model in models.items():
        for name, parameter in model.named_parameters():
            if (gradient := gradients.get(f"{key}.{name}")) is not None:
                parameter.grad = torch.empty_like(parameter.data).copy_(gradient)


def _optimizer_state(tensors: dict[str, Tensor], values: dict[str, Any]) -> dict[str, Any]:
    slots: dict[int, dict[str, Any]] = {}
    for key, value in _under({**tensors, **values["slots"]}, "optimizer.").items():
        index, name = key.split(".", 1)
        slots.setdefault(int(index), {})[name] = value
    return {"state": slots, "param_groups": values["groups"]}


def _under(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: v for name, v in values.items() if name.startswith(prefix)}
