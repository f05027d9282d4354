"""A channel: the signed list of the models that a fleet of devices is to run.

It is a folder of static files: `manifest.json`, the models under their hashes, and every earlier
manifest. The signature is of a fixed prefix and the canonical JSON of the manifest: sorted keys, no
spaces, ASCII, integers only. `sequence` goes up with each manifest and makes an old one, however
well signed, recognisable as old.

Sources: RFC 8785 (canonical JSON), of which integers, strings and booleans need no more than this;
The Update Framework, https://theupdateframework.github.io/specification/latest/, for the attacks:
rollback, freeze, endless data, mix and match.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.fields import Fields, not_an_integer, short_integer, unique_keys
from edgecat_runtime.model.signature import Signature
from edgecat_runtime.model.signing import PrivateKey
from edgecat_runtime.model.trust import Trust

FORMAT = 1
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 1 << 20
LARGEST_MODEL = 4 << 30
FORMS = ("onnx", "trt", "rtx")
"""The kinds of model that a channel holds, by their suffix."""

_PREFIX = b"edgecat channel 1\n"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_SALT = re.compile(r"[0-9a-f]{16,64}")
_VERSION = re.compile(r"\d+(\.\d+)*|")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_HIGHEST = 1 << 53  # integers beyond are not the same in every JSON reader
_MOST_RELEASES, _MOST_TARGETS = 100, 100
_LONGEST_NOTE = 1000


class ChannelError(UserError):
    """A file is not the manifest of a channel."""


@dataclass(frozen=True)
class Target:
    """One file of a release: the ONNX model, or its engine for one kind of device.

    Attributes:
        size: in bytes.
        sha256: of the file, which is named after it.
        form: `onnx`, `trt` or `rtx`.
        precision: from its card.
        backend_version: of an engine: the TensorRT that built it, from its card.
        platform: of an engine: system and processor, likewise.
        gpu: of an engine: the GPU's name and compute capability, likewise; empty if any may do.
        signature: of an engine: the text of its `.sig` file, since its own bytes cannot hold one.
    """

    size: int
    sha256: str
    form: str
    precision: str
    backend_version: str = ""
    platform: str = ""
    gpu: str = ""
    signature: str = ""

    @property
    def file(self) -> str:
        """Where it is, relative to the manifest."""
        return f"models/{self.sha256}.{self.form}"


@dataclass(frozen=True)
class Release:
    """A version of the model.

    Attributes:
        version: from 1 on; a higher one is newer.
        created: when it was published, `2026-01-31T12:00:00Z`.
        percent: of the devices that are to take it, 0 to 100.
        salt: what decides, together with a device's id, which ones; see `rollout_position`.
        labels_sha256: of its class names in the order of the logits, see `labels_hash`.
        targets: its files; a device takes the first that suits it.
        min_edgecat: the oldest edgecat that runs it; empty: any.
        note: what a person wants to say of it.
    """

    version: int
    created: str
    percent: int
    salt: str
    labels_sha256: str
    targets: tuple[Target, ...]
    min_edgecat: str = ""
    note: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a channel offers.

    Attributes:
        channel: its name.
        sequence: goes up by one with each manifest.
        created: when it was written.
        releases: newest first; a device takes the first whose roll-out includes it.
        expires: after this time devices take nothing from it; empty: never.
        returns_from: devices with a version up to this one go back to the releases listed here; 0:
            versions only go up.
    """

    channel: str
    sequence: int
    created: str
    releases: tuple[Release, ...]
    expires: str = ""
    returns_from: int = 0

    @property
    def newest(self) -> int:
        """The highest version that the channel has offered, as far as this manifest tells."""
        return max(self.returns_from, *(release.version for release in self.releases))

    def message(self) -> bytes:
        """What its signature is of."""
        return _PREFIX + _canonical({"format": FORMAT, **asdict(self)})


def sealed_manifest(manifest: Manifest, key: PrivateKey) -> bytes:
    """Sign a manifest; return the bytes of its file.

    Raises:
        ChannelError: devices would not read it: a field is out of range.
    """
    content = {"format": FORMAT, **asdict(manifest)}
    signature = key.sign(manifest.message()).to_json()
    data = json.dumps({"manifest": content, "signature": signature}, indent=1).encode() + b"\n"
    read_manifest(data, None)
    return data


