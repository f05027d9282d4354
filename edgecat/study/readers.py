"""Clip readers: frame by frame, smoothed, or with a trained recurrent network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy

from edgecat.models import VGG
from edgecat.study.clips import Clip
from edgecat.study.material import LabelledImages, normalised
from edgecat_runtime.loop.smoothing import Smoother

HIDDEN = 32
_DROPOUT = 0.2
_RATE, _DECAY = 3e-3, 1e-3
_AT_ONCE = 256


@dataclass(frozen=True)
class Films:
    """The network's outputs for clips of equal length.

    Attributes:
        features: float32 (n, t, channels), globally pooled features.
        logits: float32 (n, t, classes), the network's logits.
        labels: int64 (n, t).
        hard: bool (n, t).
        cuts: int64 (n,), first frame of each second scene.
    """

    features: Tensor
    logits: Tensor
    labels: Tensor
    hard: NDArray[np.bool_]
    cuts: NDArray[np.int64]


def halved(pictures: LabelledImages) -> LabelledImages:
    """Halve height and width of images, for the network's input."""
    return LabelledImages(avg_pool2d(pictures.images, 2), pictures.labels)


@torch.no_grad()
def films_of(model: VGG, clips: Sequence[Clip]) -> Films:
    """Run a network with global average pooling on every frame, at half its size."""
    model.eval()
    features, logits = [], []
    for clip in clips:
        images = avg_pool2d(normalised(clip.frames), 2)
        seen = torch.cat([model.avgpool(model.features(i)) for i in torch.split(images, _AT_ONCE)])
        features.append(seen)
        logits.append(model.classifier(seen))
    return Films(
        torch.stack(features),
        torch.stack(logits),
        torch.from_numpy(np.stack([clip.labels for clip in clips])),
        np.stack([clip.hard for clip in clips]),
        np.array([clip.cut for clip in clips]),
    )


def smoothed(logits: Tensor) -> Tensor:
    """Apply the camera's smoother to logits (n, t, classes), clip by clip."""
    result = np.empty(logits.shape, np.float32)
    for film, frames in enumerate(logits.numpy()):
        smoother = Smoother()
        for number, frame in enumerate(frames):
            result[film, number] = smoother(frame)
    return torch.from_numpy(result)


class FrameReader(nn.Sequential):
    """Classifies each frame independently, with one hidden layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(
            nn.Dropout(_DROPOUT),
            nn.Linear(channels, 2 * HIDDEN),
            nn.ReLU(),
            nn.Linear(2 * HIDDEN, classes),
        )


class MemoryReader(nn.Module):
    """Classifies each frame from it and the previous ones, with an LSTM.

    Source: Hochreiter and Schmidhuber, 1997, https://doi.org/10.1162/neco.1997.9.8.1735.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(_DROPOUT)
        self.memory = nn.LSTM(channels, HIDDEN, batch_first=True)
        self.answer = nn.Linear(HIDDEN, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, t, channels) to logits (n, t, classes), causally."""
        states, _ = self.memory(self.dropout(features))
        logits: Tensor = self.answer(states)
        return logits


def learn_to_read(
    reader: FrameReader | MemoryReader,
    films: Films,
    *,
    epochs: int,
    batch: int,
    random: torch.Generator,
) -> None:
    """Train a reader on clips, all frames weighted equally; leaves it in evaluation mode."""
    stepper = torch.optim.Adam(reader.parameters(), lr=_RATE, weight_decay=_DECAY)
    reader.train()
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(films.labels), generator=random), batch):
            stepper.zero_grad(set_to_none=True)
            logits = reader(films.features[chosen]).flatten(0, 1)
            cross_entropy(logits, films.labels[chosen].flatten()).backward()  # type: ignore[no-untyped-call]
            stepper.step()
    reader.eval()


@dataclass(frozen=True)
class Score:
    """The quality of a reader.

    Attributes:
        all: accuracy over all frames.
        clear: accuracy over the frames that are neither blurred nor covered.
        hard: accuracy over the others.
        flips: mean number of spurious changes of the prediction per clip.
        lag: mean number of frames after a cut to the other class until the first correct
            prediction; NaN if no clip has such a cut.
    """

    all: float
    clear: float
    hard: float
    flips: float
    lag: float


def scored(logits: Tensor, films: Films) -> Score:
    """Score predictions, logits (n, t, classes), on clips."""
    answers, truth = logits.argmax(2).numpy(), films.labels.numpy()
    right = answers == truth
    changes = (np.diff(answers) != 0).sum(1) - (np.diff(truth) != 0).sum(1)
    lags = [
        _lag(right[film, cut:])
        for film, cut in enumerate(films.cuts)
        if truth[film, cut - 1] != truth[film, cut]
    ]
    return Score(
        all=_share(right),
        clear=_share(right[~films.hard]),
        hard=_share(right[films.hard]),
        flips=float(np.maximum(changes, 0).mean()),
        lag=float(np.mean(lags)) if lags else float("nan"),
    )


def _lag(right: NDArray[np.bool_]) -> int:
    """Return the number of frames until the first correct prediction; all if there is none."""
    return int(right.argmax()) if right.any() else len(right)


def _share(right: NDArray[np.bool_]) -> float:
    return float(right.mean()) if right.size else float("nan")
