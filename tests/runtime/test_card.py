from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import (
    MAX_BYTES,
    SCHEMA,
    CardDamaged,
    CardError,
    ModelCard,
    labels_from_json,
)
from edgecat_runtime.model.class_names import check_class_name, check_labels
from edgecat_runtime.model.prediction import predicted

CARD = ModelCard(
    architecture="vgg16",
    labels=("cat", "dog"),
    height=64,
    width=48,
    layers=(32, "M", 64),
    golden=((0.1, -0.25),) * 4,
    tools={"torch": "2.13.0"},
)


# A card with default values as edgecat 0.1 wrote it; it must stay readable.
TEXT = (
    '{"architecture":"vgg16","labels":["cat","dog"],"height":64,"width":48,"layers":[],"head":"",'
    '"batch_norm":false,"dropout":0.0,"activation":"relu","fit":"crop","mean":[0.485,0.456,0.406],'
    '"std":[0.229,0.224,0.225],"temperature":1.0,"energy_limit":null,"precision":"fp32",'
    '"golden":[],"preprocess_golden":"","accuracy":null,"accuracy_n":0,"checkpoint_sha256":"",'
    '"tools":{},"payload_bytes":0,"payload_sha256":"","schema":1,'
    '"digest":"9e271d270f589f726569a28c3feec1b6a58bede65fea67172714a2e5cb396577"}'
)


def _rewritten(card: ModelCard, **changes: object) -> str:
    return json.dumps({**json.loads(card.to_json()), **changes})


def _resealed(card: ModelCard, **changes: object) -> str:
    """Change fields (`...` removes one) and recompute the digest."""
    values = {**card.to_dict(), **changes}
    del values["digest"]
    for name in [name for name, value in values.items() if value is ...]:
        del values[name]
    canonical = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    values["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    return json.dumps(values)


@pytest.mark.parametrize(
    "card",
    [
        CARD,
        replace(CARD, labels=("고양이", "собака"), accuracy=0.97, accuracy_n=2500),
        replace(CARD, temperature=1.3, energy_limit=-2.125),
        replace(CARD, golden=(), layers=(), precision="int8", fit="letterbox"),
    ],
)
def test_a_card_reads_back_as_it_was_written(card: ModelCard) -> None:
    assert ModelCard.from_json(card.to_json()) == card


def test_the_serialised_form_of_a_card_is_stable() -> None:
    card = ModelCard(architecture="vgg16", labels=("cat", "dog"), height=64, width=48)
    assert card.to_json() == TEXT
    assert ModelCard.from_json(TEXT) == card


def test_a_card_from_before_a_field_was_added_still_reads() -> None:
    assert ModelCard.from_json(_resealed(CARD, energy_limit=..., activation=...)) == CARD


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("no json", CardDamaged, "it is not valid JSON"),
        ("[1]", CardDamaged, "it is not a JSON object"),
        (_rewritten(CARD, schema=SCHEMA + 1), CardError, f"schema {SCHEMA + 1}.*Upgrade"),
        (_rewritten(CARD, labels=["dog", "cat"]), CardDamaged, "digest does not match"),
        (_rewritten(CARD, height=65), CardDamaged, "digest does not match"),
        (_rewritten(CARD, digest="0" * 64), CardDamaged, "digest does not match"),
        (_resealed(CARD, labels=2), CardError, "has no labels"),
        (_resealed(CARD, labels={"count": "2"}), CardError, "has no labels"),
        (_resealed(CARD, height=...), CardError, r"lacks \['height'\] and has unknown \[\]"),
        (_resealed(CARD, depth=3), CardError, r"lacks \[\] and has unknown \['depth'\]"),
        (_resealed(CARD, fit="squeeze"), CardError, "fit is 'squeeze'; expected one of crop"),
        (replace(CARD, precision="fp8").to_json(), CardError, "precision is 'fp8'; expected one"),  # type: ignore[arg-type]
        (replace(CARD, labels=("cat",)).to_json(), CardError, "1 label; its golden.* 2 classes"),
    ],
)
def test_a_bad_card_is_refused_in_a_sentence(
    text: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        ModelCard.from_json(text)


def test_labels_that_do_not_fit_travel_beside_the_card() -> None:
    labels = tuple(f"class number {i}" for i in range(1000))
    card = replace(CARD, labels=labels, golden=((0.5,) * 16,) * 4)
    assert not card.fits
    with pytest.raises(CardError, match=f"expected at most {MAX_BYTES}"):
        card.to_json()
    text = card.to_json(labels=False)
    assert len(text.encode()) <= MAX_BYTES
    assert ModelCard.from_json(text, labels=labels) == card
    assert ModelCard.from_json(text).labels[:3] == ("0", "1", "2")
    with pytest.raises(CardDamaged, match="do not match its hash"):
        ModelCard.from_json(text, labels=(*labels[:-1], "another"))


@pytest.mark.parametrize(("size", "fits"), [(4000, True), (4001, False)])
def test_the_size_limit_of_a_card_is_4000_bytes(size: int, fits: bool) -> None:
    room = size - len(CARD.to_json())
    card = replace(CARD, architecture=CARD.architecture + "x" * room)
    assert card.fits is fits
    if fits:
        assert len(card.to_json().encode()) == size
        return
    with pytest.raises(CardError, match="takes 4001 bytes; expected at most 4000"):
        card.to_json()


def test_bytes_are_counted_not_characters() -> None:
    card = replace(CARD, labels=tuple(f"강아지{i}" for i in range(280)), golden=())
    assert len(card.to_json(labels=False)) < MAX_BYTES
    assert len(json.dumps(card.to_dict(), ensure_ascii=False)) < MAX_BYTES < 1.4 * MAX_BYTES
    assert not card.fits


@pytest.mark.parametrize(("labels", "fits"), [(("kat", "hond"), True), (("kat",), False)])
def test_labels_can_be_renamed_but_not_recounted(labels: tuple[str, ...], fits: bool) -> None:
    if fits:
        assert CARD.with_labels(labels).labels == labels
        return
    with pytest.raises(CardError, match="got 1 label; the model has 2 classes"):
        CARD.with_labels(labels)


HUGE = 10**400


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("temperature", [0, -1, HUGE, "x", None, [1.0], True, 1e-300]),
        ("energy_limit", ["x", HUGE, -HUGE, [], {}, False]),
        ("height", [-1, 0, 2**31, 8193, 64.0, "64", None, True, HUGE]),
        ("width", [-1, 0, 2**31, [48]]),
        (
            "labels",
            [[], ["cat", "cat"], ["cat", 1], ["", "dog"], "catdog", None, {"count": 3 * 10**8}],
        ),
        (
            "labels",
            [["cat", name] for name in ("a/b", "..", "\x1b[31mdog", "d\nog")],
        ),
        (
            "labels",
            [["cat", name] for name in ("\u202edog", "\u2028", "x" * 256)],
        ),
        (
            "labels",
            [
                {"count": True},
                {"count": 0},
                {"count": -2},
                {"count": 2.0},
                ["caf\u00e9", "cafe\u0301"],
            ],
        ),
        ("golden", [3, "x", [[0.1, -0.25]], [[1, "2"]] * 4, [[1, HUGE]] * 4, [[1, None]] * 4, {}]),
        ("preprocess_golden", [1, "?", "AAAA", None, "A" * 255]),
        ("tools", [[], "x", {"torch": 2}, {"torch": "\x1b[2J"}]),
        ("mean", [[0, 0], [0, 0, "0"], 0.5, [0, 0, HUGE]]),
        ("std", [[0, 1, 1], [1, 1, -1], [1, 1, 1, 1]]),
        ("layers", ["M", [0], [1.5], [[1]], [2**40], [None]]),
        ("accuracy", [1.1, -0.1, "0.9"]),
        ("accuracy_n", [-1, 0.5, "3"]),
        ("dropout", [2, "0"]),
        ("batch_norm", [0, "no"]),
        ("fit", ["squeeze", ["crop"], {}, None]),
        ("precision", ["fp8", 8, []]),
        ("architecture", ["", 3, "vgg\n16", None]),
        ("head", [1, "\x07"]),
        ("activation", [[], "a\u2029b"]),
        ("payload_bytes", [-1, "7", 1.0]),
        ("payload_sha256", ["x", 7, "0" * 63]),
        ("checkpoint_sha256", ["../x"]),
        ("schema", [0, -1, "1", None, HUGE]),
    ],
)
def test_a_field_of_the_wrong_type_or_size_is_refused(field: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(CardError) as refused:
            ModelCard.from_json(_resealed(CARD, **{field: value}))
        assert len(str(refused.value)) < 400
        assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        _resealed(CARD, temperature=float("nan")),
        _resealed(CARD, energy_limit=float("inf")),
        "[" * 15000,
        '{"a":' * 3000,
        _resealed(CARD, tools={"a": {"b": [[["deep"]]]}}),
        '{"architecture": "\\ud800"}',
        '{"height": ' + "9" * 15000 + "}",
        " " * 100_000,
    ],
    ids=["nan", "infinity", "lists", "objects", "deep", "surrogate", "digits", "long"],
)
def test_json_that_is_not_a_card_s_is_refused(text: str) -> None:
    with pytest.raises((CardError, CardDamaged)):
        ModelCard.from_json(text)


