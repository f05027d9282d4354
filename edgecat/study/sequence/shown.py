"""The findings in sentences, plots and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgecat.report.charts import COLOURS, GRID, INK
from edgecat.report.page import table
from edgecat.study.frame import Outcome, Section, Table
from edgecat.study.material import Material
from edgecat.study.plots import canvas, image_of, show
from edgecat.study.readers import Score
from edgecat.study.sequence.measured import READERS, Measurements, Run
from edgecat.study.words import tr

_COLOURS = dict(
    zip(READERS, (COLOURS[7], COLOURS[0], COLOURS[4], COLOURS[1], COLOURS[2]), strict=True)
)
_STRIP = 12


def outcome(study: Measurements, found: Material, runs: Sequence[Run]) -> Outcome:
    """Present the figures as sentences, plots and tables."""
    means = {name: mean_score([run.scores[name] for run in runs]) for name in READERS}
    hard = float(np.mean([run.films.hard.mean() for run in runs]))
    pictures = float(np.mean([run.pictures for run in runs]))
    frame, memory = means["frame"], means["lstm"]
    return Outcome(
        lead=tr(
            "{images}: a small VGG11 was trained on most of the first and has {accuracy:.0%} "
            "accuracy on the rest. It then classified clips of {frames} frames, of two images "
            "each, with {hard:.0%} of the frames badly blurred or covered.",
            images=found.about,
            accuracy=pictures,
            frames=study.frames,
            hard=hard,
        ),
        finding=finding(means),
        facts=[
            (
                f"{frame.hard:.0%} → {memory.hard:.0%}",
                tr("accuracy on hard frames, alone and with LSTM"),
            ),
            (f"{frame.flips:.1f} → {memory.flips:.1f}", tr("spurious changes per clip")),
            (f"{means['smoothed'].lag:.1f}", tr("frames of lag of the smoother after a cut")),
            (f"{memory.lag:.1f}", tr("frames of lag of the LSTM")),
        ],
        sections=_sections(study, runs, means),
        tables={"": _table(study, runs)},
        figures={
            "pictures": pictures,
            "hard_frames": hard,
            **{
                name: {f.name: getattr(score, f.name) for f in fields(score)}
                for name, score in means.items()
            },
        },
        skipped=found.skipped,
    )


def mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean over the seeds, ignoring NaN."""
    rows = np.array([astuple(score) for score in scores], np.float64)
    known = np.isfinite(rows)
    sums = np.where(known, rows, 0).sum(0)
    with np.errstate(invalid="ignore"):
        return Score(*(sums / known.sum(0)).tolist())


def finding(means: Mapping[str, Score]) -> tuple[str, str]:
    """Summarise the mean scores in two sentences."""
    frame, smooth, memory = (means[name] for name in ("frame", "smoothed", "lstm"))
    best = max(smooth.hard, memory.hard)
    verdict = (
        tr("a video is more than its frames")
        if best > frame.hard + 0.02
        else tr("here a video is no more than its frames, contrary to the lecture")
    )
    first = tr(
        "On blurred or covered frames, accuracy is {frame:.0%} for single frames, {smooth:.0%} "
        "smoothed and {memory:.0%} with an LSTM: {verdict}.",
        frame=frame.hard, smooth=smooth.hard, memory=memory.hard, verdict=verdict,
    )  # fmt: skip
    trained = means["trained"]
    gain, own = memory.hard - frame.hard, memory.hard - trained.hard
    why = (
        tr(
            "Of the {gain:.0f} points that the LSTM gains there, {own:.0f} are due to its memory: "
            "a reader without memory, trained on the same clips, reaches {trained:.0%}",
            gain=100 * gain, own=100 * min(own, gain), trained=trained.hard,
        )
        if gain > 0.02 and own > 0.02
        else tr(
            "The LSTM's memory gives it {own:+.0f} points over a memoryless reader trained on the "
            "same clips ({trained:.0%})",
            own=100 * own, trained=trained.hard,
        )
    )  # fmt: skip
    return first, tr(
        "{why}; after a cut, the lag is {smooth:.1f} frames for the smoother, {memory:.1f} for the "
        "LSTM and {frame:.1f} for single frames.",
        why=why, smooth=smooth.lag, memory=memory.lag, frame=frame.lag,
    )  # fmt: skip


def _sections(
    study: Measurements, runs: Sequence[Run], means: Mapping[str, Score]
) -> list[Section]:
    return [
        Section(
            tr("One clip and the predictions of each reader"),
            tr(
                "The first clip of the first seed with a change of class. Blue is correct, orange "
                "is wrong, paler is less confident; grey at the top marks frames blurred or "
                "covered; the line is the cut."
            ),
            _film_figure(runs[0]),
        ),
        Section(
            tr("Accuracy"),
            tr(
                "Over all validation clips. Bars are means over the seeds, error bars span minimum "
                "to maximum."
            ),
            _bars_figure(runs),
        ),
        Section(
            tr("Stability and lag"),
            tr(
                "Spurious changes: changes of the prediction in a clip beyond those of its label. "
                "Lag: frames after a cut to another class until the first correct prediction."
            ),
            _scores_html(runs, means),
        ),
    ]


