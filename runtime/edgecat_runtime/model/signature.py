"""Signatures of model files: Ed25519 over the card, which holds the hash of everything else.

What is signed is a fixed prefix, the card exactly as stored, and for an engine, whose bytes no card
covers, the SHA-256 of its file. Keys are written as OpenSSH writes them.

Sources: RFC 8032 (Ed25519); RFC 4253, 6.6, and RFC 8709 (`ssh-ed25519`); ssh-keygen(1), for
fingerprints: base64 of SHA-256, without padding.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.model.card import CardDamaged
from edgecat_runtime.system.hashing import file_sha256

ENGINES = (".trt", ".rtx")
LONGEST_NAME = 200
SIGNATURE_SUFFIX = ".sig"
"""Of the file beside an engine that holds its signature: an engine's own bytes cannot hold it."""

_PREFIX = b"edgecat signed model 1\n"
_KIND = "ssh-ed25519"
_LONGEST = 2000
_RAW, _SIGNATURE = 32, 64


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key.

    Attributes:
        raw: its 32 bytes.
        name: what the line in the file calls it.
    """

    raw: bytes
    name: str = field(default="", compare=False)

    @classmethod
    def from_line(cls, line: str) -> PublicKey:
        """Read `ssh-ed25519 AAAA... name`.

        Raises:
            ValueError: it is not such a line.
        """
        kind, encoded, *name = line.split(None, 2)
        blob = base64.b64decode(encoded, validate=True)
        start = _field(_KIND.encode()) + _RAW.to_bytes(4, "big")
        if kind != _KIND or not blob.startswith(start) or len(blob) != len(start) + _RAW:
            raise ValueError(line)
        shown = "".join(filter(str.isprintable, " ".join(name)))  # it comes from outside
        return cls(blob[len(start) :], shown.strip()[:LONGEST_NAME])

    def to_line(self) -> str:
        """The key as OpenSSH writes it."""
        blob = base64.b64encode(_field(_KIND.encode()) + _field(self.raw)).decode()
        return f"{_KIND} {blob} {self.name}".rstrip()

    @property
    def fingerprint(self) -> str:
        """`SHA256:...`, as `ssh-keygen -l` prints it."""
        blob = _field(_KIND.encode()) + _field(self.raw)
        return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint})" if self.name else self.fingerprint


@dataclass(frozen=True)
class Signature:
    """A signature as a model file holds it.

    Attributes:
        key: the public key that it claims to be by.
        value: its 64 bytes.
    """

    key: PublicKey
    value: bytes

    @classmethod
    def from_json(cls, text: str) -> Signature:
        """Read `{"key": "ssh-ed25519 ...", "signature": "base64", "digest": "hex"}`.

        Raises:
            ValueError: it is not a signature, or was modified.
        """
        found = json.loads(text) if len(text) <= _LONGEST else None
        if not isinstance(found, dict) or not isinstance(found.get("key"), str):
            raise ValueError(text)
        value = base64.b64decode(str(found.get("signature")), validate=True)
        signature = cls(PublicKey.from_line(found["key"]), value)
        if len(value) != _SIGNATURE or signature.to_json() != text:
            raise ValueError(text)
        return signature

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        said = {"key": self.key.to_line(), "signature": base64.b64encode(self.value).decode()}
        digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()  # found without cryptography
        return json.dumps({**said, "digest": digest}, separators=(",", ":"))

    def matches(self, message: bytes) -> bool:
        """Whether it is of this message, by its key.

        Raises:
            BackendMissing: cryptography is not installed.
        """
        ed25519 = ed25519_module()
        from cryptography.exceptions import InvalidSignature

        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.key.raw).verify(self.value, message)
        except InvalidSignature:
            return False
        return True


def signed_message(path: Path, card_text: str) -> bytes:
    """What a signature is of.

    Args:
        path: the model; of an engine, the whole file is hashed.
        card_text: its card exactly as stored.
    """
    message = _PREFIX + card_text.encode()
    if path.suffix in ENGINES:
        message += b"\n" + file_sha256(path).encode()
    return message


def stored_signature(path: Path, text: str | None) -> Signature | None:
    """Read what a file has in the place for a signature; `path` names it in errors.

    Raises:
        CardDamaged: it is not a signature, or was modified.
    """
    if text is None:
        return None
    try:
        return Signature.from_json(text)
    except (ValueError, RecursionError) as error:
        raise CardDamaged(
            f"the signature of {path} is damaged. Copy it again or sign it again"
        ) from error


def ed25519_module() -> Any:
    """The module of cryptography.

    Raises:
        BackendMissing: it is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise BackendMissing(
            "cryptography is not installed, which signatures need",
            fix="pip install 'edgecat-runtime[sign]'",
        ) from error
    return ed25519


def _field(data: bytes) -> bytes:
    """A string as SSH encodes it: its length and its bytes (RFC 4251, 5)."""
    return len(data).to_bytes(4, "big") + data