def test_an_input_of_too_many_pixels_is_refused() -> None:
    ModelCard.from_json(_resealed(CARD, height=1080, width=1920))
    with pytest.raises(CardError, match="8192x8192; expected at most 2097152 pixels"):
        ModelCard.from_json(_resealed(CARD, height=8192, width=8192))


@pytest.mark.parametrize(
    "text", ["3", "null", '"cat"', "{}", "[1]", "[" * 9000, "x", '["\\ud800"]']
)
def test_labels_beside_a_card_are_a_list_of_strings(text: str) -> None:
    with pytest.raises(CardError):
        check_labels(labels_from_json(text), "labels")


@pytest.mark.parametrize(
    "name",
    [
        "great white shark, white shark",
        "crane (bird)",
        "\ud55c\uad6d\uc5b4",
        "na\u00efve",
        "<b>",
        "50 %",
        "$x$",
        "live",
        pytest.param(r"cat$\frac{x$", marks=pytest.mark.skipif(os.name == "nt", reason="a path")),
    ],
)
def test_ordinary_class_names_are_taken(name: str) -> None:
    assert check_class_name(name, "the labels") == name


def test_new_labels_are_checked_as_those_in_a_card() -> None:
    with pytest.raises(UserError, match="classes 0 and 1 have the same name 'cat'"):
        CARD.with_labels(("cat", "cat"))
    with pytest.raises(UserError, match="is a reserved word"):
        CARD.with_labels(("cat", "waiting"))


def test_a_sigmoid_per_class_is_told_as_it_is() -> None:
    card = replace(CARD, scores="sigmoid", temperature=2.0)
    assert ModelCard.from_json(card.to_json()) == card
    assert "scores" not in CARD.to_dict()
    found = predicted(np.array([-2000, 3], np.float32), card)
    assert found.probabilities == pytest.approx({"cat": 0.0, "dog": 1 / (1 + math.exp(-1.5))})
    assert (found.label, found.confidence) == ("dog", found.probabilities["dog"])
