"""The measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgecat.models import VGG, architecture, build_model
from edgecat.study.clips import Clip, draw_clip
from edgecat.study.frame import Advance, Study
from edgecat.study.learning import Recipe, fit, judged, seeded
from edgecat.study.material import LabelledImages, Material, frames_of, material
from edgecat.study.readers import (
    Films,
    FrameReader,
    MemoryReader,
    Score,
    films_of,
    halved,
    learn_to_read,
    scored,
    smoothed,
)

READERS = {
    "frame": "single frames",
    "smoothed": "smoothed",
    "trained": "single frames, trained on clips",
    "trained_smoothed": "the same, smoothed",
    "lstm": "LSTM, trained on clips",
}
"""The readers, with their display names."""

_RATE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Measurements(Study):
    """A small VGG11 trained on images, and several readers of clips.

    Attributes:
        size: height and width of the clips in pixels; the network's input is half of that.
        width: the network's channel multiplier.
        pictures: number of training images of the network.
        filmed: number of further images for the readers' training clips, two per clip.
        validation: number of further images for the validation clips.
        frames: frames per clip.
        epochs: training epochs of the network.
        readings: training epochs of a reader.
        batch: batch size.
    """

    size: int = 96
    width: float = 0.25
    pictures: int = 1200
    filmed: int = 360
    validation: int = 200
    frames: int = 48
    epochs: int = 8
    readings: int = 30
    batch: int = 32

    @property
    def steps(self) -> int:
        """Number of images to draw, epochs to train and clips to make."""
        return self.pictures + self.filmed + self.validation + self.seeds * (self.epochs + 4)

    def measure(self, advance: Advance) -> tuple[Material, list[Run]]:
        """Train the network, make clips, train the readers, and evaluate all."""
        found = material(
            self.data,
            training=self.pictures + self.filmed,
            validation=self.validation,
            size=self.size,
            advance=advance,
        )
        runs = [self._read(found, seed, advance) for seed in self.each_seed]
        return found, runs

    def _read(self, found: Material, seed: int, advance: Advance) -> Run:
        share = self.pictures / (self.pictures + self.filmed)
        known = round(share * len(found.training))
        with seeded(seed) as random:
            model = self._network(found, known, random, advance)
            image_accuracy = judged(model, halved(found.validation))[1]
            learnt = films_of(model, self._films(found.training[slice(known, None)], seed, 0))
            advance(1)
            clips = self._films(found.validation, seed, 1)
            films = films_of(model, clips)
            advance(1)
            answers = {"frame": films.logits, "smoothed": smoothed(films.logits)}
            channels, classes = films.features.shape[2], len(found.labels)
            for name, kind in (("trained", FrameReader), ("lstm", MemoryReader)):
                reader = kind(channels, classes)
                learn_to_read(reader, learnt, epochs=self.readings, batch=16, random=random)
                with torch.no_grad():
                    answers[name] = reader(films.features)
                advance(1)
        answers["trained_smoothed"] = smoothed(answers["trained"])
        scores = {name: scored(answers[name], films) for name in READERS}
        return Run(image_accuracy, clips, films, answers, scores)

    def _network(
        self, found: Material, known: int, random: torch.Generator, advance: Advance
    ) -> VGG:
        card = architecture("vgg11").card(
            found.labels,
            size=self.size // 2,
            head="gap",
            factor=self.width,
            batch_norm=True,
            dropout=0.0,
        )
        model = build_model(card)
        assert isinstance(model, VGG)
        fit(
            model,
            halved(found.training[slice(known)]),
            Recipe("adam", _RATE, self.batch, self.epochs),
            random=random,
            on_epoch=lambda epoch: advance(1),
        )
        return model

    def _films(self, pictures: LabelledImages, seed: int, part: int) -> list[Clip]:
        """Make clips from all images, two per clip."""
        random = np.random.default_rng((seed, part))
        frames, labels = frames_of(pictures), pictures.labels.tolist()
        pairs = random.permutation(len(frames))[: len(frames) // 2 * 2].reshape(-1, 2).tolist()
        return [
            draw_clip((frames[a], frames[b]), (labels[a], labels[b]), self.frames, random)
            for a, b in pairs
        ]


@dataclass(frozen=True)
class Run:
    """The results of one seed.

    Attributes:
        pictures: the network's accuracy on unseen images.
        clips: the validation clips.
        films: the network's outputs for them.
        answers: logits (n, t, classes), by reader.
        scores: by reader.
    """

    pictures: float
    clips: Sequence[Clip]
    films: Films
    answers: Mapping[str, Tensor]
    scores: Mapping[str, Score]
