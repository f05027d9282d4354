from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from edgecat_runtime.model.card import MAX_BYTES, SCHEMA, CardDamaged, CardError, ModelCard

CARD = ModelCard(
    architecture="vgg16",
    labels=("cat", "dog"),
    height=64,
    width=48,
    layers=(32, "M", 64),
    golden=((0.1, -0.25),) * 4,
    tools={"torch": "2.13.0"},
)


def _rewritten(card: ModelCard, **changes: object) -> str:
    return json.dumps({**json.loads(card.to_json()), **changes})


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


def test_a_card_from_before_a_field_was_added_still_reads() -> None:
    values = CARD.to_dict()
    for name in ("digest", "energy_limit", "activation"):
        del values[name]
    canonical = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    values["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    assert ModelCard.from_json(json.dumps(values)) == CARD


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("no json", CardDamaged, "it is no JSON"),
        ("[1]", CardDamaged, "it is no JSON object"),
        (_rewritten(CARD, schema=SCHEMA + 1), CardError, f"schema {SCHEMA + 1}.*Upgrade"),
        (_rewritten(CARD, labels=["dog", "cat"]), CardDamaged, "digest does not match"),
        (_rewritten(CARD, height=65), CardDamaged, "digest does not match"),
        (_rewritten(CARD, digest="0" * 64), CardDamaged, "digest does not match"),
        (replace(CARD, precision="fp8").to_json(), CardError, "precision is 'fp8'; expected one"),  # type: ignore[arg-type]
        (replace(CARD, labels=("cat",)).to_json(), CardError, "1 labels; its golden.* 2 classes"),
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
    with pytest.raises(CardDamaged, match="not the ones it counted"):
        ModelCard.from_json(text, labels=(*labels[:-1], "another"))


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
    with pytest.raises(CardError, match="got 1 labels; the model has 2 classes"):
        CARD.with_labels(labels)
