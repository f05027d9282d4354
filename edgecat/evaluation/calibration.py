"""Calibration: the softmax temperature, and the energy limit above which a frame is `unsure`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from edgecat.data.batches import Batch, load_batch, prefetched
from edgecat.data.folder import ImageSet, scan, split
from edgecat.evaluation.curves import reliability
from edgecat.evaluation.energy_fit import Features, Head, fit_known
from edgecat.evaluation.temperature_and_limit import Energies, best_temperature, limit_of
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.pets.outliers import KINDS, draw_outlier
from edgecat.scores import cross_entropy, energies, softmax
from edgecat.training.run_folder import CONFIG, read_config
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.system.counting import number_of
from edgecat_runtime.system.machine import cores
from edgecat_runtime.system.paths import native_path
from edgecat_runtime.types import Frames

FITTED, DRAWN, FRESH = 1500, 400, 100
"""Maximum number of photographs to fit on; drawn frames per kind for fitting and for testing."""
FEW = 60
"""Minimum number of drawn frames per kind: with few photographs there are as many as of those."""
FIT_SEED, TRY_SEED = 1_000_000, 2_000_000
LEAST = 8
_BATCH = 32

Tell = Callable[[str, int], None]


@dataclass(frozen=True)
class Calibration:
    """The result of a calibration.

    Attributes:
        temperature: minimises the mean cross entropy of the validation photographs.
        energy_limit: at least 99 % of them are at or below it; see `limit_of`.
        n: number of validation photographs.
        fitted: number of photographs the energy was fitted on, disjoint from those.
        loss: mean cross entropy in nats, at temperature 1 and at the fitted one.
        ece: expected calibration error, 0..1, likewise.
        answered: fraction of the validation photographs within the limit.
        plain: fraction of new drawn frames that plain energy, without fitting, would call `unsure`
            at the same coverage of photographs, by kind.
        unsure: fraction of them that are `unsure` with the fitted energy, by kind.
        unseen: likewise, with the kind left out of the fit.
        skipped: a message for each photograph that could not be decoded.
    """

    temperature: float
    energy_limit: float
    n: int
    fitted: int
    loss: tuple[float, float]
    ece: tuple[float, float]
    answered: float
    plain: dict[str, float]
    unsure: dict[str, float]
    unseen: dict[str, float]
    skipped: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The output of `edgecat evaluate --calibrate --json`."""
        return {**asdict(self), "skipped": len(self.skipped)}


def photographs_to_calibrate(
    paths: Sequence[Path], labels: Sequence[str]
) -> tuple[ImageSet, ImageSet]:
    """Photographs to fit the energy on, and others to fit temperature and limit on.

    From a training run's folder: its training images, and the validation images that it held out.
    From other folders and tars: one half of the images each. Never those under `test/`.

    Raises:
        UserError: no such images, different labels, or too few images.
    """
    runs = [path for path in paths if (path / CONFIG).is_file()]
    if runs and len(paths) > 1:
        raise UserError(f"--calibrate got {len(paths)} paths; expected one run's folder, or data")
    if runs:
        config = read_config(runs[0])
        found = scan(config.data, labels=labels)
        fitting, held = split(found, val=config.val, seed=config.seed, version=config.version)
    else:
        fitting, held = split(scan(paths, labels=labels), val=0.5)
    if len(held) < LEAST:
        raise UserError(
            f"{number_of(len(held), 'photograph')} {'is' if len(held) == 1 else 'are'} left to fit "
            f"the energy limit; expected at least {LEAST}. Add more images"
        )
    return fitting, held


def frames_to_see(fitting: ImageSet, validation: ImageSet) -> int:
    """The number of frames that `calibrate` will process."""
    counts = sum(_counts(fitting))
    return min(len(fitting), FITTED) + len(validation) + len(KINDS) * counts


def _counts(fitting: ImageSet) -> tuple[int, int]:
    """The number of drawn frames per kind for fitting and for testing."""
    drawn = min(DRAWN, max(FEW, len(fitting)))
    return drawn, min(FRESH, drawn)


