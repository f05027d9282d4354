"""Top pictures, synthesised pictures, and explanations."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgecat.data.folder import scan
from edgecat.deepvis import looking, top
from edgecat.deepvis.explain import explain, occlusion, occlusions
from edgecat.deepvis.probe import Probe, open_probe
from edgecat.deepvis.results import Results, chosen_units, units_named
from edgecat.deepvis.synthesise import Synthesis, regularised, synthesise, synthesise_all
from edgecat.deepvis.top import Request, TopImages
from edgecat.pretrained import CHECKPOINT
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import read_image
from edgecat_runtime.model.artifact import read_card

LAYERS = ("features.5", "classifier.1")


@pytest.fixture(scope="module")
def probe(checkpoint: Path) -> Probe:
    return open_probe(checkpoint)


@pytest.fixture
def own(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint, beside which can be written."""
    return Path(shutil.copy(checkpoint, tmp_path / checkpoint.name))


def _request(probe: Probe, album: Path, batch: int = 5) -> Request:
    layers = tuple((probe.layer(name), range(2)) for name in LAYERS)
    return Request(scan(album), layers, batch, workers=1)


def test_top_pictures_are_the_strongest(probe: Probe, own: Path, album: Path) -> None:
    results, request = Results(own, probe.card), _request(probe, album)
    search = TopImages(probe, results, request)
    search.search()
    search.draw()
    pictures = request.pictures.pictures
    frames = [read_image(one.path) for one in pictures]
    for name in LAYERS:
        layer = probe.layer(name)
        maps = np.stack([probe.run(frame, [name]).maps[name] for frame in frames])
        strongest = maps.reshape(len(maps), layer.units, -1).max(2)
        found = results.facts(name, "top")["units"]
        assert len(found) == layer.units
        for unit in (0, 1):
            order = np.argsort(-strongest[:, unit], kind="stable")[:9]
            assert [one["picture"] for one in found[unit]] == [pictures[i].name for i in order]
            y, x = found[unit][0]["place"]
            at = maps[order[0], unit][y, x] if layer.spatial else maps[order[0], unit]
            assert at == pytest.approx(found[unit][0]["value"], rel=1e-4)
            assert at == pytest.approx(strongest[order[0], unit], rel=1e-4)
            for kind in ("top", "deconv"):
                assert results.picture(kind, layer, unit).shape == (292, 292, 3)
    # The convolution's unit is shown what its activated self is.
    assert results.picture("top", probe.layer("features.3"), 1) is not None
    assert results.picture("top", probe.layer("features.6"), 1) is None
    assert not search.missing


def test_an_interrupted_search_goes_on(
    probe: Probe, own: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top, "_EVERY", 0.0)
    whole = Results(own, probe.card)
    TopImages(probe, whole, _request(probe, album)).search()
    expected = whole.facts("features.5", "top")
    shutil.rmtree(whole.folder)

    class Killed(BaseException):
        pass

    def kill(pictures: int) -> None:
        if list(whole.folder.glob("search-*.npz")):
            raise Killed

    with pytest.raises(Killed):
        TopImages(probe, whole, _request(probe, album)).search(kill)
    assert not whole.facts("features.5", "top")
    steps: list[int] = []
    TopImages(probe, whole, _request(probe, album)).search(steps.append)
    assert steps[0] > 0
    assert sum(steps) == 12
    assert whole.facts("features.5", "top") == expected
    assert not list(whole.folder.glob("search-*.npz"))


def test_other_pictures_replace_what_was_found(
    probe: Probe, own: Path, album: Path, tmp_path: Path
) -> None:
    results, request = Results(own, probe.card), _request(probe, album)
    TopImages(probe, results, request).search()
    TopImages(probe, results, request).draw()
    other = tmp_path / "other"
    shutil.copytree(album, other)
    (other / "cat" / "0.png").write_bytes(b"no picture")
    search = TopImages(probe, results, _request(probe, other))
    assert [layer.name for layer in search.missing] == list(LAYERS)
    search.search()
    assert len(search.skipped) == 1
    assert results.picture("top", probe.layer("features.5"), 0) is None
    names = {one["picture"] for one in results.facts("features.5", "top")["units"][0]}
    assert not any(name.endswith("cat/0.png") for name in names)


def test_results_lie_beside_the_checkpoint_or_in_the_cache(
    probe: Probe, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Results(own, probe.card).folder.parent == tmp_path / "deepvis"
    monkeypatch.setenv("EDGECAT_CACHE", str(tmp_path / "cache"))
    shipped = Results(CHECKPOINT, read_card(CHECKPOINT)).folder
    assert shipped.parent == tmp_path / "cache" / "deepvis"
    other = replace(probe.card, payload_sha256="0" * 64)
    assert Results(own, other).folder != Results(own, probe.card).folder


def test_results_are_picked_up_when_they_change(probe: Probe, own: Path) -> None:
    results, layer = Results(own, probe.card), probe.layer("features.5")
    assert results.picture("synthesised", layer, 0) is None
    results.write("synthesised", layer.name, 0, np.full((4, 4, 3), 10, np.uint8))
    assert results.picture("synthesised", layer, 0)[0, 0, 0] == 10
    results.write("synthesised", layer.name, 0, np.full((4, 4, 3), 99, np.uint8))
    assert results.picture("synthesised", layer, 0)[0, 0, 0] == 99
    results.path("synthesised", layer.name, 0).write_bytes(b"broken")
    assert results.picture("synthesised", layer, 0) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, list(range(16))), ("3", [3]), ("0-2,9", [0, 1, 2, 9]), ("14-99", [14, 15]), ("20", [])],
)
def test_units_named(probe: Probe, text: str | None, expected: list[int]) -> None:
    assert list(units_named(text, probe.layer("features.5"))) == expected


