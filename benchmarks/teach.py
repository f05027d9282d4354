"""Teach two drawn things: the live head, fine-tuning from the shipped model, training from nothing.

    python benchmarks/teach.py [--each 10 20 40] [--tests 100] [--seeds 5] [--train-seeds 5]
        [--epochs 20] [--write docs/results/teach.md]

Two kinds of data: a mug and a bottle held before one camera, as `edgecat teach` is meant for; and
cups and bowls of any colour on any background (`few_images.py`), which is much harder. Returns 1 if
fine-tuning with the most images is not better than training from nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cv2
import numpy as np

import edgecat
import few_images
from edgecat.evaluation.curves import wilson
from edgecat.pets.things import draw_thing
from edgecat.pretrained import INT8
from edgecat_runtime.loop.teach.captures import Capture
from edgecat_runtime.loop.teach.features import Backbone
from edgecat_runtime.loop.teach.taught import Taught, learn
from edgecat_runtime.system.machine import cores, processor
from edgecat_runtime.types import Image

Draw = Callable[[str, int, int], Image]
SCENE, ANYWHERE = "one scene", "anywhere"
LIVE, SHIPPED, NOTHING = "live head", "fine-tuned", "from nothing"


def _anywhere(thing: str, number: int, seed: int) -> Image:
    return few_images.drawn(thing, np.random.default_rng((seed, number, len(thing))))


KINDS: dict[str, tuple[tuple[str, str], Draw]] = {
    SCENE: (("mug", "bottle"), lambda thing, number, seed: draw_thing(thing, number, scene=seed)),
    ANYWHERE: (("bowl", "cup"), _anywhere),
}


class Score(NamedTuple):
    """One way, once: how many of the new images were right, of how many, and the seconds."""

    right: int
    n: int
    seconds: float


def main() -> int:
    """Run every way, print a line each, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--tests", type=int, default=100, help="new images a class")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--train-seeds", type=int, default=5, help="seeds of what is trained")
    parser.add_argument("--train-each", type=int, nargs="*", help="images a class to train on")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    backbone = Backbone(INT8)
    scores: dict[tuple[str, str, int], list[Score]] = {}
    for kind in asked.kinds:
        for each in asked.each:
            for seed in range(asked.seeds):
                found = {LIVE: live(backbone, kind, each, asked.tests, seed)}
                wanted = asked.each if asked.train_each is None else asked.train_each
                if seed < asked.train_seeds and each in wanted:
                    found |= trained(kind, each, asked.tests, seed, asked.epochs)
                for way, score in found.items():
                    scores.setdefault((kind, way, each), []).append(score)
                    share = score.right / score.n
                    print(f"{kind}, {each} a class, seed {seed}, {way}: {share:.1%}, "
                          f"{score.seconds:.1f} s", flush=True)  # fmt: skip
    refusals = never_shown(backbone, asked.seeds)
    text = report(scores, refusals, asked)
    print(text)
    if asked.write:
        asked.write.write_text(text, encoding="utf-8")
    most = max(asked.each)
    both = [scores.get((SCENE, way, most)) for way in (SHIPPED, NOTHING)]
    return int(all(both) and rate(both[0] or []) <= rate(both[1] or []))


def live(backbone: Backbone, kind: str, each: int, tests: int, seed: int) -> Score:
    """Learn as `edgecat teach` does; the seconds are those of the head, the features known."""
    taught, seconds = taught_with(backbone, kind, each, seed)
    right = 0
    for thing in KINDS[kind][0]:
        rows = features(backbone, kind, thing, seed, first=10_000, count=tests)
        right += sum(taught.predict(row).best == thing for row in rows)
    return Score(right, 2 * tests, seconds)