def _film_figure(run: Run) -> str:
    films = run.films
    turns = [i for i, cut in enumerate(films.cuts) if films.labels[i, 0] != films.labels[i, cut]]
    film = turns[0] if turns else 0
    clip, length = run.clips[film], films.labels.shape[1]
    chosen = np.linspace(0, length - 1, _STRIP).round().astype(int)
    strip = np.hstack([clip.frames[i][..., ::-1] for i in chosen])
    truth = films.labels[film].numpy()
    with canvas(10.2, 3.4) as figure:
        above, below = figure.subplots(2, 1, height_ratios=(1, 2.1))
        show(above, strip)
        rows = [_shades(run.answers[name][film], truth) for name in READERS]
        marked = np.where(clip.hard, 0.55, 1.0)[:, None] * np.ones(3)
        below.imshow(np.stack([marked, *rows]), aspect="auto", interpolation="none")
        below.axvline(clip.cut - 0.5, color=INK, linewidth=1.5)
        names = [tr("blurred or covered"), *map(tr, READERS.values())]
        below.set_yticks(range(len(READERS) + 1), names)
        below.hlines(np.arange(len(READERS)) + 0.5, -0.5, length - 0.5, color=GRID, linewidth=3)
        below.set_xlabel(tr("frame"))
        below.spines[:].set_visible(False)
        return image_of(figure, tr("A clip and the predictions for each of its frames"))


def _shades(logits: Tensor, truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return colours (t, 3), 0..1: blue if correct, orange if wrong, paler if less confident."""
    from matplotlib.colors import to_rgb

    shares = logits.softmax(1).numpy()
    right = shares.argmax(1) == truth
    full = np.where(right[:, None], to_rgb(COLOURS[0]), to_rgb(COLOURS[1]))
    sure = (shares.max(1, keepdims=True) - 1 / shares.shape[1]) / (1 - 1 / shares.shape[1])
    strength = 0.3 + 0.7 * sure
    return np.asarray(1 - strength * (1 - full), np.float64)


def _bars_figure(runs: Sequence[Run]) -> str:
    kinds = ("all", "clear", "hard")
    titles = (tr("all frames"), tr("clear frames"), tr("blurred or covered"))
    with canvas(10.2, 3.9) as figure:
        axes = figure.subplots()
        wide = 0.8 / len(READERS)
        for number, (name, title) in enumerate(READERS.items()):
            values = 100 * np.array([[getattr(r.scores[name], k) for k in kinds] for r in runs])
            mean = values.mean(0)
            x = np.arange(len(kinds)) + (number - (len(READERS) - 1) / 2) * wide
            spread = np.stack([mean - values.min(0), values.max(0) - mean])
            axes.bar(x, mean, 0.92 * wide, color=_COLOURS[name], label=tr(title))
            axes.errorbar(x, mean, spread, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
            for place, value, top in zip(x, mean, values.max(0), strict=True):
                axes.text(place, top + 0.8, f"{value:.0f}", ha="center", fontsize=8.5)
        axes.set_xticks(range(len(kinds)), titles)
        axes.set_ylabel(tr("accuracy, %"))
        axes.set_ylim(0, 119)
        axes.set_yticks(range(0, 101, 20))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, ncols=3, loc="upper center", fontsize=9)
        return image_of(figure, tr("Accuracy by reader and kind of frame"))


def _scores_html(runs: Sequence[Run], means: Mapping[str, Score]) -> str:
    def cell(name: str, field: str, form: str) -> str:
        values = [getattr(run.scores[name], field) for run in runs]
        mean = getattr(means[name], field)
        return f"{mean:{form}} ({np.nanmin(values):{form}}-{np.nanmax(values):{form}})"

    rows = [
        (
            tr(title),
            cell(name, "all", ".1%"),
            cell(name, "hard", ".1%"),
            cell(name, "flips", ".2f"),
            cell(name, "lag", ".1f"),
        )
        for name, title in READERS.items()
    ]
    header = (
        tr("reader"),
        tr("accuracy, all"),
        tr("accuracy, hard"),
        tr("spurious changes per clip"),
        tr("lag, frames"),
    )
    return table(header, rows, left=(0,))


def _table(study: Measurements, runs: Sequence[Run]) -> Table:
    names = tuple(field.name for field in fields(Score))
    rows = tuple(
        (seed, name, *astuple(run.scores[name]))
        for seed, run in zip(study.each_seed, runs, strict=True)
        for name in READERS
    )
    return Table(("seed", "reader", *names), rows)
