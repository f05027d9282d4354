"""The measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from edgecat.models import architecture, build_model
from edgecat.models.auxiliary import training_loss
from edgecat.models.checkpoint import save_checkpoint
from edgecat.models.cost import Cost, cost_of
from edgecat.study.frame import Advance
from edgecat.study.learning import judged, seeded, shuffled
from edgecat.study.material import MEAN, SCALE, ImageStudy, LabelledImages, Material
from edgecat.training.optim import make_optimizer, set_learning_rate
from edgecat_export.graph.deployed import card_for_onnx, onnx_from_model
from edgecat_runtime.backends import BackendEntry, backend_entries
from edgecat_runtime.benchmark.measuring import measure
from edgecat_runtime.benchmark.opening import opened
from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.model.artifact import seal_onnx
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system.atomic import atomic_write

NAMES = {
    "alexnet": "AlexNet (2012)",
    "vgg16": "VGG16 (2014)",
    "googlenet": "GoogLeNet (2014)",
    "inception_v3": "Inception v3 (2015)",
    "resnet18": "ResNet18 (2015)",
}
"""The lecture's five networks, by date of publication."""

RATE, _DECAY = 0.05, 5e-4


@dataclass(frozen=True, kw_only=True)
class Measurements(ImageStudy):
    """The lecture's networks at reduced width, with the same short training.

    Attributes:
        names: names of the architectures, as in the registry.
        size: height and width of the images in pixels; Inception needs 75 or more.
        width: channel multiplier.
        pictures: number of training images.
        validation: number of validation images.
        epochs: number of epochs.
        batch: batch size.
        seconds: benchmark duration per exported network.
    """

    names: tuple[str, ...] = tuple(NAMES)
    size: int = 80
    width: float = 0.125
    pictures: int = 960
    validation: int = 400
    epochs: int = 6
    batch: int = 32
    seconds: float = 2.0

    @property
    def steps(self) -> int:
        """Number of images to draw, epochs to train, and networks to export and benchmark."""
        learning = len(self.names) * (self.seeds * self.epochs + 2)
        return self.pictures + self.validation + learning

    def measure(self, advance: Advance) -> tuple[Material, list[Course], list[Sized]]:
        """Train each with every seed, then export the first of each and benchmark them."""
        found = self.found(advance)
        courses: list[Course] = []
        models: dict[str, nn.Module] = {}
        for seed in self.each_seed:
            for name in self.names:
                model, course = self._learnt(found, name, seed, advance)
                models.setdefault(name, model)
                courses.append(course)
        cards = {name: self.card(name, found.labels) for name in self.names}
        latency = latencies(models, cards, self.seconds, advance)
        return found, courses, [self._sized(n, cards, latency) for n in self.names]

    def card(self, name: str, labels: tuple[str, ...]) -> ModelCard:
        """Return the card of one of the networks."""
        card = architecture(name).card(
            labels,
            size=self.size,
            head="gap",
            factor=self.width,
            batch_norm=True,
            dropout=0.0,
        )
        return replace(card, mean=(MEAN / 255,) * 3, std=(SCALE / 255,) * 3)

    def _sized(
        self, name: str, cards: Mapping[str, ModelCard], latency: Mapping[str, float]
    ) -> Sized:
        published = architecture(name).card(tuple(map(str, range(1000))))
        here, there = cost_of(cards[name]), cost_of(published)
        assert here is not None
        assert there is not None
        return Sized(name, here, latency[name], there, published.height)

    def _learnt(
        self, found: Material, name: str, seed: int, advance: Advance
    ) -> tuple[nn.Module, Course]:
        accuracies: list[float] = []
        seconds = 0.0
        with seeded(seed) as random:
            model = build_model(self.card(name, found.labels))
            stepper = make_optimizer(model, "nag", lr=RATE, weight_decay=_DECAY)
            for epoch in range(self.epochs):
                start = perf_counter()
                model.train()
                parts = [p for p in shuffled(found.training, self.batch, random) if len(p) > 1]
                for number, part in enumerate(parts):
                    left = 1 - (epoch + number / len(parts)) / self.epochs
                    set_learning_rate(stepper, RATE * left)
                    _step(model, stepper, _mirrored(part, random))
                seconds += perf_counter() - start
                accuracies.append(judged(model, found.validation)[1])
                advance(1)
        return model, Course(name, seed, tuple(accuracies), seconds)


def _mirrored(pictures: LabelledImages, random: torch.Generator) -> LabelledImages:
    """Flip half of the images horizontally."""
    chosen = torch.rand(len(pictures), 1, 1, 1, generator=random) < 0.5
    images = torch.where(chosen, pictures.images.flip(3), pictures.images)
    return LabelledImages(images, pictures.labels)


def _step(model: nn.Module, stepper: Optimizer, part: LabelledImages) -> None:
    """Train on a batch, including auxiliary classifiers."""

    def of_logits(logits: Tensor) -> Tensor:
        return cross_entropy(logits, part.labels)

    stepper.zero_grad(set_to_none=True)
    loss, _ = training_loss(model(part.images), of_logits)
    loss.backward()  # type: ignore[no-untyped-call]
    stepper.step()


@dataclass(frozen=True)
class Course:
    """The history of one training run.

    Attributes:
        name: name of the architecture.
        seed: seed of weights and order.
        accuracy: on the validation images, after each epoch.
        seconds: training time.
    """

    name: str
    seed: int
    accuracy: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Sized:
    """The cost of a network.

    Attributes:
        name: name of the architecture.
        here: of the trained network.
        latency: of the trained network at batch 1, ONNX Runtime fp32 on one thread, median in ms.
        published: of the published network, for 1,000 classes.
        published_size: height and width of its input in pixels.
    """

    name: str
    here: Cost
    latency: float
    published: Cost
    published_size: int


def latencies(
    models: Mapping[str, nn.Module],
    cards: Mapping[str, ModelCard],
    seconds: float,
    advance: Advance = lambda steps: None,
) -> dict[str, float]:
    """Export networks and benchmark them interleaved: ONNX Runtime, one thread, medians in ms.

    Raises:
        BackendMissing: ONNX Runtime is not installed.
    """
    with TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.onnx" for name in models}
        for name, model in models.items():
            card = save_checkpoint(paths[name].with_suffix(".safetensors"), model, cards[name])
            payload = onnx_from_model(model.eval(), card)
            atomic_write(paths[name], seal_onnx(payload, card_for_onnx(card)))
            advance(1)
        entries = [(path, _onnxruntime(path)) for path in paths.values()]
        with opened(entries, threads=1) as subjects:
            results = measure(subjects, seconds=seconds)
        advance(len(models))
        medians = [result.latency_ms["p50"] for result in results]
        return dict(zip(models, medians, strict=True))


def _onnxruntime(path: Path) -> list[BackendEntry]:
    found = [e for e in backend_entries(path) if (e.name, e.device) == ("onnxruntime", "cpu")]
    if not found:
        raise BackendMissing("onnxruntime is not installed: pip install 'edgecat-runtime[onnx]'")
    return found
