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
from edgecat.study.material import Material, frames_of
from edgecat.study.plots import Line, Panel, band, drawn
from edgecat.study.words import nats, tr
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
        lead=tr(
            "Three convolutions and two dense layers of {dense}, {epochs} epochs of Adam on only "
            "{images}; with and without dropout of {rate:.0%} after each dense layer, and with and "
            "without random erasing of the training images.",
            dense=study.dense,
            epochs=study.epochs,
            images=found.about,
            rate=study.rate,
        ),
        finding=finding(gaps, right, lost, blind, study.hidden[-1], _noise(runs)),
        facts=[
            (_points(gaps[PLAIN]), tr("generalisation gap with neither")),
            (_points(gaps[DROPOUT]), tr("gap with dropout")),
            (_points(gaps[BOTH]), tr("gap with dropout and erasing")),
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
        tr("and validation accuracy is higher")
        if better > noise
        else tr("and validation accuracy is lower")
        if better < -noise
        else tr("but the difference in validation accuracy is within the noise between seeds")
    )
    claim = (
        tr("dropout narrows the gap, as the lecture says")
        if narrower > noise
        else tr("dropout does not narrow the gap here, contrary to the lecture")
    )
    first = tr(
        "The gap from training to validation accuracy is {plain:.0f} points without dropout and "
        "{dropout:.0f} with it: {claim}, {effect} ({their:.1%} against {other:.1%}).",
        plain=100 * gaps[PLAIN], dropout=100 * gaps[DROPOUT], claim=claim, effect=effect,
        their=right[DROPOUT], other=right[PLAIN],
    )  # fmt: skip
    best = max(blind, key=lambda key: blind[key])
    helped = blind[DROPOUT] - blind[PLAIN]
    word = (
        tr("dropout helps against occlusion")
        if helped > noise
        else tr("dropout makes occlusion worse")
        if helped < -noise
        else tr("dropout alone does not help against occlusion")
    )
    second = tr(
        "With a grey square over {share:.0%} of the image, accuracy is {plain:.1%} with neither, "
        "{dropout:.1%} with dropout, {hiding:.1%} with random erasing, and {both:.1%} with both: "
        "{verdict}, and {best} is the most robust (it loses {lost:.1f} points).",
        share=share, plain=blind[PLAIN], dropout=blind[DROPOUT], hiding=blind[HIDING],
        both=blind[BOTH], verdict=word, best=_called(best), lost=100 * lost[best],
    )  # fmt: skip
    return first, second


def _sections(
    study: Measurements, found: Material, runs: Sequence[History], sights: Sequence[Sight]
) -> list[Section]:
    rows = [
        (f"{sample(colour)}{tr(key)}",
         f"{at_the_end(runs, key, 'training_accuracy'):.1%}",
         f"{at_the_end(runs, key, 'validation_accuracy'):.1%}",
         f"{100 * _gap(runs, key):.1f}",
         nats(at_the_end(runs, key, "training_loss")),
         nats(at_the_end(runs, key, "validation_loss")))
        for key, colour in _COLOURS.items()
    ]  # fmt: skip
    header = (
        *("", tr("train acc."), tr("val acc.")),
        *(tr("gap in points"), tr("train loss"), tr("val loss")),
    )
    return [
        Section(
            tr("Generalisation gap"),
            tr(
                "Training and validation accuracy per epoch. A network that overfits improves on "
                "the training images only."
            ),
            drawn(
                _history_panels(study, runs),
                tr("Training and validation accuracy, the gap, and the loss"),
            )
            + table(header, rows, left=(0,)),
        ),
        Section(
            tr("Occlusion"),
            tr(
                "Validation images with a grey square somewhere, after the last epoch: accuracy by "
                "hidden fraction of the area."
            ),
            _examples(study, found)
            + drawn([_sight_panel(study, sights)], tr("Accuracy by hidden area"), columns=1),
        ),
    ]


def _history_panels(study: Measurements, runs: Sequence[History]) -> list[Panel]:
    columns = {
        "training_accuracy": (tr("Training accuracy"), "best"),
        "validation_accuracy": (tr("Validation accuracy"), ""),
        "validation_loss": (tr("Validation loss"), ""),
    }
    names = {key: tr(key) for key in VARIANTS}
    training, validation, loss = (
        by_pass(runs, what, title, _COLOURS, legend=legend, names=names)
        for what, (title, legend) in columns.items()
    )
    return [training, validation, _gap_panel(study, runs), loss]


def _gap_panel(study: Measurements, runs: Sequence[History]) -> Panel:
    lines: list[Line] = []
    for key, colour in _COLOURS.items():
        chosen = [run for run in runs if run.key == key]
        gaps = 100 * (
            np.array([run.training_accuracy for run in chosen])
            - np.array([run.validation_accuracy for run in chosen])
        )
        lines.append(band(tr(key), range(study.epochs + 1), gaps, colour))
    return Panel(tr("Generalisation gap"), tr("epoch"), tr("points"), lines, legend="")


def _sight_panel(study: Measurements, sights: Sequence[Sight]) -> Panel:
    lines = [
        band(
            tr(key),
            [100 * share for share in study.hidden],
            [sight.right for sight in sights if sight.key == key],
            colour,
            marker="o",
        )
        for key, colour in _COLOURS.items()
    ]
    return Panel(tr("Accuracy"), tr("% of the area hidden"), tr("accuracy"), lines)


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
    caption = tr("Two validation images with {shares} of the area hidden.", shares=shares)
    return (
        f'<figure><img alt="{tr("Images with grey squares")}" '
        f'src="{data_url(data, "image/jpeg")}"><figcaption>{caption}</figcaption></figure>'
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
    return {PLAIN: tr("the plain network"), BOTH: tr("the network with both")}.get(
        key, tr("the network with {variant}", variant=tr(key))
    )


def _points(share: float) -> str:
    return tr("{points:.0f} points", points=100 * share)


def _sights_table(study: Measurements, sights: Sequence[Sight]) -> Table:
    rows = tuple(
        (sight.key, sight.seed, share, right)
        for sight in sights
        for share, right in zip(study.hidden, sight.right, strict=True)
    )
    return Table(("variant", "seed", "hidden_share", "validation_accuracy"), rows)