def read_manifest(data: bytes, trust: Trust | None, *, name: str = MANIFEST) -> Manifest:
    """Read and verify a manifest.

    Args:
        data: the file's bytes.
        trust: whose manifests are accepted; None: the signature's own key only proves that the
            file is whole.
        name: of the file, for messages.

    Raises:
        ChannelError: it is not a manifest, or one for a newer edgecat.
        NotTrusted: it is not signed by a trusted key, or was modified.
        BackendMissing: cryptography is not installed.
    """
    content, message, signature = _parsed(data, name)
    if trust is not None:
        trust.check_signature(name, message, signature, what="it")
    elif not signature.matches(message):
        raise ChannelError(f"{name} does not match its signature: it was modified. Publish again")
    try:
        return _manifest(Fields(content))
    except ValueError as error:
        raise ChannelError(f"{name} is not the manifest of a channel: {error}") from error


def rollout_position(salt: str, device: str) -> float:
    """Where a device stands in a roll-out, from 0 up to 100.

    It takes a release if this is less than the release's percentage, so that a higher percentage
    only adds devices.

    Args:
        salt: the release's.
        device: the device's id.
    """
    digest = hashlib.sha256(f"{salt}\n{device}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48) * 100


def labels_hash(labels: Sequence[str]) -> str:
    """The hash of class names in the order of the logits, as releases hold it."""
    return hashlib.sha256(json.dumps(list(labels)).encode()).hexdigest()


def utc_time(moment: datetime) -> str:
    """A time as manifests hold it."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parsed(data: bytes, name: str) -> tuple[dict[str, Any], bytes, Signature]:
    expected = f"{name} is not the manifest of a channel, or is truncated"
    if len(data) > LARGEST_MANIFEST:
        raise ChannelError(f"{name} is larger than 1 MB; expected the manifest of a channel")
    try:
        found = json.loads(
            data,
            object_pairs_hook=unique_keys,
            parse_float=not_an_integer,
            parse_constant=not_an_integer,
            parse_int=short_integer,
        )
        content, text = found["manifest"], found["signature"]
        if not isinstance(content, dict) or not isinstance(text, str):
            raise ChannelError(expected)
        return content, _PREFIX + _canonical(content), Signature.from_json(text)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ChannelError(expected) from error


def _manifest(found: Fields) -> Manifest:
    if found.integer("format", 1, _HIGHEST) != FORMAT:
        raise ValueError(f"its format is {found['format']}; expected {FORMAT}. Update edgecat")
    releases = tuple(map(_release, found.objects("releases", _MOST_RELEASES)))
    versions = [release.version for release in releases]
    if len(set(versions)) < len(versions):
        raise ValueError("a version is listed twice")
    return Manifest(
        channel=found.text("channel", _NAME),
        sequence=found.integer("sequence", 1, _HIGHEST),
        created=found.text("created", _TIME),
        releases=releases,
        expires=found.text("expires", _TIME, empty=True),
        returns_from=found.integer("returns_from", 0, _HIGHEST),
    )


def _release(content: Mapping[str, Any]) -> Release:
    found = Fields(content)
    return Release(
        version=found.integer("version", 1, _HIGHEST),
        created=found.text("created", _TIME),
        percent=found.integer("percent", 0, 100),
        salt=found.text("salt", _SALT),
        labels_sha256=found.text("labels_sha256", _HASH),
        targets=tuple(map(_target, found.objects("targets", _MOST_TARGETS))),
        min_edgecat=found.text("min_edgecat", _VERSION),
        note=found.line("note", _LONGEST_NOTE),
    )


def _target(content: Mapping[str, Any]) -> Target:
    found = Fields(content)
    form = found.line("form", 10)
    return Target(
        size=found.integer("size", 1, LARGEST_MODEL),
        sha256=found.text("sha256", _HASH),
        form=form,
        precision=found.line("precision", 20),
        backend_version=found.line("backend_version", 100),
        platform=found.line("platform", 100),
        gpu=found.line("gpu", 200),
        signature=found.line("signature", 2000),
    )


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
