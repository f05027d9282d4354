"""The findings in sentences, plots and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgecat.report.charts import COLOURS
from edgecat.report.charts import key as sample
from edgecat.report.page import data_url, table
from edgecat.study.curves import at_the_end, by_pass, history_table
from edgecat.study.dropout.measured import (
    BOTH,
    DROPOUT,
    HIDING,
    PLAIN,
    VARIANTS,
    Measurements,
    Sight,
    covered,
)
from edgecat.study.frame import Outcome, Section, Table
from edgecat.study.learning import History
from edgecat.study.pictures import Material, frames_of
from edgecat.study.plots import Line, Panel, band, drawn
from edgecat.study.words import nats
from edgecat_runtime.system.opencv import cv2_module

_COLOURS = dict(zip(VARIANTS, (COLOURS[7], *COLOURS), strict=False))
_TILE = 128


def outcome(
    study: Measurements, found: Material, runs: Sequence[History], sights: Sequence[Sight]
) -> Outcome:
    """Present the figures as sentences, plots and tables."""
    gaps = {key: _gap(runs, key) for key in VARIANTS}
    right = {key: at_the_end(runs, key, "validation_accuracy") for key in VARIANTS}
    lost = {key: _lost(sights, key) for key in VARIANTS}
    blind = {
        key: float(np.mean([sight.right[-1] for sight in sights if sight.key == key]))
        for key in VARIANTS
    }
    return Outcome(
        lead=f"Three convolutions and two dense layers of {study.dense}, {study.epochs} epochs of "
        f"Adam on only {found.about}; with and without dropout of {study.rate:.0%} after each "
        "dense layer, and with and without random erasing of the training images.",
        finding=finding(gaps, right, lost, blind, study.hidden[-1], _noise(runs)),
        facts=[
            (f"{100 * gaps[PLAIN]:.0f} points", "generalisation gap with neither"),
            (f"{100 * gaps[DROPOUT]:.0f} points", "gap with dropout"),
            (f"{100 * gaps[BOTH]:.0f} points", "gap with dropout and erasing"),
        ],
        sections=_sections(study, found, runs, sights),
        tables={"": history_table(runs, "variant"), "occlusion": _sights_table(study, sights)},
        figures={"gap": gaps, "validation_accuracy": right, "lost_to_occlusion": lost,
                 "occluded_accuracy": blind},
        skipped=found.skipped,
    )  # fmt: skip


def finding(
    gaps: Mapping[str, float],
    right: Mapping[str, float],
    lost: Mapping[str, float],
    blind: Mapping[str, float],
    share: float,
    noise: float,
) -> tuple[str, str]:
    """Summarise the figures in two sentences: the generalisation gap and occlusion.

    Args:
        gaps: training minus validation accuracy after the last epoch, by variant.
        right: validation accuracy.
        lost: loss of accuracy under the largest grey square.
        blind: accuracy under that square.
        share: fraction of the area that it covers.
        noise: standard deviation of the validation accuracy between seeds.
    """
    narrower = gaps[PLAIN] - gaps[DROPOUT]
    better = right[DROPOUT] - right[PLAIN]
    effect = (
        "and validation accuracy is higher"
        if better > noise
        else "and validation accuracy is lower"
        if better < -noise
        else "but the difference in validation accuracy is within the noise between seeds"
    )
    claim = (
        "dropout narrows the gap, as the lecture says"
        if narrower > noise
        else "dropout does not narrow the gap here, contrary to the lecture"
    )
    first = (
        f"The gap from training to validation accuracy is {100 * gaps[PLAIN]:.0f} points without "
        f"dropout and {100 * gaps[DROPOUT]:.0f} with it: {claim}, {effect} "
        f"({right[DROPOUT]:.1%} against {right[PLAIN]:.1%})."
    )
    best = max(blind, key=lambda key: blind[key])
    helped = blind[DROPOUT] - blind[PLAIN]
    word = (
        "dropout helps against occlusion"
        if helped > noise
        else "dropout makes occlusion worse"
        if helped < -noise
        else "dropout alone does not help against occlusion"
    )
    second = (
        f"With a grey square over {share:.0%} of the image, accuracy is {blind[PLAIN]:.1%} with "
        f"neither, {blind[DROPOUT]:.1%} with dropout, {blind[HIDING]:.1%} with random "
        f"erasing, and {blind[BOTH]:.1%} with both: {word}, and {_called(best)} "
        f"is the most robust (it loses {100 * lost[best]:.1f} points)."
    )
    return first, second


def _sections(
    study: Measurements, found: Material, runs: Sequence[History], sights: Sequence[Sight]
) -> list[Section]:
    rows = [
        (f"{sample(colour)}{key}",
         f"{at_the_end(runs, key, 'training_accuracy'):.1%}",
         f"{at_the_end(runs, key, 'validation_accuracy'):.1%}",
         f"{100 * _gap(runs, key):.1f}",
         nats(at_the_end(runs, key, "training_loss")),
         nats(at_the_end(runs, key, "validation_loss")))
        for key, colour in _COLOURS.items()
    ]  # fmt: skip
    header = ("", "train acc.", "val acc.", "gap in points", "train loss", "val loss")
    return [
        Section(
            "Generalisation gap",
            "Training and validation accuracy per epoch. A "
            "network that overfits improves on the training images only.",
            drawn(
                [
                    by_pass(
                        runs, "training_accuracy", "Training accuracy", _COLOURS, legend="best"
                    ),
                    by_pass(
                        runs, "validation_accuracy", "Validation accuracy", _COLOURS, legend=""
                    ),
                    _gap_panel(study, runs),
                    by_pass(runs, "validation_loss", "Validation loss", _COLOURS, legend=""),
                ],
                "Training and validation accuracy, the gap, and the loss",
            )
            + table(header, rows, left=(0,)),
        ),
        Section(
            "Occlusion",
            "Validation images with a grey square somewhere, after the last epoch: accuracy "
            "by hidden fraction of the area.",
            _examples(study, found)
            + drawn([_sight_panel(study, sights)], "Accuracy by hidden area", columns=1),
        ),
    ]


def _gap_panel(study: Measurements, runs: Sequence[History]) -> Panel:
    lines: list[Line] = []
    for key, colour in _COLOURS.items():
        chosen = [run for run in runs if run.key == key]
        gaps = 100 * (
            np.array([run.training_accuracy for run in chosen])
            - np.array([run.validation_accuracy for run in chosen])
        )
        lines.append(band(key, range(study.epochs + 1), gaps, colour))
    return Panel("Generalisation gap", "epoch", "points", lines, legend="")


def _sight_panel(study: Measurements, sights: Sequence[Sight]) -> Panel:
    lines = [
        band(
            key,
            [100 * share for share in study.hidden],
            [sight.right for sight in sights if sight.key == key],
            colour,
            marker="o",
        )
        for key, colour in _COLOURS.items()
    ]
    return Panel("Accuracy", "% of the area hidden", "accuracy", lines)


def _examples(study: Measurements, found: Material) -> str:
    """Return the first validation images, with each fraction hidden, as one image."""
    cv2 = cv2_module()
    rows = []
    for share in study.hidden:
        frames = frames_of(covered(found.validation[slice(6)], share))
        tiles = [cv2.resize(f, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC) for f in frames]
        rows.append(np.hstack(tiles[:2]))
    sheet = np.hstack([np.pad(row, ((0, 0), (0, 6), (0, 0)), constant_values=255) for row in rows])
    data = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    shares = ", ".join(f"{share:.0%}" for share in study.hidden)
    return (
        f'<figure><img alt="Images with grey squares" src="{data_url(data, "image/jpeg")}">'
        f"<figcaption>Two validation images with {shares} of the area hidden.</figcaption></figure>"
    )


def _gap(runs: Sequence[History], key: str) -> float:
    return at_the_end(runs, key, "training_accuracy") - at_the_end(runs, key, "validation_accuracy")


def _lost(sights: Sequence[Sight], key: str) -> float:
    each = [sight.right[0] - sight.right[-1] for sight in sights if sight.key == key]
    return float(np.mean(each))


def _noise(runs: Sequence[History]) -> float:
    """Return the standard deviation of validation accuracy between seeds, mean over variants."""
    each = [
        np.std([run.validation_accuracy[-1] for run in runs if run.key == key]) for key in VARIANTS
    ]
    return float(np.mean(each))


def _called(key: str) -> str:
    return {PLAIN: "the plain network", BOTH: "the network with both"}.get(
        key, f"the network with {key}"
    )


def _sights_table(study: Measurements, sights: Sequence[Sight]) -> Table:
    rows = tuple(
        (sight.key, sight.seed, share, right)
        for sight in sights
        for share, right in zip(study.hidden, sight.right, strict=True)
    )
    return Table(("variant", "seed", "hidden_share", "validation_accuracy"), rows)
