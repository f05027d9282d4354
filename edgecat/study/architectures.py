"""Which architecture for the same little training? AlexNet, VGG, GoogLeNet, Inception, ResNet.

All are thinned by the same factor, see the same pictures of the same size, end in global average
pooling, have batch norm and learn by the same recipe: their shapes are compared, not what they
reached on a million photographs, for which the papers named in `edgecat.models.registry` stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from edgecat.models import architecture, build_model
from edgecat.models.auxiliary import training_loss
from edgecat.models.checkpoint import save_checkpoint
from edgecat.models.cost import Cost, cost_of
from edgecat.report.charts import COLOURS
from edgecat.report.page import table
from edgecat.study.frame import Advance, Outcome, Section, Table
from edgecat.study.learning import judged, seeded, shuffled
from edgecat.study.pictures import MEAN, SCALE, Material, Pictures, PictureStudy
from edgecat.study.plots import Panel, band, canvas, drawn, image_of
from edgecat.training.optim import make_optimizer, set_learning_rate
from edgecat_export.graph.deployed import card_for_onnx, onnx_from_model
from edgecat_runtime.backends import BackendEntry, backend_entries
from edgecat_runtime.benchmark import measure, opened
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
"""The lecture's five, in the order of their papers."""

_COLOURS = dict(zip(NAMES, COLOURS, strict=False))
_RATE, _DECAY = 0.05, 5e-4


@dataclass(frozen=True, kw_only=True)
class Architectures(PictureStudy):
    """The lecture's networks, thin, through the same short training.

    Attributes:
        names: of architectures, as in the registry.
        size: height and width of the pictures in pixels; Inception takes none below 75.
        width: channel multiplier.
        pictures: to learn from.
        validation: to judge by.
        epochs: passes over the pictures.
        batch: pictures a step.
        seconds: to time each exported network.
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
        """Pictures to draw, passes to make, and networks to export and to time."""
        learning = len(self.names) * (self.seeds * self.epochs + 2)
        return self.pictures + self.validation + learning

    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Train each with every seed, then export the first of each and time them in turns."""
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
        return outcome(self, found, courses, [self._sized(n, cards, latency) for n in self.names])

    def card(self, name: str, labels: tuple[str, ...]) -> ModelCard:
        """Describe one of the networks."""
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
            stepper = make_optimizer(model, "nag", lr=_RATE, weight_decay=_DECAY)
            for epoch in range(self.epochs):
                start = perf_counter()
                model.train()
                parts = [p for p in shuffled(found.training, self.batch, random) if len(p) > 1]
                for number, part in enumerate(parts):
                    left = 1 - (epoch + number / len(parts)) / self.epochs
                    set_learning_rate(stepper, _RATE * left)
                    _step(model, stepper, _mirrored(part, random))
                seconds += perf_counter() - start
                accuracies.append(judged(model, found.validation)[1])
                advance(1)
        return model, Course(name, seed, tuple(accuracies), seconds)


def _mirrored(pictures: Pictures, random: torch.Generator) -> Pictures:
    """Pictures, half of them with left and right exchanged."""
    chosen = torch.rand(len(pictures), 1, 1, 1, generator=random) < 0.5
    images = torch.where(chosen, pictures.images.flip(3), pictures.images)
    return Pictures(images, pictures.labels)


def _step(model: nn.Module, stepper: Optimizer, part: Pictures) -> None:
    """Learn from a batch, with the auxiliary classifiers of networks that have them."""

    def of_logits(logits: Tensor) -> Tensor:
        return cross_entropy(logits, part.labels)

    stepper.zero_grad(set_to_none=True)
    loss, _ = training_loss(model(part.images), of_logits)
    loss.backward()  # type: ignore[no-untyped-call]
    stepper.step()


@dataclass(frozen=True)
class Course:
    """How one network learnt.

    Attributes:
        name: of the architecture.
        seed: of weights and order.
        accuracy: on the validation pictures, after each pass.
        seconds: that the learning took.
    """

    name: str
    seed: int
    accuracy: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Sized:
    """What a network costs.

    Attributes:
        name: of the architecture.
        here: as it learnt here.
        latency: of one frame as it learnt here, ONNX Runtime fp32 on one thread, median, in ms.
        published: as published, for 1,000 classes.
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
    """Export networks and time one frame of each in turns: medians in ms, ONNX Runtime, a thread.

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


