"""Labels and statuses are different things, and no class is named as a status is."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from edgecat_runtime import Classifier, Signal, StatusEvent
from edgecat_runtime.camera import frames
from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.status import RESERVED, Status, check_class_names, displayed

ROOT = Path(__file__).parents[2]
HOUSES = ("runtime/edgecat_runtime", "export/edgecat_export", "edgecat")
WORDS = {status.value for status in Status}

Answering = Callable[..., Answer]


def test_words_on_the_wire_are_what_they_were() -> None:
    assert json.dumps(list(Status)) == (
        '["waiting", "live", "no signal", "unsure", "ended", "stopped"]'
    )
    assert f"{Status.NO_SIGNAL} {Status.LIVE!s}" == "no signal live"
    assert Status.NO_SIGNAL == "no signal", "programs compare camera.state with words"


@pytest.mark.parametrize(
    ("label", "status", "word"),
    [("cat", Status.LIVE, "cat"), (None, Status.UNSURE, "unsure"), ("", Status.LIVE, "")],
)
def test_what_is_displayed(label: str | None, status: Status, word: str) -> None:
    assert displayed(label, status) == word


def test_every_status_that_stands_for_a_label_is_reserved() -> None:
    shown = {*frames._AFTER.values(), Status.UNSURE}
    assert shown == set(RESERVED)


def test_the_former_name_of_the_event_stays() -> None:
    assert Signal is StatusEvent


@pytest.mark.parametrize("word", [status.value for status in RESERVED])
def test_reserved_words_are_refused(word: str) -> None:
    with pytest.raises(UserError) as caught:
        check_class_names(["cat", word], "Rename its folder")
    assert str(caught.value) == (
        f"a class is named {word!r}; expected any name but waiting, no signal, unsure, stopped, "
        "which are shown where there is no label. Rename its folder"
    )


@pytest.mark.parametrize("name", ["live", "ended", "Unsure", "un sure", "no_signal", ""])
def test_other_words_are_not(name: str) -> None:
    check_class_names(["cat", name])


@pytest.fixture
def unsure_class(tiny_onnx: Path, tmp_path: Path) -> Path:
    """A model, written before there were reserved words, with a class named `unsure`."""
    card = replace(read_card(tiny_onnx), labels=("cat", "unsure"))
    model = onnx.load(tiny_onnx)
    for entry in model.metadata_props:
        if entry.value.startswith("{"):
            entry.value = card.to_json()
    path = tmp_path / "old.onnx"
    onnx.save(model, path)
    return path


def test_a_model_with_such_a_class_is_served_under_other_names(unsure_class: Path) -> None:
    assert read_card(unsure_class).labels == ("cat", "unsure"), "inspect still reads it"
    for verify in (True, False):
        with pytest.raises(UserError, match=r"named 'unsure'.*labels file \(--labels\)"):
            Classifier.open(unsure_class, verify=verify)
    Classifier.open(unsure_class, labels=["cat", "neither"]).close()


def test_labels_that_are_given_are_checked(tiny_onnx: Path) -> None:
    with pytest.raises(UserError, match="a class is named 'waiting'"):
        Classifier.open(tiny_onnx, labels=["cat", "waiting"])


def compared_words(text: str) -> list[str]:
    """Words for a status that code compares something with."""
    return [
        operand.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Compare)
        for operand in (node.left, *node.comparators)
        if isinstance(operand, ast.Constant) and operand.value in WORDS
    ]


def test_no_code_compares_anything_with_the_word_for_a_status() -> None:
    assert compared_words("label == 'unsure' or 'live' != state") == ["unsure", "live"]
    paths = [path for house in HOUSES for path in (ROOT / house).rglob("*.py")]
    assert len(paths) > 250
    found = {path: compared_words(path.read_text(encoding="utf-8")) for path in paths}
    assert {str(path): words for path, words in found.items() if words} == {}


def test_a_class_named_as_a_state_of_the_camera_is_a_label(
    tiny_onnx: Path, answer: Answering
) -> None:
    """Face checks have a class `live`; it is never taken for the camera's status."""
    with Classifier.open(tiny_onnx, labels=["live", "spoof"]) as classifier:
        assert classifier.labels == ("live", "spoof")
    given = replace(answer(label="cat"), previous_label="live", previous_status=Status.LIVE)
    assert (given.before, given.smoothed.unsure) == ("live", False)
