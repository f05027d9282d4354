"""Model cards inside files: read and written without the onnx or safetensors packages.

An ONNX file is a protobuf message, and concatenated protobuf messages merge: the card is appended
as the last `metadata_props` entry (field 14 of `ModelProto`), so every byte before it is payload. A
safetensors file has a JSON header with room for metadata: its payload is the tensors' names, types
and shapes (canonical JSON) followed by the data section. An engine carries its card as
the network's name (`engine_card.py`); its golden frames are the integrity check.

Sources: onnx.proto3; the safetensors format description.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from edgecat_runtime.model.card import (
    CardDamaged,
    CardError,
    CardMissing,
    ModelCard,
    labels_from_json,
)
from edgecat_runtime.model.engine_card import read_plan
from edgecat_runtime.model.expansion import check_expansion
from edgecat_runtime.model.inflation import check_sizes
from edgecat_runtime.model.protobuf import delimited, fields
from edgecat_runtime.model.signature import SIGNATURE_SUFFIX, signed_message, stored_signature
from edgecat_runtime.model.structure import check_input, check_structure
from edgecat_runtime.model.torch_files import torch_advice
from edgecat_runtime.model.trust import trusted

KEY = "edgecat"
LABELS_KEY = "edgecat.labels"
SIGNATURE_KEY = "edgecat.signature"
MODEL_SUFFIXES = (".onnx", ".safetensors", ".trt", ".rtx")
_KEYS = (KEY, LABELS_KEY, SIGNATURE_KEY)
# Fields of ONNX's message `ModelProto`.
_GRAPH, _METADATA_PROPS = 7, 14
_CHUNK = 1 << 20
_HEADER_LIMIT = 10_000_000
_SIGNATURE_LIMIT = 4000


class Stored(NamedTuple):
    """What a file says about itself.

    Attributes:
        card: its card, checked.
        text: the card exactly as stored: what a signature is of.
        signature: the signature's JSON, if any, unchecked.
    """

    card: ModelCard
    text: str
    signature: str | None = None


def read_card(path: str | PathLike[str], *, trust: str | PathLike[str] | None = None) -> ModelCard:
    """Read and check the card inside a `.onnx`, `.safetensors`, `.trt` or `.rtx` file.

    Args:
        path: the artifact.
        trust: a file of the public keys whose models are accepted; None: that of the environment
            variable EDGECAT_TRUST, otherwise every model is.

    Returns:
        The card. The payload's length and SHA-256 have been verified.

    Raises:
        CardError: the file does not exist, has an unknown format or has no card.
        CardDamaged: the file or its card was modified after it was written.
        NotTrusted: signatures are required, and this file has none by a trusted key.
    """
    path = Path(path)
    stored = read_stored(path)
    signature = stored_signature(path, stored.signature)
    if (required := trusted(trust)) is not None:
        required.check(str(path), stored.card, signed_message(path, stored.text), signature)
    return stored.card


def read_stored(path: Path) -> Stored:
    """Read and check the card; raises as `read_card`."""
    if path.suffix not in MODEL_SUFFIXES:
        known = f"{', '.join(MODEL_SUFFIXES[:-1])} or {MODEL_SUFFIXES[-1]}"
        raise CardError(f"{path} is not a model; expected a {known} file{torch_advice(path)}")
    if not path.is_file():
        raise CardError(f"{path} does not exist or is not a file. Check the path")
    with path.open("rb") as file:
        read = {".onnx": _read_onnx, ".safetensors": _read_safetensors}
        return read.get(path.suffix, _read_engine)(file, path)


def seal_onnx(payload: bytes, card: ModelCard) -> bytes:
    """Append `card` to an ONNX model.

    Args:
        payload: a serialised `ModelProto`; entries under edgecat's keys are dropped first.
        card: its card; the payload's length and hash are filled in.

    Returns:
        The bytes of the sealed file.

    Raises:
        CardError: `payload` is not an ONNX model, or the card is too large.
    """
    try:
        entries = list(fields(payload))
    except ValueError as error:
        raise CardError(f"these bytes are not an ONNX model: {error}") from error
    if not any(number == _GRAPH for number, *_ in entries):
        raise CardError("these bytes are not an ONNX model: they contain no graph")
    check_structure(payload, "the model")
    check_sizes(payload, "the model")
    check_expansion(payload, "the model")
    card.check()
    view = memoryview(payload)
    kept: list[bytes | memoryview] = [
        view[start:end]
        for number, start, body, end in entries
        if number != _METADATA_PROPS or _entry(payload[body:end])[0] not in _KEYS
    ]
    if not card.fits:
        kept.append(metadata_field(LABELS_KEY, json.dumps(card.labels, ensure_ascii=False)))
    hashed = hashlib.sha256()
    for part in kept:
        hashed.update(part)
    size = sum(len(part) for part in kept)
    card = replace(card, payload_bytes=size, payload_sha256=hashed.hexdigest())
    return b"".join([*kept, metadata_field(KEY, card.to_json(labels=card.fits))])


def seal_safetensors(payload: bytes, card: ModelCard) -> bytes:
    """Put `card` into the metadata of a safetensors file.

    Args:
        payload: the bytes from `safetensors.torch.save(state_dict)`.
        card: its card; the payload's length and hash are filled in.

    Returns:
        The bytes of the sealed file.

    Raises:
        CardError: `payload` is not a safetensors file, or the card is too large.
    """
    header, start = header_of(payload, "these bytes")
    header.pop("__metadata__", None)
    card.check()
    hashed = hashlib.sha256(_canonical(header))
    hashed.update(memoryview(payload)[start:])
    card = replace(card, payload_bytes=len(payload) - start, payload_sha256=hashed.hexdigest())
    labels = None if card.fits else json.dumps(card.labels, ensure_ascii=False)
    return sealed_header(header, card.to_json(labels=card.fits), labels) + payload[start:]


def sealed_header(
    tensors: dict[str, Any], card: str, labels: str | None, signature: str | None = None
) -> bytes:
    """The beginning of a safetensors file that holds a card."""
    extra = {LABELS_KEY: labels, SIGNATURE_KEY: signature}
    metadata = {"format": "pt", KEY: card} | {k: v for k, v in extra.items() if v is not None}
    text = json.dumps({"__metadata__": metadata, **tensors}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _read_onnx(file: BinaryIO, path: Path) -> Stored:
    cards, labels, signature = [], None, None
    graph = False
    try:
        for number, start, body, end in fields(file):
            graph = graph or number == _GRAPH
            if number == _METADATA_PROPS:
                file.seek(body)
                key, value = _entry(file.read(end - body))
                cards += [(start, end, value)] if key == KEY else []
                labels = labels_from_json(value) if key == LABELS_KEY else labels
                signature = (start, end, value) if key == SIGNATURE_KEY else signature
    except ValueError as error:
        raise CardError(_not_whole(path, "an ONNX model")) from error
    if not graph:
        raise CardError(_not_whole(path, "an ONNX model"))
    if not cards:
        raise CardMissing(_no_card(path))
    start, end, text = cards[-1]
    size = file.seek(0, 2)
    after = end if signature is None else signature[1]
    if len(cards) > 1 or after != size or (signature is not None and signature[0] != end):
        raise CardDamaged(_changed(path))
    card = ModelCard.from_json(text, labels=labels)
    file.seek(0)
    _check_payload(file, start, hashlib.sha256(), card, path)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as model:
        check_structure(model, str(path))
        check_sizes(model, str(path))
        check_expansion(model, str(path))
        check_input(model, card, str(path))
    return Stored(card, text, signature and signature[2])


def _read_engine(file: BinaryIO, path: Path) -> Stored:
    card = read_plan(file, path)
    beside = path.with_name(path.name + SIGNATURE_SUFFIX)
    signature = None
    if beside.is_file():
        with beside.open("rb") as other:
            signature = other.read(_SIGNATURE_LIMIT).decode(errors="replace").strip()
    return Stored(card, card.to_json(labels=card.fits), signature)


def _read_safetensors(file: BinaryIO, path: Path) -> Stored:
    size = file.seek(0, 2)
    file.seek(0)
    prefix = file.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
    if length > min(size - 8, _HEADER_LIMIT):
        raise CardError(_not_whole(path, "a safetensors file"))
    data = prefix + file.read(length)
    header, start = header_of(data, str(path))
    metadata = header.pop("__metadata__", {})
    if KEY not in metadata:
        raise CardMissing(_no_card(path))
    labels, signature = metadata.get(LABELS_KEY), metadata.get(SIGNATURE_KEY)
    if data != sealed_header(header, metadata[KEY], labels, signature):
        raise CardDamaged(_changed(path))
    names = labels_from_json(labels) if labels is not None else None
    card = ModelCard.from_json(metadata[KEY], labels=names)
    _check_payload(file, size - start, hashlib.sha256(_canonical(header)), card, path)
    return Stored(card, metadata[KEY], signature)


def _check_payload(file: BinaryIO, count: int, hashed: Any, card: ModelCard, path: Path) -> None:
    remaining = count
    while remaining and (chunk := file.read(min(_CHUNK, remaining))):
        hashed.update(chunk)
        remaining -= len(chunk)
    if count != card.payload_bytes or hashed.hexdigest() != card.payload_sha256:
        raise CardDamaged(_changed(path))


def header_of(data: bytes, name: str) -> tuple[dict[str, Any], int]:
    """A safetensors file's header, and where its data begins; raises CardError."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
    except (struct.error, ValueError, OverflowError, RecursionError) as error:
        raise CardError(_not_whole(name, "a safetensors file")) from error
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
        raise CardError(_not_whole(name, "a safetensors file"))
    return header, 8 + length