def outcome(
    study: Architectures, found: Material, courses: Sequence[Course], sized: Sequence[Sized]
) -> Outcome:
    """Turn the figures into sentences, plots and tables."""
    accuracy = {s.name: [c.accuracy[-1] for c in courses if c.name == s.name] for s in sized}
    seconds = {s.name: [c.seconds for c in courses if c.name == s.name] for s in sized}
    best = max(accuracy, key=lambda name: float(np.mean(accuracy[name])))
    fast = min(sized, key=lambda s: s.latency)
    heavy = max(sized, key=lambda s: s.here.macs)
    return Outcome(
        lead=f"Networks at {study.width:g} of their published width, with batch norm and global "
        f"average pooling, each {study.epochs} times over {found.about}: "
        f"{', '.join(found.labels)}.",
        finding=finding(accuracy, sized, study.epochs * study.pictures),
        facts=[
            (f"{float(np.mean(accuracy[best])):.1%}", f"right: {_name(best)}, the best here"),
            (f"{fast.latency:.2f} ms", f"a frame: {_name(fast.name)}, the fastest"),
            (f"{heavy.here.macs / 1e6:,.0f} M", f"multiply-adds: {_name(heavy.name)}, the most"),
        ],
        sections=_sections(study, courses, sized, accuracy, seconds),
        tables={"": _table(courses, sized), "courses": _courses_table(courses)},
        figures={
            s.name: {
                "accuracy": accuracy[s.name],
                "weights": s.here.weights,
                "multiply_adds": s.here.macs,
                "latency_ms": s.latency,
                "training_seconds": float(np.mean(seconds[s.name])),
            }
            for s in sized
        },
        skipped=found.skipped,
    )


def finding(
    accuracy: Mapping[str, Sequence[float]], sized: Sequence[Sized], seen: int
) -> tuple[str, str]:
    """Say in two sentences what the figures show.

    Args:
        accuracy: of each seed, by architecture.
        sized: what each costs.
        seen: pictures that each learnt from, the same one counted every time.
    """
    order = sorted(accuracy, key=lambda name: -float(np.mean(accuracy[name])))
    told = ", ".join(f"{_name(n)} {float(np.mean(accuracy[n])):.0%}" for n in order)
    first, second = (accuracy[name] for name in order[:2])
    clear = (
        f"{_name(order[0])} is ahead in every seed"
        if min(first) > max(second)
        else f"between {_name(order[0])} and {_name(order[1])} the seeds decide"
    )
    known = [name for name in NAMES if name in accuracy]
    rank = "; "
    if "alexnet" in known and "resnet18" in known:
        old, new = accuracy["alexnet"], accuracy["resnet18"]
        rank += (
            "the newest beats the oldest, in the lecture's order"
            if min(new) > max(old)
            else "the oldest beats the newest, against the lecture's order"
            if min(old) > max(new)
            else "the oldest and the newest do not differ by more than the seeds do, so the "
            "lecture's order does not show"
        )
    return (
        f"After the same {seen:,} pictures, right answers are {told}: {clear}"
        f"{rank if rank != '; ' else ''}.",
        _price(sized),
    )


def _price(sized: Sequence[Sized]) -> str:
    """Say whether time follows arithmetic."""
    heavy, light = (pick(sized, key=lambda s: s.here.macs) for pick in (max, min))
    slow, quick = (pick(sized, key=lambda s: s.latency) for pick in (max, min))
    than = "" if (heavy, light) == (slow, quick) else f" as {_name(quick.name)}"
    who = f"{_name(slow.name)} takes " if than else ""
    per = {s.name: s.here.macs / s.latency for s in sized}
    dense, thin = max(per, key=per.__getitem__), min(per, key=per.__getitem__)
    verdict = "does not follow" if per[dense] > 1.5 * per[thin] else "follows"
    return (
        f"{_name(heavy.name)} takes {heavy.here.macs / light.here.macs:.0f} times the "
        f"multiply-adds of {_name(light.name)} and {who}{slow.latency / quick.latency:.1f} times "
        f"as long{than}: time {verdict} arithmetic, of which {_name(dense)} does "
        f"{per[dense] / per[thin]:.1f} times as much in a millisecond as {_name(thin)}."
    )


def _sections(
    study: Architectures,
    courses: Sequence[Course],
    sized: Sequence[Sized],
    accuracy: Mapping[str, Sequence[float]],
    seconds: Mapping[str, Sequence[float]],
) -> list[Section]:
    return [
        Section(
            "How they learn",
            "Right answers on pictures that they have not seen, against passes over the pictures "
            "and against the seconds that these took. The rate falls evenly from "
            f"{_RATE} to 0; no network has its own tuned one.",
            drawn(_panels(study, courses), "Accuracy while learning"),
        ),
        Section(
            "What an answer costs",
            "As they learnt here. Latency is the median of one frame, ONNX Runtime in fp32 on one "
            "thread, the networks timed in turns. Dots are means over the seeds, lines reach from "
            "the least to the greatest.",
            _scatter(accuracy, sized),
        ),
        Section(
            "Here and as published",
            "Weights of convolutions and dense layers, and multiply-adds of one frame. As "
            "published they answer 1,000 classes, and AlexNet and VGG16 end in dense layers, which "
            "hold most of their weights.",
            f'<div class="scroll">{_sized_html(sized, accuracy, seconds)}</div>',
        ),
    ]