def test_units_that_nothing_has(probe: Probe) -> None:
    layers = [probe.layer("features.2"), probe.layer("features.5")]
    few = min(layer.units for layer in layers)
    assert [len(units) for _, units in chosen_units(f"0-{few - 1}", layers)] == [few, few]
    with pytest.raises(UserError, match="no layer has units 9999; expected 0 to"):
        chosen_units("9999", layers)


@pytest.mark.parametrize("text", ["x", "1-", "-3", "1,,2"])
def test_units_misnamed(probe: Probe, text: str) -> None:
    with pytest.raises(UserError, match="expected numbers and ranges"):
        units_named(text, probe.layer("features.5"))


@pytest.mark.parametrize("style", ["modern", "toolbox"])
def test_climbing_excites_the_unit(probe: Probe, style: str) -> None:
    layer = probe.layer("features.12")
    before = synthesise(probe, layer, [1, 4], Synthesis(style=style, steps=0))[1]
    pictures, after = synthesise(probe, layer, [1, 4], Synthesis(style=style, steps=12))
    assert all(b > a for a, b in zip(before, after, strict=True))
    height, width = probe.card.height, probe.card.width
    if style == "toolbox":
        place = layer.shape[1] // 2, layer.shape[2] // 2
        top_, left, bottom, right = layer.field.box(place, height, width)
        height, width = bottom - top_, right - left
    assert [picture.shape for picture in pictures] == [(height, width, 3)] * 2
    # A unit's picture does not depend on those beside it, but for rounding.
    alone = synthesise(probe, layer, [4], Synthesis(style=style, steps=3))[0][0].astype(int)
    beside = synthesise(probe, layer, [1, 4], Synthesis(style=style, steps=3))[0][1].astype(int)
    assert np.abs(alone - beside).mean() < 1


def test_the_toolboxs_regularisers() -> None:
    """Norms 1, 2, 3, 4 and contributions 4, 3, 2, 1, of which half are to go."""
    off = Synthesis(decay=0, blur_every=0, small_norm=0, small_contribution=0)
    picture = torch.zeros(1, 3, 2, 2)
    picture[0, 1] = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    slope = torch.zeros(1, 3, 2, 2)
    slope[0, 1] = torch.tensor([[4.0, 1.5], [2 / 3, -0.25]])
    table = {
        "decay": (replace(off, decay=0.5), [0.5, -1, 1.5, 2]),
        "small norm": (replace(off, small_norm=50), [0, 0, 3, 4]),
        "small contribution": (replace(off, small_contribution=50), [1, -2, 0, 0]),
        "none": (off, [1, -2, 3, 4]),
        "blur on another step": (replace(off, blur_every=3, blur=9.0), [1, -2, 3, 4]),
    }
    for name, (how, expected) in table.items():
        assert regularised(picture, slope, 1, how)[0, 1].flatten().tolist() == expected, name
    blurred = regularised(picture, slope, 0, replace(off, blur_every=3, blur=9.0))[0, 1]
    assert blurred.std() < picture[0, 1].std() / 2


def test_synthesis_goes_on_and_begins_anew(probe: Probe, own: Path) -> None:
    results, layer = Results(own, probe.card), probe.layer("classifier.1")
    done: list[int] = []
    how = Synthesis(style="toolbox", steps=1)
    synthesise_all(probe, results, [(layer, [0])], how, on_units=done.append)
    first = results.path("synthesised", layer.name, 0)
    changed = first.stat().st_mtime_ns
    synthesise_all(probe, results, [(layer, [0, 1])], how, on_units=done.append)
    assert first.stat().st_mtime_ns == changed
    assert done == [0, 1, 1, 1]
    assert set(results.facts(layer.name, "synthesised")["values"]) == {"0", "1"}
    synthesise_all(probe, results, [(layer, [1])], replace(how, seed=1))
    assert not first.exists()