def _canonical(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()


def _entry(body: bytes) -> tuple[str, str]:
    """Key and value of a `StringStringEntryProto`."""
    parts = {number: body[start:end].decode() for number, _, start, end in fields(body)}
    return parts.get(1, ""), parts.get(2, "")


def metadata_field(key: str, value: str) -> bytes:
    """A `metadata_props` entry of an ONNX file, encoded."""
    body = delimited(1, key.encode()) + delimited(2, value.encode())
    return delimited(_METADATA_PROPS, body)


def _not_whole(path: Path | str, kind: str) -> str:
    return f"{path} is not {kind}, or is truncated. {_again(kind)}"


def _no_card(path: Path) -> str:
    if path.suffix == ".onnx":
        return (
            f"{path} has no model card. If it is another tool's classifier, describe it: edgecat "
            f"export {path} --labels labels.txt --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 "
            "--size 224"
        )
    return (
        f"{path} has no model card. Use a checkpoint written by edgecat train or "
        "an ONNX file written by edgecat export"
    )


def _changed(path: Path) -> str:
    again = _again(path.suffix)
    return f"{path} was modified after it was written: its hash does not match. {again}"


def _again(kind: str) -> str:
    """How to restore a damaged file: train a checkpoint again, export anything else."""
    return f"Copy it again or {'train' if 'safetensors' in kind else 'export'} it again"