def calibrate(
    path: Path,
    fitting: ImageSet,
    validation: ImageSet,
    *,
    output: Path | None = None,
    tell: Tell = lambda what, frames: None,
) -> Calibration:
    """Write temperature, energy limit and a fitted energy to a checkpoint.

    Only the temperature affects probabilities; no prediction changes its class. Calibrating twice
    gives the same result as calibrating once.

    Args:
        path: the checkpoint.
        fitting: photographs of the classes to fit the energy on.
        validation: other photographs, to fit temperature and limit on.
        output: the file to write; None rewrites the checkpoint atomically.
        tell: called after each batch with the current activity and the number of frames.

    Raises:
        CardError: not a checkpoint.
        UserError: a network that does not end in a dense layer, images that cannot be read, or a
            file that cannot be written.
    """
    model, card = load_checkpoint(path)
    head, half = Head(model, card), _is_half(path)
    skipped: list[str] = []
    seen, _ = _photographs(head, _spread(fitting, FITTED), card, tell, skipped)
    held, truth = _photographs(head, validation, card, tell, skipped)
    to_fit, to_try = _counts(fitting)
    drawn = {kind: _drawn(head, kind, FIT_SEED, to_fit, card, tell) for kind in KINDS}
    fresh = {kind: _drawn(head, kind, TRY_SEED, to_try, card, tell) for kind in KINDS}
    temperature = best_temperature(held.logits, truth)
    plain = _shares(lambda found: energies(found.logits, temperature), held, drawn, fresh)
    head.share(fit_known(seen, list(drawn.values()), temperature), half=half)

    def served(found: Features) -> Energies:
        return head.energies(found, temperature)

    limit = limit_of(served(held), np.concatenate([served(part) for part in drawn.values()]))
    card = replace(card, temperature=temperature, energy_limit=limit)
    save_checkpoint(output or path, model, card, half=half)
    return Calibration(
        temperature=temperature,
        energy_limit=limit,
        n=len(held),
        fitted=len(seen),
        loss=_both(lambda t: float(cross_entropy(held.logits / t, truth).mean()), temperature),
        ece=_both(lambda t: _ece(held.logits / t, truth), temperature),
        answered=float((served(held) <= limit).mean()),
        plain=plain,
        unsure=_shares(served, held, drawn, fresh),
        unseen=_unseen(seen, held, drawn, fresh, temperature),
        skipped=tuple(skipped),
    )


def _unseen(
    seen: Features,
    held: Features,
    drawn: dict[str, Features],
    fresh: dict[str, Features],
    temperature: float,
) -> dict[str, float]:
    """Fraction of each kind that would be `unsure` with the kind left out of the fit."""
    shares: dict[str, float] = {}
    for kind in drawn:
        others = [part for name, part in drawn.items() if name != kind]
        known = fit_known(seen, others, temperature)
        energy = partial(known.energies, temperature=temperature)
        shares |= _shares(energy, held, drawn, {kind: fresh[kind]})
    return shares


def _shares(
    energy: Callable[[Features], Energies],
    held: Features,
    drawn: dict[str, Features],
    fresh: dict[str, Features],
) -> dict[str, float]:
    """Fraction of each kind above the limit that 99 % of the photographs are within."""
    limit = limit_of(energy(held), np.concatenate([energy(part) for part in drawn.values()]))
    return {kind: float((energy(found) > limit).mean()) for kind, found in fresh.items()}


def _both(measure: Callable[[np.float32], float], temperature: float) -> tuple[float, float]:
    """Before and after temperature scaling."""
    return measure(np.float32(1)), measure(np.float32(temperature))


def _ece(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    return reliability(softmax(logits).max(1), logits.argmax(1) == truth).ece


def _photographs(
    head: Head, pictures: ImageSet, card: ModelCard, tell: Tell, skipped: list[str]
) -> tuple[Features, NDArray[np.int64]]:
    """The last layer's inputs for photographs, and their labels."""
    truth: list[NDArray[np.int64]] = []

    def load(start: int) -> Batch:
        indices = range(start, min(start + _BATCH, len(pictures)))
        return load_batch(pictures.pictures, indices, lambda picture, _: _fitted(picture, card))

    def frames() -> Iterator[Frames]:
        starts = range(0, len(pictures), _BATCH)
        for batch in prefetched(load, starts, workers=cores()):
            skipped.extend(batch.skipped)
            if len(batch.labels):
                truth.append(batch.labels)
                yield batch.frames
            tell("processing photographs", len(batch.labels) + len(batch.skipped))

    return head.features(frames()), np.concatenate(truth)


def _drawn(head: Head, kind: str, seed: int, count: int, card: ModelCard, tell: Tell) -> Features:
    """The last layer's inputs for drawn frames."""

    def frames() -> Iterator[Frames]:
        for start in range(seed, seed + count, _BATCH):
            seeds = range(start, min(start + _BATCH, seed + count))
            yield np.stack([_fitted(draw_outlier(kind, each), card) for each in seeds])
            tell(f"processing {kind}", len(seeds))

    return head.features(frames())


def _fitted(picture: Frames, card: ModelCard) -> Frames:
    return preprocess(picture, card.height, card.width, card.fit)


def _spread(pictures: ImageSet, count: int) -> ImageSet:
    """At most `count` of the images, evenly spaced."""
    n = len(pictures)
    if n <= count:
        return pictures
    return replace(
        pictures, pictures=tuple(pictures.pictures[i * n // count] for i in range(count))
    )


def _is_half(path: Path) -> bool:
    """Whether a checkpoint's weights are float16."""
    with native_path(path) as name, safe_open(name, "pt") as file:
        return any(file.get_slice(key).get_dtype() == "F16" for key in file.keys())  # noqa: SIM118
