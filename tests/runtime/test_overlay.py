from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edgecat_runtime.outputs import overlay
from edgecat_runtime.outputs.overlay import SURE, UNSURE, draw_overlay, legible

SIZES = [(200, 200), (720, 1280), (1280, 720), (120, 160), (32, 32), (5, 400), (1, 1)]
LABELS = ["cat", "Kätzchen", "кошка", "猫", "a\nb\tc", "", "🐈", "x" * 300]


def _drawn(height: int, width: int, label: str = "cat", confidence: float = 0.9) -> np.ndarray:
    image = np.full((height, width, 3), 128, np.uint8)
    draw_overlay(image, label, confidence, 24.8)
    return image


def _letters(image: np.ndarray) -> np.ndarray:
    """Where text is in the bar: brighter than it, in no colour of the confidence line."""
    bar = max(22, round(min(image.shape[:2]) * 0.075))
    band = image[-bar:].astype(int)
    return (band.min(axis=2) > 100) & (np.ptp(band, axis=2) < 10)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("size", SIZES)
def test_any_label_is_drawn_on_any_frame(size: tuple[int, int], label: str) -> None:
    image = _drawn(*size, label=label)
    bar = max(22, round(min(size) * 0.075))
    assert (image[: max(0, size[0] - bar)] == 128).all(), "the picture above the bar is untouched"
    assert (image[-1, : max(1, size[1] // 2)] == SURE).all(), "the line shows the confidence"


@pytest.mark.parametrize(
    ("size", "smallest"), [((200, 200), 9), ((720, 1280), 25), ((120, 160), 9)]
)
def test_text_is_legible(size: tuple[int, int], smallest: int) -> None:
    band = _letters(_drawn(*size))
    rows = np.flatnonzero(band[:, : size[1] // 2].any(axis=1))
    assert rows[-1] - rows[0] + 1 >= smallest, "letters are high enough to read"
    assert band.any(axis=0)[: size[1] // 3].any(), "the label is at the left"
    if size[1] >= 200:
        assert band.any(axis=0)[-size[1] // 4 :].any(), "the frame rate is at the right"


@pytest.mark.parametrize(
    ("confidence", "color", "reach"),
    [(1.0, SURE, 400), (0.75, SURE, 300), (0.5, UNSURE, 200), (0.0, None, 0), (7.0, SURE, 400)],
)
def test_the_line_is_as_long_as_the_confidence(
    confidence: float, color: tuple[int, int, int] | None, reach: int
) -> None:
    row = _drawn(300, 400, confidence=confidence)[-1]
    assert (row == (color or (32, 32, 32)))[: reach or None].all()
    assert (row[reach:] == 32).all()


def test_a_long_label_is_cut_and_the_confidence_stays() -> None:
    short, long = _drawn(200, 200, ""), _drawn(200, 200, "American Staffordshire terrier, pit bull")
    assert _letters(long).sum() > 1.3 * _letters(short).sum()
    assert not _letters(long)[:, :3].any()
    assert not _letters(long)[:, -3:].any(), "nothing is cut by the frame's edge"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("cat", "cat"),
        ("Kätzchen", "Katzchen"),
        ("Łódź", "Lodz"),
        ("Straße", "Strasse"),
        ("Ægir, smørbrød", "AEgir, smorbrod"),
        ("猫 cat", "? cat"),
        ("a\nb", "a b"),
    ],
)
def test_opencv_4_gets_plain_letters(
    text: str, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(cv2, "FontFace", raising=False)
    assert legible(text) == plain


@pytest.mark.skipif(not hasattr(cv2, "FontFace"), reason="this OpenCV draws no Unicode")
def test_opencv_5_gets_the_text_itself() -> None:
    assert legible("Kätzchen 猫\n") == "Kätzchen 猫 "
    assert (_drawn(200, 200, "猫") != _drawn(200, 200, "犬")).any()


def test_it_costs_a_fraction_of_encoding_the_frame() -> None:
    """Compare the minimum of many runs of each; typically a twentieth (0.09 and 1.8 ms)."""
    image = np.full((720, 1280, 3), 128, np.uint8)

    def cost(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    turns = [
        (
            cost(lambda: draw_overlay(image, "cat", 0.9, 24.8)),
            cost(lambda: cv2.imencode(".jpg", image)),
        )
        for _ in range(100)
    ]
    drawn, encoded = (min(column) for column in zip(*turns, strict=True))
    assert drawn < encoded / 5


def test_colours_are_told_apart_at_the_threshold() -> None:
    at, below = overlay.UNSURE_BELOW, overlay.UNSURE_BELOW - 0.01
    assert tuple(_drawn(100, 100, confidence=at)[-1, 0]) == SURE
    assert tuple(_drawn(100, 100, confidence=below)[-1, 0]) == UNSURE


def test_an_unsure_answer_has_no_share_beside_it() -> None:
    unsure, sure = (
        _drawn(300, 400, label="unsure", confidence=share).astype(int) for share in (0.0, 0.01)
    )
    assert (_drawn(300, 400, label="unsure", confidence=0.0) > 200).any(), "the word is drawn"
    assert (unsure > 200).sum() < (sure > 200).sum()