def test_occlusion_falls_where_the_network_looks() -> None:
    """A network that adds up the red of one corner."""
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 1, 1), torch.nn.Flatten(), torch.nn.Linear(256, 2)
    )
    corner = torch.zeros(16, 16)
    corner[:4, :4] = 1.0
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
        model[0].bias.zero_()
        model[2].weight.copy_(torch.stack([corner.flatten(), 0 * corner.flatten()]))
        model[2].bias.zero_()
    from edgecat_runtime.model.card import ModelCard

    plain = Probe(model, ModelCard("plain", ("a", "b"), 16, 16, mean=(0.0,) * 3, std=(1.0,) * 3))
    frame = np.full((16, 16, 3), 255, np.uint8)
    done: list[int] = []
    falls = occlusion(plain, frame, 0, on_frames=done.append)
    assert sum(done) == occlusions(plain)
    # The only patch that covers pixel (0, 0) of those cut to one row or column hides 1 of 16 ...
    assert falls[:4, :4].min() > 0
    assert falls[8:, 8:].max() == 0
    # ... and the mean over the 16 patches on it, of 1 to 4 rows and columns: ((1+2+3+4) / 4) ** 2.
    assert falls[0, 0] == pytest.approx(2.5**2, rel=1e-5)


def test_the_parts_of_the_units_are_the_log_odds(probe: Probe, album: Path) -> None:
    picture = read_image(album / "cat" / "0.png")
    found = explain(probe, picture)
    layer = probe.last_maps.name
    maps = probe.run(picture, [layer]).maps[layer]
    slopes = probe.derivatives(picture, "classifier.1", found.label, layer)
    # Nothing was trained: the bias of the logits is still 0.
    odds = found.seen.logits[found.label] - found.seen.logits[1 - found.label]
    assert (maps * slopes).sum() == pytest.approx(odds, rel=1e-3)
    assert [unit.logit for unit in found.units] == sorted(
        (unit.logit for unit in found.units), reverse=True
    )
    assert found.gradcam.shape == found.occlusion.shape == picture.shape[:2]


@pytest.mark.parametrize(
    ("heat", "expected"),
    [([[1, 1], [1, 1]], 0.25), ([[3, 1], [0, -9]], 0.75), ([[-1, 0], [0, 0]], None)],
)
def test_share_inside(heat: list[list[float]], expected: float | None) -> None:
    mask = np.array([[True, False], [False, False]])
    share = looking.share_inside(np.float32(heat), mask)
    assert np.isnan(share) if expected is None else share == expected


def test_explain_writes_a_page_and_pictures(
    cli: Callable[..., object], own: Path, album: Path, tmp_path: Path
) -> None:
    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), np.random.default_rng(0).integers(0, 256, (90, 40), np.uint8))
    ran = cli("explain", grey, "--engine", own, "--output", tmp_path / "why", "--json")
    assert ran.code == 0
    facts = json.loads(ran.out)
    names = {Path(path).name for path in facts["written"]}
    assert names == {"grey.html", "grey-gradcam.png", "grey-occlusion.png", "grey-units.png"}
    page = (tmp_path / "why" / "grey.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("data:image/jpeg") == 4 + 2 * len(facts["units"])
    assert cv2.imread(str(tmp_path / "why" / "grey-gradcam.png")).shape == (90, 40, 3)
    one = tmp_path / "one.html"
    assert cli("explain", grey, "--engine", own, "--output", one, "--label", "dog").code == 0
    assert one.exists()


def test_explain_pets(cli: Callable[..., object], own: Path) -> None:
    ran = cli("explain", "--pets", 2, "--engine", own, "--json")
    found = json.loads(ran.out)
    assert set(found["inside"]) == {"Grad-CAM", "occlusion"}
    assert 0 < found["area"]["mean"] < 1
    assert 0 <= found["inside"]["occlusion"]["mean"] <= 1


def test_bad_requests_are_sentences(
    cli: Callable[..., object], own: Path, exported: Path, album: Path, tmp_path: Path
) -> None:
    good = album / "cat" / "0.png"
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:300])
    table = [
        (("explain", good, "--pets", 2), "give one image, or --pets"),
        (("explain", cut, "--engine", own), "is truncated"),
        (("explain", album, "--engine", own), "is a folder; expected one image"),
        (("explain", good, "--engine", exported), "is an exported model and cannot be inspected"),
        (("explain", good, "--engine", good), "expected a .safetensors"),
        (("explain", good, "--engine", own, "--label", "cow"), "label 'cow' is unknown"),
        (("explain", good, "--engine", own, "--output", good / "x"), "cannot write"),
        (("deepvis", "top", album, "--engine", own, "--layers", "conv9"), "layer 'conv9' is not"),
        (("deepvis", "top", tmp_path / "none", "--engine", own), "does not exist"),
        (("deepvis", "synthesise", "--engine", own, "--style", "x"), "expected modern or toolbox"),
        (("deepvis", "synthesise", "--engine", own, "--units", "a"), "expected numbers and ranges"),
    ]
    for arguments, message in table:
        ran = cli(*arguments)
        assert (ran.code, message in ran.err) == (1, True), (arguments, ran.err)
        assert ran.err.count("\n") == 1


def test_top_and_synthesise_by_command(cli: Callable[..., object], own: Path, album: Path) -> None:
    engine = ("--engine", own, "--layers", "classifier.*", "--units", "0")
    assert cli("deepvis", "top", album, *engine).code == 0
    assert cli("deepvis", "synthesise", *engine, "--steps", 1).code == 0
    results, probe = Results(own, read_card(own)), open_probe(own)
    for kind in ("top", "deconv", "synthesised"):
        assert results.picture(kind, probe.layers[-1], 0) is not None
