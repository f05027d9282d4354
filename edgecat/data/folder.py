"""Labelled images from folders of class folders and from tar files with the same layout."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecat.data.layout import Found, Source, sources
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import ImageError, check_size
from edgecat_runtime.model.class_names import check_labels
from edgecat_runtime.system.counting import number_of


@dataclass(frozen=True)
class LabelledImage:
    """One labelled image: the bytes `path[offset : offset + size]`, not yet decoded.

    Attributes:
        name: Where it came from, for messages: `photos/cat/1.jpg`, `train-0.tar:train/cat/1.jpg`.
        label: Index into the labels of the set.
        path: The image file, or the tar that contains it.
        offset: Offset of the first byte; 0 for an image file.
        size: Size in bytes.
        split: `train`, `val` or `test`, from the folder it is under; empty if none.
        inside: its name inside the folder or tar, such as `cat/1.jpg`.
    """

    name: str
    label: int
    path: Path
    offset: int
    size: int
    split: str
    inside: str = ""

    def read(self) -> bytes:
        """Read the encoded image; safe from any thread and after a fork.

        Raises:
            ImageError: The file disappeared or was truncated since it was scanned.
        """
        check_size(self.size, self.name)
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise ImageError(
                f"{self.name} can no longer be read ({error.strerror}); expected {self.path}"
            ) from error
        if len(data) != self.size:
            raise ImageError(
                f"{self.name} has only {len(data)} bytes; expected {self.size}. "
                f"{self.path} was modified while in use"
            )
        return data


@dataclass(frozen=True)
class ImageSet:
    """Labelled images sorted by name, and messages about the files that were skipped."""

    labels: tuple[str, ...]
    pictures: tuple[LabelledImage, ...]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the images."""
        return len(self.pictures)

    def __str__(self) -> str:
        """Summarise: `15,000 images (7,500 cat, 7,500 dog), 2 files skipped`."""
        each = ", ".join(f"{count:,} {label}" for label, count in self.counts().items())
        skipped = f", {number_of(len(self.skipped), 'file')} skipped" if self.skipped else ""
        return f"{number_of(len(self), 'image')} ({each}){skipped}"

    def keys(self) -> Iterator[str]:
        """Identify the images: equal for two sets of the same images."""
        for picture in self.pictures:
            yield f"{picture.name}\0{picture.size}\0{picture.label}\0"

    def counts(self) -> dict[str, int]:
        """Count the images per label."""
        totals = [0] * len(self.labels)
        for picture in self.pictures:
            totals[picture.label] += 1
        return dict(zip(self.labels, totals, strict=True))

    def subset(self, split: str) -> ImageSet:
        """Keep the images of one split: `train`, `val`, `test`, or empty for those without one."""
        return replace(self, pictures=tuple(p for p in self.pictures if p.split == split))

    def judged(self) -> ImageSet:
        """Keep the images to evaluate a model on: those under `test/` if any, else all."""
        test = self.subset("test")
        return test if len(test) else self


