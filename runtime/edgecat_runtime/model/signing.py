"""Signing models: private keys, and the signature's place in each kind of file.

ONNX and safetensors files hold the signature in their metadata, as they hold the card, and open in
other tools as before. In an engine there is no place for one: TensorRT stores a single text, the
network's name, which is the card and is part of the bytes to be signed. So it lies in a file beside
the engine, `vgg16.trt.sig`.

Source: RFC 5958 (PKCS #8), the form of private keys.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.artifact import (
    LABELS_KEY,
    SIGNATURE_KEY,
    Stored,
    header_of,
    metadata_field,
    read_stored,
    sealed_header,
)
from edgecat_runtime.model.signature import (
    ENGINES,
    SIGNATURE_SUFFIX,
    PublicKey,
    Signature,
    ed25519_module,
    signed_message,
)
from edgecat_runtime.system.atomic import atomic_write, write_error

PASSPHRASE = "EDGECAT_KEY_PASSPHRASE"
"""The environment variable with the passphrase of private keys; unset: they have none."""


@dataclass(frozen=True)
class PrivateKey:
    """A private key.

    Attributes:
        secret: cryptography's object.
        public: its public key.
    """

    secret: Any
    public: PublicKey

    def sign(self, message: bytes) -> Signature:
        """Sign a message. The signature names no one: names are for those who trust the key."""
        return Signature(PublicKey(self.public.raw), self.secret.sign(message))


def new_key(path: str | os.PathLike[str], name: str = "") -> PublicKey:
    """Make a key pair: the private key, which only its owner can read, and `path`.pub.

    Args:
        path: of the private key, a new file. With the environment variable EDGECAT_KEY_PASSPHRASE
            it is encrypted.
        name: that the public key carries, one line; empty: the file's name.

    Returns:
        The public key.

    Raises:
        UserError: one of the files exists or cannot be written.
        BackendMissing: cryptography is not installed.
    """
    secret = ed25519_module().Ed25519PrivateKey.generate()
    place = Path(path)
    public = PublicKey.from_line(_public(secret, name or place.name).to_line())
    beside = place.with_name(place.name + ".pub")
    _create(place, _pem(secret), 0o600)
    _create(beside, (public.to_line() + "\n").encode(), 0o644)
    return public


def read_key(path: str | os.PathLike[str]) -> PrivateKey:
    """Read a private key.

    Args:
        path: a file in PEM, as `new_key` and `openssl genpkey -algorithm ed25519` write it. The
            passphrase of an encrypted one is in the environment variable EDGECAT_KEY_PASSPHRASE.

    Raises:
        UserError: it cannot be read, is not an Ed25519 key, or the passphrase is wrong.
        BackendMissing: cryptography is not installed.
    """
    ed25519 = ed25519_module()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        secret = load_pem_private_key(Path(path).read_bytes(), _passphrase())
    except OSError as error:
        raise UserError(f"cannot read the key {path}: {error.strerror}. Check the path") from error
    except TypeError as error:
        raise UserError(
            f"{path} and {PASSPHRASE} do not fit: one is encrypted or set, the other is not"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(
            f"{path} is not a private key that can be read; expected one of edgecat key new, and "
            f"its passphrase in {PASSPHRASE} if it has one"
        ) from error
    if not isinstance(secret, ed25519.Ed25519PrivateKey):
        raise UserError(f"{path} is not an Ed25519 key. Make one: edgecat key new NAME")
    beside = Path(f"{os.fspath(path)}.pub")
    return PrivateKey(secret, _public(secret, _name_in(beside) or Path(path).name))


def sign_model(
    model: str | os.PathLike[str],
    key: PrivateKey,
    *,
    output: str | os.PathLike[str] | None = None,
) -> Path:
    """Sign a model; a signature that it has is replaced.

    Args:
        model: an `.onnx`, `.safetensors`, `.trt` or `.rtx` file with a card.
        key: the private key.
        output: where to write the signed file; None: in its place. Not for engines, whose signature
            is written beside them.

    Returns:
        The file that holds the signature.

    Raises:
        CardError: the file has no card, or another fault.
        CardDamaged: the file was modified after it was written.
        UserError: `output` has another suffix, or cannot be written.
    """
    path = Path(model)
    stored = read_stored(path)
    text = key.sign(signed_message(path, stored.text)).to_json()
    if path.suffix in ENGINES:
        if output is not None:
            raise UserError(
                f"the signature of {path} is written beside it, to {path.name}{SIGNATURE_SUFFIX}. "
                "Leave out --output"
            )
        target, data = path.with_name(path.name + SIGNATURE_SUFFIX), (text + "\n").encode()
    else:
        target, data = Path(output or path), _with(text, path, stored)
        if target.suffix != path.suffix:
            raise UserError(f"--output {target} does not end in {path.suffix}, as {path} does")
    atomic_write(target, data)
    return target


def _create(path: Path, data: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    except FileExistsError as error:
        raise UserError(
            f"{path} exists; a key is never overwritten. Choose another name"
        ) from error
    except OSError as error:
        raise write_error(path, error) from error


def _with(signature: str, path: Path, stored: Stored) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".onnx":
        before = metadata_field(SIGNATURE_KEY, stored.signature) if stored.signature else b""
        return data[: len(data) - len(before)] + metadata_field(SIGNATURE_KEY, signature)
    header, start = header_of(data, str(path))
    labels = header.pop("__metadata__").get(LABELS_KEY)
    return sealed_header(header, stored.text, labels, signature) + data[start:]


def _pem(secret: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    phrase = _passphrase()
    encryption = form.BestAvailableEncryption(phrase) if phrase else form.NoEncryption()
    pem: bytes = secret.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, encryption)
    return pem


def _public(secret: Any, name: str) -> PublicKey:
    return PublicKey(secret.public_key().public_bytes_raw(), name)


def _passphrase() -> bytes | None:
    return os.environ.get(PASSPHRASE, "").encode() or None


def _name_in(file: Path) -> str:
    try:
        return PublicKey.from_line(file.read_text(encoding="utf-8").strip()).name
    except (OSError, ValueError):
        return ""
