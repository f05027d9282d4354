"""A model to be published: signed, whole, and right on this machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from edgecat.workflows.reporter import Reporter
from edgecat_runtime.errors import BackendMissing, UserError
from edgecat_runtime.model.artifact import read_stored
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.channel import FORMS, Target, labels_hash
from edgecat_runtime.model.signature import signed_message, stored_signature
from edgecat_runtime.model.trust import Trust
from edgecat_runtime.nvidia.tensorrt import KINDS


@dataclass(frozen=True)
class PublishedModel:
    """A file of a release.

    Attributes:
        data: its bytes.
        target: what the manifest says of it.
        labels_sha256: of its class names.
    """

    data: bytes
    target: Target
    labels_sha256: str


def read_model(path: Path, trust: Trust, *, verify: bool, reporter: Reporter) -> PublishedModel:
    """Read and check a model.

    Args:
        path: an `.onnx`, `.trt` or `.rtx` file with a card.
        trust: whose models are published.
        verify: whether to self-test it, if it is an ONNX file.
        reporter: told if it cannot be tested here.

    Raises:
        UserError: it is another kind of file.
        GateError: it is not signed by a trusted key, was modified, or fails its self-test.
    """
    form = path.suffix.removeprefix(".")
    if form not in FORMS:
        raise UserError(
            f"{path} cannot be published; expected an .onnx, .trt or .rtx file. Export it first"
        )
    stored = read_stored(path)
    signature = stored_signature(path, stored.signature)
    trust.check(str(path), stored.card, signed_message(path, stored.text), signature)
    data = path.read_bytes()
    if verify and form == "onnx":
        _self_test(path, reporter)
    assert signature is not None
    beside = "" if form == "onnx" else signature.to_json()
    target = _target(data, form, stored.card, beside)
    return PublishedModel(data, target, labels_hash(stored.card.labels))


def _self_test(path: Path, reporter: Reporter) -> None:
    from edgecat_runtime.classifier import Classifier
    from edgecat_runtime.model.trust import own_output

    try:
        with own_output():  # its signature has been checked above
            Classifier.open(path).close()
    except BackendMissing as error:
        reporter.warn(f"{path} was not tested here: {error}")


def _target(data: bytes, form: str, card: ModelCard, signature: str) -> Target:
    digest = hashlib.sha256(data).hexdigest()
    if form == "onnx":
        return Target(len(data), digest, form, card.precision)
    kind = next(kind for kind in KINDS.values() if kind.suffix == f".{form}")
    compatible = card.tools.get("compatible", "").split()
    return Target(
        len(data),
        digest,
        form,
        card.precision,
        backend_version="" if "version" in compatible else card.tools.get(kind.backend, ""),
        platform=card.tools.get("platform", ""),
        gpu="" if "hardware" in compatible else card.tools.get("gpu", ""),
        signature=signature,
    )
