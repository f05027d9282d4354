"""The images of a data set that excite each unit most, cropped to its receptive field."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgecat.data.batches import load_batch, prefetched
from edgecat.data.folder import ImageSet
from edgecat.deepvis.layers import Layer
from edgecat.deepvis.probe import Probe
from edgecat.deepvis.propagation import Place
from edgecat.deepvis.rendering import sheet, slopes
from edgecat.deepvis.results import Kind, Results, made_with
from edgecat_runtime.images import decode_image
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.types import Image

COUNT = 9
_COLUMNS = 3
_SIDE = 96  # pixels, side of an image on a sheet
_EVERY = 10.0  # seconds between saved states
_KEPT = 2048  # frames cached while sheets are made


def batch_size(probe: Probe) -> int:
    """Choose a batch size whose maps all fit into memory."""
    fitting = 2**18 // (probe.card.height * probe.card.width)
    return max(4, min(64, fitting)) * (8 if probe.device.type == "cuda" else 1)


@dataclass(frozen=True)
class Request:
    """The data to search and the units to search for.

    Attributes:
        pictures: the data set.
        layers: layers and their units.
        batch: images per batch.
        workers: number of decoding threads.
    """

    pictures: ImageSet
    layers: tuple[tuple[Layer, Sequence[int]], ...]
    batch: int = 32
    workers: int = 2

    @property
    def digest(self) -> str:
        """A digest of the images."""
        hashed = hashlib.sha256()
        for picture in self.pictures.pictures:
            hashed.update(f"{picture.name}\0{picture.size}\0".encode())
        return hashed.hexdigest()[:16]


@dataclass
class _Best:
    """The strongest activations so far per unit of a layer, strongest first.

    Attributes:
        values: float32 (units, count); minus infinity if there were fewer images.
        pictures: int64 (units, count), indices of the images.
        places: int64 (units, count), flat indices in the map.
    """

    values: Tensor
    pictures: Tensor
    places: Tensor

    @classmethod
    def none(cls, units: int, device: torch.device) -> _Best:
        """Start without images."""
        whole = torch.zeros((units, COUNT), dtype=torch.int64, device=device)
        values = torch.full((units, COUNT), -torch.inf, device=device)
        return cls(values, whole - 1, whole)

    def add(self, maps: Tensor, numbers: Tensor) -> None:
        """Add the maps, (n, units, ...), of the images with these indices, (n,)."""
        values, places = maps.flatten(2).max(2) if maps.ndim > 2 else (maps, maps.long() * 0)
        values = torch.cat([self.values, values.T.float()], 1)
        # A stable sort, so that the first image wins a tie.
        order = values.sort(stable=True, dim=1, descending=True).indices[:, :COUNT]
        pictures = torch.cat([self.pictures, numbers.expand(len(values), -1)], 1)
        self.values = values.gather(1, order)
        self.pictures = pictures.gather(1, order)
        self.places = torch.cat([self.places, places.T], 1).gather(1, order)


class TopImages:
    """The search through a data set; an interrupted search resumes where it stopped.

    Its state is saved every few seconds; existing sheets are kept. A layer
    already searched with the same images is skipped.

    Args:
        probe: probe of the network.
        results: where the findings are stored.
        request: the search request.
    """

    def __init__(self, probe: Probe, results: Results, request: Request) -> None:
        self.skipped: list[str] = []
        self._probe = probe
        self._results = results
        self._request = request
        self._digest = request.digest
        self._frame = lru_cache(maxsize=_KEPT)(self._read)

    @property
    def missing(self) -> list[Layer]:
        """The layers not yet searched with these images."""
        layers = [layer for layer, _ in self._request.layers]
        return [
            one for one in layers if self._facts(one).get("data") != made_with(one, self._digest)
        ]

    def search(self, on_images: Callable[[int], None] = lambda pictures: None) -> None:
        """Run the network on every image and record the strongest activations.

        Args:
            on_images: called with the number of images just done.

        Raises:
            UserError: the state cannot be written.
        """
        layers = self.missing
        if not layers:
            return
        state = self._state(layers)
        start, best = self._restored(state, layers)
        on_images(start)
        saved = monotonic()
        for numbers, frames in self._batches(start):
            if len(frames):
                maps = self._probe.activations(frames, [layer.name for layer in layers])
                shown = torch.tensor(numbers, device=self._probe.device)
                for layer in layers:
                    best[layer.name].add(maps[layer.name], shown)
            after = min(start + self._request.batch, len(self._request.pictures))
            on_images(after - start)
            start = after
            if monotonic() - saved > _EVERY:
                self._save(state, start, best)
                saved = monotonic()
        for layer in layers:
            self._finish(layer, best[layer.name])
        state.unlink(missing_ok=True)

    def draw(self, on_units: Callable[[int], None] = lambda units: None) -> None:
        """Make the missing sheets of all units, and their deconvolutions.

        Args:
            on_units: called with the number of units just done.

        Raises:
            UserError: a sheet cannot be written, or an image has disappeared since the search.
        """
        for layer, units in self._request.layers:
            found = self._facts(layer)["units"]
            for unit in units:
                # The second of the two files: if it exists, so does the first.
                if found[unit] and not self._results.path("deconv", layer.name, unit).exists():
                    self._draw(layer, unit, found[unit])
                on_units(1)

    def _mark(self, layer: Layer) -> str:
        return made_with(layer, self._digest)

    def _facts(self, layer: Layer) -> dict[str, Any]:
        return self._results.facts(layer.name, "top")

    def _state(self, layers: Sequence[Layer]) -> Path:
        """Return the state file of an unfinished search for these layers in these images."""
        names = "\0".join(self._mark(layer) + layer.name for layer in layers)
        digest = hashlib.sha256(names.encode()).hexdigest()[:16]
        return self._results.folder / f"search-{digest}.npz"

    def _restored(self, state: Path, layers: Sequence[Layer]) -> tuple[int, dict[str, _Best]]:
        device = self._probe.device
        best = {layer.name: _Best.none(layer.units, device) for layer in layers}
        if not state.exists():
            return 0, best
        with np.load(state) as arrays:
            self.skipped = arrays["skipped"].tolist()
            for number, layer in enumerate(layers):
                found = best[layer.name]
                for name in ("values", "pictures", "places"):
                    setattr(found, name, torch.from_numpy(arrays[f"{number}-{name}"]).to(device))
            return int(arrays["start"]), best

    def _save(self, state: Path, start: int, best: dict[str, _Best]) -> None:
        arrays = {"start": np.array(start), "skipped": np.array(self.skipped, np.str_)}
        for number, found in enumerate(best.values()):
            for name in ("values", "pictures", "places"):
                arrays[f"{number}-{name}"] = getattr(found, name).cpu().numpy()
        buffer = BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        atomic_write(state, buffer.getvalue())

    def _batches(self, start: int) -> Iterator[tuple[list[int], Image]]:
        """Yield indices and frames of the images that can be decoded."""
        pictures, size = self._request.pictures.pictures, self._request.batch

        def load(first: int) -> tuple[list[int], Image, tuple[str, ...]]:
            numbers: list[int] = []

            def prepare(image: Image, number: int) -> Image:
                frame = self._probe.fit(image)
                numbers.append(number)
                return frame

            some = range(first, min(first + size, len(pictures)))
            batch = load_batch(pictures, some, prepare)
            return numbers, batch.frames, batch.skipped

        starts = range(start, len(pictures), size)
        for numbers, frames, skipped in prefetched(load, starts, workers=self._request.workers):
            self.skipped += skipped
            yield numbers, frames

    def _finish(self, layer: Layer, best: _Best) -> None:
        """Write a layer's findings, after removing those of other images."""
        for unit in range(layer.units):
            self._results.path("top", layer.name, unit).unlink(missing_ok=True)
            self._results.path("deconv", layer.name, unit).unlink(missing_ok=True)
        columns = layer.shape[2] if layer.spatial else 1
        names = [picture.name for picture in self._request.pictures.pictures]
        lists = (best.values.tolist(), best.pictures.tolist(), best.places.tolist())
        units = [
            [
                {"picture": names[n], "number": n, "value": v, "place": divmod(p, columns)}
                for v, n, p in zip(*rows, strict=True)
                if n >= 0
            ]
            for rows in zip(*lists, strict=True)
        ]
        self._results.note(layer.name, "top", {"data": self._mark(layer), "units": units})

    def _draw(self, layer: Layer, unit: int, found: Sequence[dict[str, Any]]) -> None:
        """Make both sheets of one unit."""
        frames = np.stack([self._frame(one["number"]) for one in found])
        places = [(int(one["place"][0]), int(one["place"][1])) for one in found]
        boxes = [layer.field.box(place, *frames.shape[1:3]) for place in places]
        seeds: list[Place] = [place if layer.spatial else "all" for place in places]
        units = [unit] * len(found)
        back = self._probe.backprop_batch(frames, layer.name, units, seeds, how="deconv")
        parts = [
            frame[t:b, left:right] for frame, (t, left, b, right) in zip(frames, boxes, strict=True)
        ]
        made = [
            slopes(one[t:b, left:right])
            for one, (t, left, b, right) in zip(back, boxes, strict=True)
        ]
        sheets: tuple[tuple[Kind, list[Image]], ...] = (("top", parts), ("deconv", made))
        for kind, pictures in sheets:
            whole = sheet(pictures, side=_SIDE, columns=_COLUMNS)
            self._results.write(kind, layer.name, unit, whole)

    def _read(self, number: int) -> Image:
        picture = self._request.pictures.pictures[number]
        return self._probe.fit(decode_image(picture.read(), picture.name))
