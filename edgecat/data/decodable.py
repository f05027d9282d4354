"""Finds classes that nothing can be learnt about or checked on, before training starts."""

from __future__ import annotations

from functools import partial

from edgecat.data.batches import prefetched
from edgecat.data.folder import ImageSet, LabelledImage
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import ImageError, decode_image


def check_decodable(images: ImageSet, role: str, *, workers: int = 2) -> None:
    """Require at least one image of each class that can be decoded.

    Usually this decodes one image per class.

    Args:
        images: the training or the validation images.
        role: `training` or `validation`, for the message.
        workers: number of decoding threads.

    Raises:
        UserError: a class has no images, or none of them can be decoded; the class is named.
    """
    by_label: list[list[LabelledImage]] = [[] for _ in images.labels]
    for picture in images.pictures:
        by_label[picture.label].append(picture)
    faults = prefetched(partial(_fault, role), by_label, workers=workers)
    for label, fault in zip(images.labels, faults, strict=True):
        if fault:
            raise UserError(f"class {label!r} has no usable {role} images: {fault}")


def _fault(role: str, pictures: list[LabelledImage]) -> str:
    """What is wrong with a class; empty if one of its images can be decoded."""
    if not pictures:
        return "there are none. Add some, or remove val/ to have them drawn from all images"
    problem = ""
    for picture in pictures:
        found = _problem(picture)
        if not found:
            return ""
        problem = problem or found
    count = "the only one cannot" if len(pictures) == 1 else f"none of {len(pictures):,} can"
    return f"{count} be decoded. {problem}. Replace them, or remove the class folder"


def _problem(picture: LabelledImage) -> str:
    try:
        decode_image(picture.read(), picture.name)
    except ImageError as error:
        return str(error)
    return ""