def _panels(study: Architectures, courses: Sequence[Course]) -> list[Panel]:
    passes = np.arange(1.0, study.epochs + 1)

    def runs(name: str) -> list[Course]:
        return [course for course in courses if course.name == name]

    by_pass = [
        band(_name(n), passes, [[100 * a for a in c.accuracy] for c in runs(n)], _COLOURS[n])
        for n in study.names
    ]
    by_time = [
        band(
            _name(n),
            passes * float(np.mean([c.seconds for c in runs(n)])) / study.epochs,
            [[100 * a for a in c.accuracy] for c in runs(n)],
            _COLOURS[n],
        )
        for n in study.names
    ]
    return [
        Panel("By passes", "pass over the pictures", "right, %", by_pass),
        Panel("By time", "seconds of learning", "right, %", by_time, log_x=True, legend=""),
    ]


def _scatter(accuracy: Mapping[str, Sequence[float]], sized: Sequence[Sized]) -> str:
    views = (
        ("multiply-adds, millions", [s.here.macs / 1e6 for s in sized]),
        ("weights, thousands", [s.here.weights / 1e3 for s in sized]),
        ("latency, ms", [s.latency for s in sized]),
    )
    with canvas(10.2, 3.7) as figure:
        grid = figure.subplots(1, len(views), sharey=True)
        for axes, (across, values) in zip(grid, views, strict=True):
            for s, x in zip(sized, values, strict=True):
                runs = 100 * np.array(accuracy[s.name])
                mean = runs.mean()
                reach = [[mean - runs.min()], [runs.max() - mean]]
                colour = _COLOURS[s.name]
                axes.errorbar([x], [mean], reach, fmt="o", color=colour, capsize=3, markersize=8)
                axes.annotate(
                    _name(s.name).split(" (")[0], (x, mean), xytext=(7, 5),
                    textcoords="offset points", fontsize=8.5, color=colour,
                )  # fmt: skip
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter("")
            axes.margins(x=0.3)
            axes.set_xlabel(across)
            axes.grid(color="#e3e7ed")
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        grid[0].set_ylabel("right, %")
        return image_of(figure, "Accuracy against multiply-adds, weights and latency")


def _sized_html(
    sized: Sequence[Sized],
    accuracy: Mapping[str, Sequence[float]],
    seconds: Mapping[str, Sequence[float]],
) -> str:
    header = (
        *("network", "right", "weights", "multiply-adds", "ms a frame", "s to learn"),
        *("published: input", "weights", "multiply-adds"),
    )
    rows = [
        (
            _name(s.name),
            f"{float(np.mean(accuracy[s.name])):.1%}",
            f"{s.here.weights / 1e6:.2f} M",
            f"{s.here.macs / 1e6:,.1f} M",
            f"{s.latency:.2f}",
            f"{float(np.mean(seconds[s.name])):.0f}",
            f"{s.published_size}",
            f"{s.published.weights / 1e6:.1f} M",
            f"{s.published.macs / 1e9:.2f} G",
        )
        for s in sized
    ]
    return table(header, rows, left=(0,))


def _table(courses: Sequence[Course], sized: Sequence[Sized]) -> Table:
    costs = {s.name: s for s in sized}
    rows = tuple(
        (
            *(c.name, c.seed, c.accuracy[-1], costs[c.name].here.weights, costs[c.name].here.macs),
            *(costs[c.name].latency, c.seconds),
            *(costs[c.name].published.weights, costs[c.name].published.macs),
        )
        for c in courses
    )
    header = (
        *("architecture", "seed", "accuracy", "weights", "multiply_adds", "latency_ms"),
        *("training_seconds", "published_weights", "published_multiply_adds"),
    )
    return Table(header, rows)


def _courses_table(courses: Sequence[Course]) -> Table:
    rows = tuple(
        (c.name, c.seed, epoch, accuracy)
        for c in courses
        for epoch, accuracy in enumerate(c.accuracy, 1)
    )
    return Table(("architecture", "seed", "epoch", "accuracy"), rows)


def _name(name: str) -> str:
    return NAMES.get(name, name)
