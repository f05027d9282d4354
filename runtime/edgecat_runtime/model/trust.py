"""Whose models are accepted: a file of public keys, one per line, as OpenSSH writes them.

A line that begins with `@revoked` withdraws a key or a model.

Source: sshd(8), the file format of known hosts (`@revoked`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.signature import PublicKey, Signature

VARIABLE = "EDGECAT_TRUST"
_REVOKED = "@revoked"
_MODEL = re.compile(r"sha256:[0-9a-f]{64}")
_NO_REASON = "no reason given"
_LARGEST = 1 << 20
_OWN: ContextVar[bool] = ContextVar("own output", default=False)


class NotTrusted(GateError):
    """A model is not signed by a trusted key, or its signature is wrong.

    Example:
        >>> read_card("vgg16.onnx", trust="keys.pub")  # doctest: +SKIP
        Traceback (most recent call last):
        NotTrusted: vgg16.onnx is not signed; expected a signature by a key in keys.pub.
    """


@dataclass(frozen=True)
class Trust:
    """The keys whose models are accepted, and what has been revoked.

    Attributes:
        keys: trusted keys.
        revoked_keys: keys that were trusted once, with the reasons.
        revoked_models: SHA-256 of the payloads of models no longer to be used, with the reasons.
        source: the file or folder that it was read from, for messages.

    Example:
        >>> Trust.read("keys.pub").revoked_models  # doctest: +SKIP
        {}
    """

    keys: frozenset[PublicKey]
    revoked_keys: Mapping[PublicKey, str] = field(default_factory=dict)
    revoked_models: Mapping[str, str] = field(default_factory=dict)
    source: str = "the trusted keys"

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Trust:
        """Read a file of keys, or all `.pub` files of a folder.

        Args:
            path: lines `ssh-ed25519 AAAA... name`, `@revoked ssh-ed25519 AAAA... reason`,
                `@revoked sha256:HEX reason` (a model's `payload_sha256`), empty ones, and comments
                after `#`.

        Raises:
            UserError: it cannot be read, a line is none of these, or it trusts no key.
        """
        place = Path(path)
        files = sorted(place.glob("*.pub")) if place.is_dir() else [place]
        keys: set[PublicKey] = set()
        revoked: dict[PublicKey, str] = {}
        models: dict[str, str] = {}
        for where, line in _lines(files):
            if not _added(line, keys, revoked, models):
                raise UserError(
                    f"{where} is not a key; expected ssh-ed25519 AAAA... NAME, or @revoked before "
                    "a key or before sha256: and a model's payload_sha256"
                )
        if not keys:
            raise UserError(f"{place} holds no trusted keys. Make one: edgecat key new NAME")
        return cls(frozenset(keys - revoked.keys()), revoked, models, str(place))

    def check(
        self, name: str, card: ModelCard, message: bytes, signature: Signature | None
    ) -> None:
        """Check a model's signature.

        Args:
            name: of the file, for messages.
            card: its card, whose hash was checked.
            message: what is signed, see `signed_message`.
            signature: the one in the file; None if it has none.

        Raises:
            NotTrusted: there is none, it is wrong, its key is unknown or revoked, or the model is.
            BackendMissing: cryptography is not installed.
        """
        if card.payload_sha256 and (reason := self.revoked_models.get(card.payload_sha256)):
            raise NotTrusted(f"{name} was revoked ({reason}) in {self.source}. Use another model")
        if signature is None:
            raise NotTrusted(
                f"{name} is not signed; expected a signature by a key in {self.source}. Sign it: "
                f"edgecat sign {name} --key KEY"
            )
        self.check_signature(name, message, signature)

    def check_signature(
        self, name: str, message: bytes, signature: Signature, *, what: str = "the file or its card"
    ) -> None:
        """Check that a signature is of a message, by a trusted key.

        Args:
            name: of the signed file, for messages.
            message: what is signed.
            signature: what the file holds.
            what: may have been modified, for messages.

        Raises:
            NotTrusted: it is wrong, or its key is unknown or revoked.
            BackendMissing: cryptography is not installed.
        """
        unnamed = PublicKey(signature.key.raw)  # whatever name it came with
        key = next((known for known in self.keys if known == unnamed), unnamed)
        if key in self.revoked_keys:
            reason = self.revoked_keys[key]
            raise NotTrusted(
                f"{name} is signed by {key}, which {self.source} revokes ({reason}). "
                "Sign it again with a trusted key"
            )
        if key not in self.keys:
            raise NotTrusted(
                f"{name} is signed by {key}; expected a key in {self.source}. Sign it "
                "with one of these, or add the key if you trust it"
            )
        if not signature.matches(message):
            raise NotTrusted(
                f"{name} does not match its signature by {key}: {what} was modified after "
                "signing. Copy it again"
            )


def trusted(path: str | os.PathLike[str] | None) -> Trust | None:
    """The trust to apply: of this file, else of that in EDGECAT_TRUST, else None.

    Raises:
        UserError: its file cannot be read.
    """
    place = path if path is not None else os.environ.get(VARIABLE)
    return Trust.read(place) if place and not _OWN.get() else None


@contextmanager
def own_output() -> Iterator[None]:
    """Accept files without a signature: this program has just written them and verifies them."""
    before = _OWN.set(True)
    try:
        yield
    finally:
        _OWN.reset(before)


def _added(
    line: str, keys: set[PublicKey], revoked: dict[PublicKey, str], models: dict[str, str]
) -> bool:
    """Sort a line; False if it is not one."""
    what = line.removeprefix(_REVOKED).strip()
    first, _, reason = what.partition(" ")
    if what != line and _MODEL.fullmatch(first):
        models[first.partition(":")[2]] = reason.strip() or _NO_REASON
        return True
    try:
        key = PublicKey.from_line(what)
    except ValueError:
        return False
    if what == line:
        keys.add(key)
    else:
        revoked[key] = key.name or _NO_REASON
    return True


def _lines(files: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """The lines that say something, each with where it stands."""
    for file in files:
        try:
            if file.stat().st_size > _LARGEST:
                raise UserError(f"{file} is larger than 1 MB; expected one key per line")
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"cannot read the trusted keys {file}: {error.strerror}. Check the path"
            ) from error
        except UnicodeDecodeError as error:
            raise UserError(f"{file} is not UTF-8 text; expected one key per line") from error
        for number, line in enumerate(text.splitlines(), start=1):
            if line := line.partition("#")[0].strip():
                yield f"{file}, line {number},", line
