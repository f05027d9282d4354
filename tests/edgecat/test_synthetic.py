from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecat.data.folder import scan
from edgecat.pets.bodies import POSES
from edgecat.pets.coats import Dice
from edgecat.pets.exposure import occlude
from edgecat.pets.synthetic import LABELS, draw_pet, synthetic_pets, write_pets
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import decode_image

SEEDS = range(48)
PRINT = (
    "import hashlib; from edgecat.pets.synthetic import synthetic_pets;"
    "print(hashlib.sha256(synthetic_pets(6, 3, 48)[0].tobytes()).hexdigest())"
)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]]:
    """Cat and dog, each with its mask, in the scene of each seed."""
    return [(draw_pet(seed, 0, 64), draw_pet(seed, 1, 64)) for seed in SEEDS]


@pytest.mark.parametrize("size", [16, 31, 64, 128, 224])
@pytest.mark.parametrize("species", [0, 1])
def test_a_picture_and_its_mask(species: int, size: int) -> None:
    picture, mask = draw_pet(5, species, size)
    assert (picture.shape, picture.dtype) == ((size, size, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((size, size), np.uint8)
    assert set(np.unique(mask)) == {0, 255}


def test_the_same_bytes_in_every_process() -> None:
    here = hashlib.sha256(synthetic_pets(6, 3, 48)[0].tobytes()).hexdigest()
    draw_pet(99, 1, 96)
    assert hashlib.sha256(synthetic_pets(6, 3, 48)[0].tobytes()).hexdigest() == here
    fresh = subprocess.run(
        [sys.executable, "-c", PRINT], capture_output=True, text=True, check=True
    )
    assert fresh.stdout.strip() == here


def test_every_seed_is_another_picture(pairs: list) -> None:
    drawn = [picture.tobytes() for pair in pairs for picture, _ in pair]
    assert len(set(drawn)) == len(drawn)


def test_both_species_share_the_scene(pairs: list) -> None:
    """Far from the animals the pictures of a seed are one, and the coats have the same colours."""
    far = [
        np.abs(cat.astype(int) - dog)[cv2.dilate(cat_mask | dog_mask, np.ones((25, 25))) == 0]
        for (cat, cat_mask), (dog, dog_mask) in pairs
    ]
    assert np.concatenate(far).size > 48 * 500
    assert (np.concatenate(far) > 8).mean() < 0.02
    assert not any(np.array_equal(cat_mask, dog_mask) for (_, cat_mask), (_, dog_mask) in pairs)
    colours = np.array([[p[m > 0].mean(0) for p, m in pair] for pair in pairs])
    assert np.abs(colours[:, 0] - colours[:, 1]).mean() < 12


def test_the_animal_is_in_the_picture(pairs: list) -> None:
    shares = np.array([(mask > 0).mean() for pair in pairs for _, mask in pair])
    assert shares.min() > 0.03
    assert 0.2 < shares.mean() < 0.6
    assert shares.max() < 0.97


def test_the_mask_is_where_the_animal_is_seen() -> None:
    hidden = 0
    for seed in range(60):
        picture, mask = np.full((96, 96, 3), 7, np.uint8), np.full((96, 96), 255, np.uint8)
        occlude(Dice(seed, 4), picture, mask)
        covered = (picture != 7).any(2)
        assert covered[mask == 0].all()
        assert not covered[mask == 255].any()
        hidden += bool(covered.any())
    assert 10 <= hidden <= 30


@pytest.mark.parametrize("seed", range(8))
def test_size_changes_the_resolution_alone(seed: int) -> None:
    (small, small_mask), (large, large_mask) = draw_pet(seed, 1, 64), draw_pet(seed, 1, 192)
    shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
    blurred = [cv2.blur(image, (5, 5)).astype(int) for image in (small, shrunk)]
    assert np.abs(blurred[0] - blurred[1]).mean() < 8
    assert ((small_mask > 0) == (cv2.resize(large_mask, (64, 64)) > 127)).mean() > 0.96


def test_pets_are_cats_and_dogs_in_turn() -> None:
    pictures, labels = synthetic_pets(5, seed=2, size=32)
    assert (pictures.shape, pictures.dtype) == ((5, 32, 32, 3), np.uint8)
    assert labels.tolist() == [0, 1, 0, 1, 0]
    assert labels.dtype == np.int64
    for number in range(5):
        assert np.array_equal(pictures[number], draw_pet(2_000_000 + number, number % 2, 32)[0])


def test_written_pets_are_scanned(tmp_path: Path) -> None:
    folder = write_pets(tmp_path / "pets", 7, seed=4, size=48)
    pictures = scan([folder])
    assert pictures.labels == LABELS == ("cat", "dog")
    names = [f"pets/cat/00000{n}.jpg" for n in (1, 3, 5, 7)]
    names += [f"pets/dog/00000{n}.jpg" for n in (2, 4, 6)]
    assert [p.name for p in pictures.pictures] == names
    drawn, labels = synthetic_pets(7, seed=4, size=48)
    for picture in pictures.pictures:
        number = int(picture.path.stem) - 1
        decoded = decode_image(picture.read(), picture.name)
        assert labels[number] == picture.label
        assert np.abs(decoded.astype(int) - drawn[number]).mean() < 8


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda t: draw_pet(-1, 0), "the seed is -1; expected 0 or more"),
        (lambda t: draw_pet(0, 2), r"unknown species 2; expected 0 \(cat\) or 1 \(dog\)"),
        (
            lambda t: draw_pet(0, 0, pose="up"),
            "unknown pose 'up'; expected face, sitting, standing, lying",
        ),
        (lambda t: draw_pet(0, 0, 15), "the image size is 15 pixels; expected 16 or more"),
        (
            lambda t: synthetic_pets(-1),
            "the number of synthetic pets is -1; expected 0 to 1,000,000",
        ),
        (lambda t: synthetic_pets(1, seed=-1), "the seed is -1"),
        (lambda t: synthetic_pets(0, size=2), "the image size is 2 pixels"),
        (lambda t: write_pets(t, 1_000_001), "the number of synthetic pets is 1000001; expected"),
        (lambda t: write_pets(Path(__file__), 1), "cannot write .*a parent of the path is a file"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, call, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        call(tmp_path)


def test_every_pose_is_drawn_for_both_species() -> None:
    for species in (0, 1):
        posed = [[draw_pet(seed, species, 32, pose=pose)[0] for pose in POSES] for seed in SEEDS]
        free = [draw_pet(seed, species, 32)[0] for seed in SEEDS]
        shown = [
            [np.array_equal(p, one) for p in each] for each, one in zip(posed, free, strict=True)
        ]
        assert np.sum(shown, 1).tolist() == [1] * len(free), "each is one of the poses"
        assert all(np.any(shown, 0)), "and each pose is one of them"


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("kind", ["pixels", "colours"])
def test_pixels_and_colours_say_little(kind: str, drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """The small form of the bars that `benchmarks/synthetic.py` measures on 10,000 pictures."""
    from sklearn.linear_model import LogisticRegression

    pictures, labels = drawn
    if kind == "pixels":
        features = pictures.reshape(len(pictures), -1) / 64.0
    else:
        features = np.array([_histogram(picture) for picture in pictures])
    model = LogisticRegression(C=1e-2 if kind == "colours" else 1e-4, max_iter=30, tol=1e-2)
    model.fit(features[:700], labels[:700])
    assert model.score(features[700:], labels[700:]) < 0.75


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    return synthetic_pets(1000, seed=11, size=32)


def _histogram(picture: np.ndarray) -> np.ndarray:
    counts = cv2.calcHist([picture], [0, 1, 2], None, [6, 6, 6], [0, 256] * 3)
    return np.sqrt(counts.ravel())
