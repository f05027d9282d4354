"""The atlas of the bundled model: complete, small, of this model, and each tile of its own unit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecat.deepvis.atlas import ATLAS, COLUMNS, SIDE, atlas_picture, tile
from edgecat.deepvis.probe import Probe, open_probe
from edgecat.deepvis.rendering import sheet
from edgecat.deepvis.results import Results
from edgecat.pretrained import CHECKPOINT


@pytest.fixture(scope="module")
def probe() -> Probe:
    return open_probe(CHECKPOINT)


def test_every_unit_has_a_tile_in_three_megabytes(probe: Probe) -> None:
    layers = [layer for layer in probe.layers if layer.kind in ("activation", "logits")]
    assert len(layers) == 14
    for layer in layers:
        for unit in range(layer.units):
            found = atlas_picture(probe.card, layer, unit)
            assert found is not None, (layer.name, unit)
            assert found.max() > found.min(), (layer.name, unit)
        assert atlas_picture(probe.card, layer, 1000) is None
    assert sum(path.stat().st_size for path in ATLAS.iterdir()) <= 3_000_000


def test_a_convolution_shows_the_tile_of_its_activation(probe: Probe) -> None:
    convolution, activation = probe.layer("conv4_3"), probe.layer("relu4_3")
    one = atlas_picture(probe.card, convolution, 7)
    assert np.array_equal(one, atlas_picture(probe.card, activation, 7))
    assert atlas_picture(probe.card, probe.layer("pool4"), 7) is None


@pytest.mark.parametrize("name", ["relu2_2", "relu3_3", "relu4_3", "relu5_3"])
def test_a_tile_excites_its_own_unit_more_than_its_neighbours(probe: Probe, name: str) -> None:
    layer, units = probe.layer(name), range(8, 40)
    small = Probe(probe.model, replace(probe.card, height=96, width=96))
    tiles = [atlas_picture(probe.card, layer, unit) for unit in units]
    shown = np.stack([cv2.resize(one, (96, 96), interpolation=cv2.INTER_CUBIC) for one in tiles])
    found = small.activations(shown, [layer.name])[layer.name].mean((2, 3))[:, units]
    mean = found.mean(0, keepdim=True)
    ranks = [(int((column > column[i]).sum())) for i, column in enumerate((found / mean).T)]
    assert np.mean(np.array(ranks) < 3) >= 0.75, ranks


def test_the_tile_of_a_class_is_of_the_class(probe: Probe) -> None:
    for label in (0, 1):
        found = atlas_picture(probe.card, probe.layers[-1], label)
        assert found is not None
        assert int(probe.run(found).logits.argmax()) == label


def test_own_images_come_first_and_other_models_have_none(probe: Probe, tmp_path: Path) -> None:
    layer = probe.layer("relu3_1")
    results = Results(tmp_path / "vgg16.safetensors", probe.card)
    assert np.array_equal(
        results.picture("synthesised", layer, 5), atlas_picture(probe.card, layer, 5)
    )
    assert results.picture("top", layer, 5) is None
    results.write("synthesised", layer.name, 5, np.full((9, 9, 3), 77, np.uint8))
    assert results.picture("synthesised", layer, 5)[0, 0, 0] == 77
    other = replace(probe.card, payload_sha256="0" * 64)
    assert Results(tmp_path / "other.safetensors", other).picture("synthesised", layer, 5) is None


def test_tiles_of_small_fields_are_cut_and_of_large_ones_reduced() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    assert np.array_equal(tile(image, 40), image[16:80, 16:80])
    reduced = tile(image, 92)
    assert reduced.shape == (SIDE, SIDE, 3)
    assert not np.array_equal(reduced, image[16:80, 16:80])


@pytest.mark.parametrize(("count", "shape"), [(2, (64, 128, 3)), (20, (128, 1024, 3))])
def test_sheets_are_grids_row_by_row(count: int, shape: tuple[int, ...]) -> None:
    tiles = [np.full((SIDE, SIDE, 3), number, np.uint8) for number in range(count)]
    grid = sheet(tiles, side=SIDE, columns=min(COLUMNS, count), gap=0)
    assert grid.shape == shape
    assert grid[shape[0] - 1, 0, 0] == (0 if count == 2 else 16)
