"""Mutated model files for `fuzz.py`: damaged as they are, or changed and sealed again.

Everything is drawn from the seed and the number of the file, so one file can be made again.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecat_runtime.backends import open_backend
from edgecat_runtime.doctor.tiny import SIDE, tiny_graph
from edgecat_runtime.model.artifact import KEY, seal_onnx, seal_safetensors
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.engine_card import UNSEALED, sealed_plan
from edgecat_runtime.model.golden import golden_frames, golden_rows, preprocess_fingerprint
from edgecat_runtime.model.protobuf import delimited, fields

# Submessages of onnx.proto3, by the field numbers of each message.
CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "leaf"},
    "graph": {1: "node", 5: "leaf", 11: "value", 12: "value", 13: "value"},
    "node": {5: "attribute"},
    "attribute": {5: "leaf", 6: "graph"},
    "value": {2: "type"},
    "type": {1: "tensor type"},
    "tensor type": {2: "shape"},
    "shape": {1: "leaf"},
    "leaf": {},
}
INTEGERS = [0, 1, 2, 3, 7, 16, 127, 255, 65_535, 2**31 - 1, 2**31, 2**32, 2**40, 2**63, 2**64 - 1]
VALUES: list[Any] = [
    *(0, -1, 1, 2, 0.5, -0.0, 1e-308, 1e308, 2**31, 2**63, 10**400, True, False, None, [], {}),
    *(float("nan"), float("inf"), "", "x", "x" * 5000, "\x1b[2J", "<script>", "a\nb", "../../a"),
    *(["cat", "cat"], ["dog"], ["a", 1], [[1.0]], [[]], {"count": 3 * 10**8}, {"a": {"b": {}}}),
    *([float("nan")] * 3, ["x"] * 300_000, "\ud800", [[float("inf")] * 3] * 4),
]
KINDS = ("onnx, damaged", "onnx, resealed", "onnx, card", "safetensors", "engine")


@dataclass(frozen=True)
class Model:
    """An intact file.

    Attributes:
        suffix: of its name.
        payload: its bytes without the card.
        card: its card, sealed.
        data: the whole file.
    """

    suffix: str
    payload: bytes
    card: ModelCard
    data: bytes


@dataclass(frozen=True)
class Mutant:
    """A mutated file.

    Attributes:
        number: its number.
        kind: one of `KINDS`.
        how: what was done, in words.
        suffix: of its name.
        data: its bytes.
    """

    number: int
    kind: str
    how: str
    suffix: str
    data: bytes


def intact_models(folder: Path) -> dict[str, Model]:
    """A tiny network as an ONNX file, a checkpoint and an engine's bytes, by suffix.

    Args:
        folder: for a file that is needed to compute its golden logits.
    """
    card = ModelCard(
        architecture="tiny",
        labels=("blue", "green", "red"),
        height=SIDE,
        width=SIDE,
        preprocess_golden=preprocess_fingerprint(SIDE, SIDE, "crop"),
    )
    path = folder / "payload.onnx"
    path.write_bytes(tiny_graph())
    backend = open_backend(path, card, name="onnxruntime", device="cpu", threads=1)
    card = replace(card, golden=golden_rows(backend.infer(golden_frames(SIDE, SIDE))))
    backend.close()
    onnx = _model(".onnx", tiny_graph(), card, seal_onnx)
    checkpoint = _model(".safetensors", _tensors(), card, seal_safetensors)
    text = replace(card, payload_sha256=UNSEALED).to_json().encode()
    noise = np.random.default_rng(0).bytes(2000)
    plan = sealed_plan(b"ftrt" + noise[:1000] + text + noise[1000:])
    engine = Model(".trt", noise, card, bytes(plan))
    return {model.suffix: model for model in (onnx, checkpoint, engine)}


def mutant(models: dict[str, Model], seed: int, number: int) -> Mutant:
    """Draw one file."""
    rng = random.Random(f"{seed}-{number}")
    kind = KINDS[number % len(KINDS)]
    makers: dict[str, tuple[str, Callable[[random.Random, Model], tuple[str, bytes]]]] = {
        "onnx, damaged": (".onnx", lambda rng, model: damaged(rng, model.data)),
        "onnx, resealed": (".onnx", _resealed_onnx),
        "onnx, card": (".onnx", _resealed_card),
        "safetensors": (".safetensors", _checkpoint),
        "engine": (".trt", _engine),
    }
    suffix, make = makers[kind]
    how, data = make(rng, models[suffix])
    return Mutant(number, kind, how, suffix, data)


def damaged(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """Damage bytes wherever they are."""
    how = rng.choice(("bit", "cut", "overwritten", "zeroed", "inserted", "repeated", "appended"))
    at, length = rng.randrange(len(data)), rng.randint(1, 64)
    noise = rng.randbytes(length)
    changed = bytearray(data)
    if how == "bit":
        for _ in range(rng.choice((1, 1, 1, 8))):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del changed[at:]
    elif how in ("overwritten", "zeroed"):
        changed[at : at + length] = noise if how == "overwritten" else bytes(length)
    elif how == "appended":
        changed += noise
    else:
        changed[at:at] = noise if how == "inserted" else data[at : at + length]
    return how, bytes(changed)


def seal(payload: bytes, values: dict[str, Any]) -> bytes:
    """Append a card without checking it, its hashes right."""
    whole = {
        **values,
        "payload_bytes": len(payload),
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
    }
    text = card_text(whole)
    return payload + delimited(14, delimited(1, KEY.encode()) + delimited(2, text))


def card_text(values: dict[str, Any]) -> bytes:
    """A card as JSON, with its digest."""
    plain = {key: value for key, value in values.items() if key != "digest"}
    canonical = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()
    text = json.dumps({**plain, "digest": digest}, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="surrogatepass")


def _model(
    suffix: str, payload: bytes, card: ModelCard, sealed: Callable[[bytes, ModelCard], bytes]
) -> Model:
    return Model(suffix, payload, card, sealed(payload, card))


def _tensors() -> bytes:
    """A safetensors file of two tensors."""
    values = np.arange(96, dtype=np.float32).tobytes()
    header = {
        "dense.weight": {"dtype": "F32", "shape": [3, 24], "data_offsets": [0, 288]},
        "dense.bias": {"dtype": "F32", "shape": [24], "data_offsets": [288, 384]},
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + values


def _resealed_onnx(rng: random.Random, model: Model) -> tuple[str, bytes]:
    if rng.random() < 0.2:
        how, payload = damaged(rng, model.payload)
    elif rng.random() < 0.1:
        depth = rng.choice((10, 30, 300, 3000))
        how, payload = f"nested {depth} deep", model.payload + _nested(depth)
    else:
        tree = _parsed("model", model.payload, 0, len(model.payload))
        how = _mutate(rng, tree)
        payload = _encoded(tree)
    return how, seal(payload, model.card.to_dict())


def _resealed_card(rng: random.Random, model: Model) -> tuple[str, bytes]:
    how, values = _changed_card(rng, model.card)
    return how, seal(model.payload, values)


def _changed_card(rng: random.Random, card: ModelCard) -> tuple[str, dict[str, Any]]:
    values = card.to_dict()
    name = rng.choice(sorted(values))
    if rng.random() < 0.1:
        del values[name]
        return f"without {name}", values
    if rng.random() < 0.1:
        depth = rng.choice((10, 100, 900))
        nested: Any = []
        for _ in range(depth):
            nested = [nested]
        values[name] = nested
        return f"{name} nested {depth} deep", values
    value = rng.choice(VALUES)
    if isinstance(values[name], list) and values[name] and rng.random() < 0.5:
        values[name][rng.randrange(len(values[name]))] = value
        return f"a part of {name} is {str(value)[:30]!r}", values
    values[name] = value
    return f"{name} is {str(value)[:30]!r}", values


def _checkpoint(rng: random.Random, model: Model) -> tuple[str, bytes]:
    if rng.random() < 0.4:
        return damaged(rng, model.data)
    (length,) = struct.unpack_from("<Q", model.payload)
    header = json.loads(model.payload[8 : 8 + length])
    body = model.payload[8 + length :]
    values, how = model.card.to_dict(), "card as it was"
    if rng.random() < 0.5:
        how, values = _changed_card(rng, model.card)
    else:
        tensor = header[rng.choice(sorted(header))]
        field = rng.choice(sorted(tensor))
        tensor[field] = rng.choice([*VALUES, [2**63, 2], [0, 10**9], [-1, 4]])
        how = f"{field} is {str(tensor[field])[:30]!r}"
    hashed = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
    hashed.update(body)
    values |= {"payload_bytes": len(body), "payload_sha256": hashed.hexdigest()}
    metadata = {"format": "pt", KEY: card_text(values).decode(errors="surrogatepass")}
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return how, struct.pack("<Q", len(text)) + text + body


def _engine(rng: random.Random, model: Model) -> tuple[str, bytes]:
    if rng.random() < 0.4:
        return damaged(rng, model.data)
    if rng.random() < 0.1:
        return "many beginnings of a card", b'{"architecture":' * rng.choice((10, 10**5))
    how, values = _changed_card(rng, model.card)
    before, after = b"ftrt" + model.payload[:1000], model.payload[1000:]
    values["payload_sha256"] = hashlib.sha256(before + after).hexdigest()
    return how, before + card_text(values) + after


# Protobuf messages as lists [number, wire type, value], where a value is a number or bytes, or the
# list of a submessage.


def _parsed(kind: str, data: bytes, start: int, end: int) -> list[list[Any]]:
    found: list[list[Any]] = []
    for number, tag, body, stop in fields(data, start, end):
        wire = data[tag] & 7
        child = CHILDREN[kind].get(number)
        value: Any = data[body:stop]
        if wire == 0:
            value = _number(value)
        elif wire == 2 and child:
            value = _parsed(child, data, body, stop)
        found.append([number, wire, value])
    return found


def _encoded(tree: list[list[Any]]) -> bytes:
    parts = []
    for number, wire, value in tree:
        body = _encoded(value) if isinstance(value, list) else value
        if isinstance(body, int):
            parts.append(_varint(number << 3) + _varint(body))
        elif wire == 2:
            parts.append(delimited(number, body))
        else:
            parts.append(_varint(number << 3 | wire) + body)
    return b"".join(parts)


def _mutate(rng: random.Random, tree: list[list[Any]]) -> str:
    """Change one field somewhere in a message, and say how."""
    message, index = rng.choice(list(_places(tree)))
    field = message[index]
    how = rng.choice(("value", "value", "value", "gone", "twice", "number", "swapped"))
    if how == "gone":
        del message[index]
    elif how == "twice":
        message.insert(rng.randrange(len(message) + 1), field)
    elif how == "number":
        field[0] = rng.randint(1, 30)
    elif how == "swapped":
        other = rng.randrange(len(message))
        message[index], message[other] = message[other], field
    elif isinstance(field[2], int):
        field[2] = rng.choice(INTEGERS)
    elif isinstance(field[2], bytes) and field[2]:
        field[2] = damaged(rng, field[2])[1]
        if field[1] != 2:
            field[2] = field[2][:8].ljust(8 if field[1] == 1 else 4, b"\0")
    return f"field {field[0]}: {how}"


def _places(tree: list[list[Any]]) -> Iterator[tuple[list[list[Any]], int]]:
    for index, field in enumerate(tree):
        yield tree, index
        if isinstance(field[2], list):
            yield from _places(field[2])


def _nested(depth: int) -> bytes:
    """A graph with a node that has a graph as attribute, and so on."""
    graph = b""
    for _ in range(depth):
        graph = delimited(1, delimited(5, delimited(6, graph)))
    return delimited(7, graph)


def _number(data: bytes) -> int:
    return sum((byte & 127) << 7 * place for place, byte in enumerate(data))


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