def scan(
    paths: str | Path | Sequence[str | Path], *, labels: Sequence[str] | None = None
) -> ImageSet:
    """Find the labelled images in folders and plain tar files, without decoding them.

    An image's label is its class folder. As in torchvision's `ImageFolder`, these are the top
    folders, after a chain of single folders: `cat/1.jpg`, `pets/cat/1.jpg` and `cat/garden/1.jpg`
    are all labelled cat. A level named `train`, `val`, `test` or similarly (`Training`, `test_set`,
    `seg_test`, `dev`, `eval`) is the split of what it contains, above or below the class folders,
    unless it is one class among others. Images named `cat.0.jpg`, `dog.0.jpg` need no class
    folders. Tar files directly inside a given folder are read as if they had been given. Hidden
    files and metadata of operating systems and network storage are ignored.

    Args:
        paths: Folders and `.tar` files; duplicates count once.
        labels: The labels and their order, as in a model card. Default: the sorted names of the
            class folders of all `paths` together. If given, a class folder is the topmost
            folder of that name.

    Raises:
        UserError: A path is missing or not a source; no images, only one class, or a class folder
            without images (if `labels` is not given); a class folder that is not in
            `labels`.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    found: dict[tuple[Path, int], Found] = {}
    empty: set[str] = set()
    skipped: list[str] = []
    for source in sources(given):
        for item in source.labelled(skipped, labels=labels):
            found.setdefault((item.path, item.offset), item)
        if labels is None:
            _refuse_ambiguous(source)
        faulty, other = source.empty_folders()
        empty |= faulty
        skipped += [f"{source.prefix}{name} contains no images" for name in sorted(other)]
        skipped += filter(None, [source.note() if labels is None else ""])
    if not found:
        raise UserError(
            f"no images in class folders in {', '.join(map(str, given)) or 'nothing'}; expected "
            f"folders or .tar files with a folder of images per class, such as photos/cat/1.jpg, "
            f"or images named cat.1.jpg and dog.1.jpg"
        )
    names = {item.label for item in found.values()}
    order = tuple(sorted(names)) if labels is None else tuple(labels)
    _check_labels(names, empty, order, free=labels is None)
    index = {label: number for number, label in enumerate(order)}
    by_name = sorted(found.values(), key=lambda item: (item.name, str(item.path), item.offset))
    pictures = tuple(LabelledImage(**{**f._asdict(), "label": index[f.label]}) for f in by_name)
    return ImageSet(order, pictures, tuple(skipped))


def split(
    pictures: ImageSet, *, val: float = 0.1, seed: int = 0, version: int = 2
) -> tuple[ImageSet, ImageSet]:
    """Split into training images and validation images.

    Images under `val/` are the validation set if there are any; otherwise a fraction `val` of
    label is. Which ones is decided by SHA-256 of `seed/name`, smallest first, where the name is
    that inside the folder or tar: the same on every machine, wherever the files lie and in
    whatever order they are found. Images under `test/` are in neither part.

    Args:
        pictures: The set from `scan`.
        val: Fraction of each label to validate on, above 0 and below 1; at least one image.
        seed: Seed of the split.
        version: 1 for the names that were hashed before, which begin with the name of the tar or
            data folder (`TrainConfig.version`).

    Raises:
        UserError: `val` is out of range, or a label has no training images.
    """
    if not 0 < val < 1:
        raise UserError(f"the validation fraction is {val}; expected above 0 and below 1")
    usable = tuple(p for p in pictures.pictures if p.split != "test")
    if any(p.split == "val" for p in usable):
        held = {p for p in usable if p.split == "val"}
    else:
        held = set(_drawn(usable, val, seed, version))
    parts = (
        replace(pictures, pictures=tuple(p for p in usable if (p in held) is wanted))
        for wanted in (False, True)
    )
    training, validation = parts
    for label, count in training.counts().items():
        if not count:
            raise UserError(
                f"no training images left for {label!r} out of {pictures.counts()[label]}; "
                f"expected two or more outside test/ and val/"
            )
    return training, validation


def _drawn(
    pictures: Sequence[LabelledImage], share: float, seed: int, version: int
) -> Iterator[LabelledImage]:
    """Yield the same fraction of each label's images, at least one, by a hash of their names."""

    def order(picture: LabelledImage) -> tuple[bytes, int, str, str, int]:
        name = picture.name if version == 1 else picture.inside or picture.name
        size = 0 if version == 1 else picture.size  # of the same name in several tars
        place = "" if version == 1 else picture.name
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        return digest, size, place, str(picture.path), picture.offset

    by_label: dict[int, list[LabelledImage]] = {}
    for picture in pictures:
        by_label.setdefault(picture.label, []).append(picture)
    for group in by_label.values():
        count = max(1, int(share * len(group) + 0.5))
        yield from sorted(group, key=order)[:count]


def _refuse_ambiguous(source: Source) -> None:
    if doubtful := source.ambiguous():
        raise UserError(
            f"{source.prefix}{doubtful} has the name of a split and contains images beside class "
            f"folders: it may be a class, or images without labels. Rename the class (such as "
            f"{doubtful}_) or move the folder elsewhere"
        )


def _check_labels(names: set[str], empty: set[str], order: tuple[str, ...], *, free: bool) -> None:
    if unknown := sorted(names - set(order)):
        raise UserError(
            f"class folders {unknown} are not among the model's labels {list(order)}; "
            f"rename or remove them"
        )
    if free and empty - names:
        raise UserError(
            f"class folder {min(empty - names)!r} contains no images; add some or remove it"
        )
    if free:
        check_labels(order, "the class folders")
    if free and len(order) < 2:
        raise UserError(f"only one class folder, {order[0]!r}; expected two or more")