def taught_with(backbone: Backbone, kind: str, each: int, seed: int) -> tuple[Taught, float]:
    """What is learned from `each` images a class, in two bursts each; and how long fitting took."""
    things = KINDS[kind][0]
    rows = np.concatenate([features(backbone, kind, thing, seed, count=each) for thing in things])
    captures = [
        Capture(thing, str(n), 0.2 * n + 60 * (n >= each // 2))
        for thing in things
        for n in range(each)
    ]
    started = time.perf_counter()
    taught = learn(captures, rows)
    assert taught is not None
    return taught, time.perf_counter() - started


_KNOWN: dict[tuple[str, str, int, int], list[Any]] = {}


def features(
    backbone: Backbone, kind: str, thing: str, seed: int, *, count: int, first: int = 0
) -> Any:
    """The features of drawings; each is described once."""
    rows = _KNOWN.setdefault((kind, thing, seed, first), [])
    draw = KINDS[kind][1]
    while len(rows) < count:
        image = draw(thing, first + len(rows), seed)
        rows.append(backbone.features(backbone.fitted(image)[None])[0])
    return np.stack(rows[:count])


def never_shown(backbone: Backbone, seeds: int) -> dict[str, tuple[int, int]]:
    """Count what is refused, taught with 20 images of each: things that were shown, and others."""
    found = {name: [0, 0] for name in ("mug", "bottle", "ball", "box", "empty")}
    for seed in range(seeds):
        taught, _ = taught_with(backbone, SCENE, 20, seed)
        for name, counts in found.items():
            rows = features(backbone, SCENE, name, seed, first=20_000, count=20)
            said = [taught.predict(row) for row in rows]
            counts[0] += sum(one.unsure for one in said)
            counts[1] += len(said)
    return {name: (refused, n) for name, (refused, n) in found.items()}


def trained(kind: str, each: int, tests: int, seed: int, epochs: int) -> dict[str, Score]:
    """Train both ways on the same images, with `edgecat.train`'s defaults."""
    things, draw = KINDS[kind]
    scores = {}
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for place, first, count in (("photos", 0, each), ("new", 10_000, tests)):
            for thing in things:
                (root / place / thing).mkdir(parents=True)
                for number in range(count):
                    path = root / place / thing / f"{number:04}.png"
                    cv2.imwrite(str(path), draw(thing, first + number, seed))
        for way, weights in ((SHIPPED, "shipped"), (NOTHING, "none")):
            started = time.perf_counter()
            options: dict[str, Any] = {"weights": weights, "epochs": epochs, "seed": seed}
            run = edgecat.train(root / "photos", output=root / "runs", name=weights, **options)
            seconds = time.perf_counter() - started
            judged = edgecat.evaluate(run, root / "new").answers.evaluation
            scores[way] = Score(judged.right, judged.n, seconds)
    return scores


def rate(scores: list[Score]) -> float:
    """The fraction of all images that were right."""
    return sum(one.right for one in scores) / max(1, sum(one.n for one in scores))


def report(
    scores: dict[tuple[str, str, int], list[Score]], refused: dict[str, tuple[int, int]], asked: Any
) -> str:
    """The tables in Markdown."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "onnxruntime"))
    lines = [
        "# Teaching by showing",
        "",
        f"`{' '.join(['python', 'benchmarks/teach.py', *sys.argv[1:]])}`, on {processor()}, "
        f"{cores()} cores; {packages}. Two drawn things, {2 * asked.tests} new images a seed. "
        "Accuracy with the 95 % interval (Wilson) over all seeds, the lowest and the highest seed; "
        f"seconds are medians. Training: {asked.epochs} epochs.",
        "",
        "| data | images a class | way | seeds | accuracy | 95 % interval | seeds | seconds |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (kind, way, each), found in scores.items():
        low, high = wilson(sum(one.right for one in found), sum(one.n for one in found))
        shares = [one.right / one.n for one in found]
        seconds = float(np.median([one.seconds for one in found]))
        lines.append(
            f"| {kind} | {each} | {way} | {len(found)} | {rate(found):.1%} "
            f"| {low:.1%} to {high:.1%} | {min(shares):.1%} to {max(shares):.1%} | {seconds:.2g} |"
        )
    lines += [
        "",
        "Refused as none of these, taught a mug and a bottle with 20 images each, without a class "
        "for none of these:",
        "",
        "| shown | refused |",
        "| --- | ---: |",
        *(f"| {name} | {count / n:.0%} of {n} |" for name, (count, n) in refused.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
