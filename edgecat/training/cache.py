"""All training images, decoded once into one array, in memory or on the GPU."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgecat.data.batches import prefetched
from edgecat.data.folder import ImageSet, LabelledImage
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import ImageError, decode_image
from edgecat_runtime.types import Image

Result = TypeVar("Result")

_ROOT = Path("/")
_FILL = 0.9  # of the free memory; the rest is for training
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_NO_SIZE = (0xC4, 0xC8, 0xCC)  # markers among the start-of-frame ones that are not: ITU T.81, B.1


@dataclass(frozen=True)
class ImageCache:
    """Decoded images of different sizes, one after another.

    Attributes:
        pixels: uint8 (bytes,): every image's rows of BGR values.
        offsets: int64 (n,): where each image begins.
        sizes: int64 (n, 2): height and width of each image; 0 if it could not be decoded.
        labels: int64 (n,).
        problems: a sentence for each image that could not be decoded, by its number.
    """

    pixels: Tensor
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]
    problems: Mapping[int, str] = field(default_factory=dict)

    def image(self, number: int) -> Image:
        """An image, uint8 (h, w, 3), BGR, of a cache in memory; not a copy."""
        height, width = self.sizes[number].tolist()
        start = int(self.offsets[number])
        pixels: Image = self.pixels.numpy()
        return pixels[start : start + height * width * 3].reshape(height, width, 3)

    def prepared(
        self, numbers: Sequence[int], prepare: Callable[[Image, int], Result]
    ) -> tuple[list[Result], list[int], list[str]]:
        """As `edgecat.data.batches.decoded`, without decoding."""
        indices, skipped = self.readable(numbers)
        results = [prepare(self.image(numbers[index]), index) for index in indices]
        return results, [int(self.labels[numbers[index]]) for index in indices], skipped

    def readable(self, numbers: Sequence[int]) -> tuple[list[int], list[str]]:
        """Which of some images could be decoded, and sentences about the others."""
        indices = [i for i, number in enumerate(numbers) if number not in self.problems]
        return indices, [self.problems[n] for n in numbers if n in self.problems]

    def bytes_of(
        self, numbers: NDArray[np.int64], device: torch.device
    ) -> tuple[Tensor, NDArray[np.int64]]:
        """The bytes of some images on a device, and where each of them begins.

        From pinned memory they are copied while the processor goes on.
        """
        if self.pixels.device.type != "cpu" or device.type == "cpu":
            return self.pixels, self.offsets[numbers]
        lengths = 3 * self.sizes[numbers].prod(1)
        parts = [
            self.pixels[start : start + length].to(device, non_blocking=True)
            for start, length in zip(self.offsets[numbers].tolist(), lengths.tolist(), strict=True)
        ]
        return torch.cat(parts), np.cumsum(lengths) - lengths

    def to(self, device: torch.device) -> ImageCache:
        """Move the images to a GPU.

        Raises:
            UserError: they do not fit.
        """
        free, _ = torch.cuda.mem_get_info(device)
        _check_room(self.pixels.numel(), len(self.labels), int(free), "GPU memory")
        return replace(self, pixels=self.pixels.to(device))

    def __str__(self) -> str:
        """Sum up: `15,000 decoded images, 1.80 GB`."""
        count = len(self.labels) - len(self.problems)
        return f"{count:,} decoded images, {self.pixels.numel() / 1e9:.2f} GB"


def fill_cache(
    images: ImageSet, *, workers: int, pinned: bool = False, processes: int = 1
) -> ImageCache:
    """Decode images into memory.

    Args:
        images: all of them.
        workers: number of decoding threads.
        pinned: use memory that a GPU can copy from by itself.
        processes: on this machine that do the same.

    Raises:
        UserError: the images do not fit into the free memory, which is checked before any of them
            is decoded; or one of them has another size than its header says.
    """
    pictures = images.pictures
    areas = np.array(list(prefetched(_area, pictures, workers=workers)), np.int64)
    total = int(3 * areas.sum())
    free = free_memory()
    if free is not None:
        _check_room(total * processes, len(pictures), free, "memory")
    pixels = torch.empty(total, dtype=torch.uint8, pin_memory=pinned)
    offsets = 3 * (np.cumsum(areas) - areas)
    sizes, problems = np.zeros((len(pictures), 2), np.int64), dict[int, str]()
    flat: NDArray[np.uint8] = pixels.numpy()

    def fill(number: int) -> None:
        picture, start = pictures[number], offsets[number]
        try:
            image = decode_image(picture.read(), picture.name)
        except ImageError as error:
            problems[number] = str(error)
            return
        if image.size != 3 * areas[number]:
            raise UserError(
                f"{picture.name} is {image.shape[1]} x {image.shape[0]} pixels, unlike its header: "
                "it cannot be cached. Save the image again, or leave out --cache"
            )
        flat[start : start + image.size] = image.reshape(-1)
        sizes[number] = image.shape[:2]

    for _ in prefetched(fill, range(len(pictures)), workers=workers):
        pass
    labels = np.array([picture.label for picture in pictures], np.int64)
    return ImageCache(pixels, offsets, sizes, labels, problems)


def free_memory(root: Path = _ROOT) -> int | None:
    """Bytes of memory that can still be used, or None where the system does not say.

    On Linux: what is available without swapping, or what the container's limit leaves.
    """
    found = _number(_text(root / "proc/meminfo"), "MemAvailable:")
    free = [] if found is None else [found * 1024]
    for folder, limit, used, cached in (
        ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        (
            "sys/fs/cgroup/memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ):
        most, now = (_text(root / folder / name).strip() for name in (limit, used))
        if most.isdecimal() and now.isdecimal():
            reclaimable = _number(_text(root / folder / "memory.stat"), cached) or 0
            free.append(int(most) - int(now) + reclaimable)
    return min(free) if free else None


def _number(text: str, name: str) -> int | None:
    """The number behind a name at the start of a line."""
    for line in text.splitlines():
        words = line.split()
        if words and words[0] == name:
            return int(words[1])
    return None


def size_in_header(data: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG or PNG image by its header; None if it does not say.

    Sources: ITU T.81, B.2.2; https://www.w3.org/TR/png-3/#11IHDR.
    """
    if data.startswith(_PNG) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return height, width
    position = 2 if data.startswith(_JPEG) else len(data)
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE:
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return (height, width) if height and width else None
        skipped = struct.unpack(">H", data[position + 2 : position + 4])[0]
        position += 1 if marker == 0xFF else 2 + skipped
    return None


def _area(picture: LabelledImage) -> int:
    """Pixels of an image, decoded only if its header does not say; 0 if it cannot be decoded."""
    try:
        data = picture.read()
        size = size_in_header(data) or decode_image(data, picture.name).shape[:2]
    except ImageError:
        return 0
    return int(size[0]) * int(size[1])


def _check_room(needed: int, count: int, free: int, where: str) -> None:
    if needed > _FILL * free:
        raise UserError(
            f"--cache needs {needed / 1e9:.1f} GB of {where} for {count:,} decoded images, but "
            f"{free / 1e9:.1f} GB are free. Leave out --cache, or use smaller images"
        )


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
