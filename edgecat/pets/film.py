"""A film of drawn pets: a hand-held camera pans and zooms over one scene after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgecat.pets.synthetic import LABELS, draw_pet
from edgecat_runtime.outputs.matroska import MatroskaWriter
from edgecat_runtime.system.atomic import atomic_path
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.system.paths import native_path
from edgecat_runtime.system.quiet import suppress_stderr
from edgecat_runtime.types import Image

HEIGHT, WIDTH, FPS = 480, 576, 25
_DRAWN = 800  # side of the drawing that the camera moves over
_FADE = 8  # frames of the cross-fade between scenes
_SHAKE = 0.004  # fraction of the drawing's side
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class Scene:
    """One drawn pet and the camera's path over it.

    Attributes:
        label: its label.
        picture: uint8 (side, side, 3) BGR.
        start: centre and width of the first frame's view, as fractions of the image's side.
        end: likewise for the last frame.
        phase: phase of the hand shake, in radians.
    """

    label: str
    picture: Image
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    phase: float

    def view(self, moment: float, height: int = HEIGHT, width: int = WIDTH) -> Image:
        """Return the camera's view at a time, 0..1: uint8 (height, width, 3) BGR."""
        cv2 = cv2_module()
        eased = 0.5 - 0.5 * math.cos(math.pi * min(max(moment, 0.0), 1.0))
        x, y, share = (a + eased * (b - a) for a, b in zip(self.start, self.end, strict=True))
        x += _SHAKE * math.sin(9 * moment + self.phase)
        y += _SHAKE * math.sin(13 * moment + 2 * self.phase)
        side = self.picture.shape[0]
        scale = share * side / width
        left, top = x * side - scale * width / 2, y * side - scale * height / 2
        way = np.array([[scale, 0, left], [0, scale, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen: Image = cv2.warpAffine(
            self.picture, way, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
        )
        return seen


def write_clip(path: Path, *, scenes: int, frames: int, seed: int) -> tuple[str, ...]:
    """Write a film in which every scene has the same length.

    Args:
        path: a `.mkv` file.
        scenes: number of scenes, cats and dogs in random order.
        frames: frames per scene.
        seed: random seed.

    Returns:
        The label of each frame: that of its scene, or of the stronger one in a cross-fade.

    Raises:
        UserError: the file cannot be written.
    """
    cv2 = cv2_module()
    truth = []
    with atomic_path(path) as temporary:
        film = MatroskaWriter(temporary, width=WIDTH, height=HEIGHT, fps=FPS)
        for number, (label, picture) in enumerate(_filmed(scenes, frames, seed)):
            jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
            film.write(jpeg.tobytes(), number / FPS)
            truth.append(label)
        film.close()
    return tuple(truth)


def webm_from_clip(clip: Path, *, width: int, every: int) -> bytes | None:
    """Re-encode a film as WebM (VP8), which every browser supports.

    Args:
        clip: path of the film.
        width: of the frames, in pixels; the height follows.
        every: keep every n-th frame.

    Returns:
        The file's bytes; None if this OpenCV cannot write WebM.
    """
    cv2 = cv2_module()
    with TemporaryDirectory() as folder:
        path, writer = Path(folder) / "clip.webm", None
        for picture in _read(clip, width, every):
            if writer is None:
                with suppress_stderr():
                    size = (picture.shape[1], picture.shape[0])
                    codec = cv2.VideoWriter.fourcc(*"VP80")
                    writer = cv2.VideoWriter(str(path), codec, FPS / every, size)
            writer.write(picture)
        if writer is None or not writer.isOpened():
            return None
        writer.release()
        return path.read_bytes()


def jpegs_from_clip(clip: Path, *, width: int, every: int) -> list[bytes]:
    """Return a film's frames as JPEG files, for a page without WebM; arguments as above."""
    cv2 = cv2_module()
    quality = [cv2.IMWRITE_JPEG_QUALITY, 70]
    return [
        cv2.imencode(".jpg", picture, quality)[1].tobytes() for picture in _read(clip, width, every)
    ]


def _filmed(scenes: int, frames: int, seed: int) -> Iterator[tuple[str, Image]]:
    """Yield label and image of every frame, with cross-fades between scenes."""
    previous: Scene | None = None
    for scene in _scenes(scenes, seed):
        for number in range(frames):
            label, picture = scene.label, scene.view(number / frames)
            if previous is not None and number < _FADE:
                share = (number + 1) / (_FADE + 1)
                old = previous.view(1 + number / frames)
                picture = cv2_module().addWeighted(picture, share, old, 1 - share, 0)
                label = scene.label if share > 0.5 else previous.label
            yield label, picture
        previous = scene


def _scenes(count: int, seed: int) -> Iterator[Scene]:
    random = np.random.default_rng((seed, 25))
    species = random.permutation(np.arange(count) % len(LABELS))
    for number, one in enumerate(species.tolist()):
        picture, _ = draw_pet(900_000_000 + seed * 1000 + number, one, _DRAWN)
        start, end = framing(random), framing(random)
        yield Scene(LABELS[one], picture, start, end, random.uniform(0, 2 * math.pi))


def framing(random: np.random.Generator) -> tuple[float, float, float]:
    """Draw a random view, centre and width, that exceeds the drawing by at most the shake."""
    width = random.uniform(0.88, 0.99)
    sideways, upright = (1 - width) / 2, (1 - width * HEIGHT / WIDTH) / 2
    x = 0.5 + random.uniform(-sideways, sideways)
    return x, 0.5 + random.uniform(-upright, upright), width


def _read(clip: Path, width: int, every: int) -> Iterator[Image]:
    cv2 = cv2_module()
    with native_path(clip) as name:
        capture = cv2.VideoCapture(name)
    try:
        number = 0
        while capture.grab():
            if number % every == 0:
                picture = capture.retrieve()[1]
                height = round(picture.shape[0] * width / picture.shape[1] / 2) * 2
                yield cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            number += 1
    finally:
        capture.release()
