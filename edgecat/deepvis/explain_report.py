"""Writes an explanation as images and as a self-contained HTML page."""

from __future__ import annotations

from html import escape
from pathlib import Path

from edgecat.deepvis.explain import Explanation, UnitSeen
from edgecat.deepvis.rendering import heat_over, held, sheet, slopes
from edgecat.deepvis.results import Results
from edgecat.report.page import cards, data_url, page, verdict
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

_LARGEST = 640  # pixels, maximum longer side of an image in the page
_SIDE = 160  # pixels, side of a unit's image
_STYLE = """<style>
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 210px), 1fr));
  gap: 20px; margin-top: 16px; align-items: start; }
.pictures img { width: 100%; }
.units { display: grid; gap: 20px; margin-top: 16px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 290px), 1fr)); }
.unit .tiles { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; gap: 6px;
  align-items: start; margin-top: 4px; }
.unit img { width: 100%; } .unit figcaption { font-size: 12.5px; margin-top: 3px; }
</style>"""


def write_explanation(
    found: Explanation, card: ModelCard, results: Results, name: str, output: Path
) -> list[Path]:
    """Write the page and, if the output is a folder, the images too.

    Args:
        found: the explanation.
        card: model card.
        results: stored results about its units.
        name: display name of the image.
        output: a `.html` file, or a folder for `NAME.html`, `NAME-gradcam.png`,
            `NAME-occlusion.png` and `NAME-units.png`.

    Returns:
        The files.

    Raises:
        UserError: one cannot be written.
    """
    html = _page(found, card, results, name)
    if output.suffix.lower() in (".html", ".htm"):
        atomic_write(output, html)
        return [output]
    stem = Path(name).stem or "picture"
    pictures = {
        f"{stem}-gradcam.png": heat_over(found.picture, found.gradcam),
        f"{stem}-occlusion.png": heat_over(found.picture, found.occlusion),
        f"{stem}-units.png": units_image(found),
    }
    for file, picture in pictures.items():
        atomic_write(output / file, _png(picture))
    atomic_write(output / f"{stem}.html", html)
    return [output / f"{stem}.html", *(output / file for file in pictures)]


def units_image(found: Explanation) -> Image:
    """Lay out one row per unit: its activation map and the pixels that drive it."""
    shown = [picture for unit in found.units for picture in _unit(found, unit)]
    return sheet(shown, side=_SIDE, columns=2)


def _unit(found: Explanation, unit: UnitSeen) -> tuple[Image, Image]:
    return heat_over(found.seen.frame, unit.map), slopes(unit.back)


def _page(found: Explanation, card: ModelCard, results: Results, name: str) -> str:
    label = card.labels[found.label]
    best = found.seen.best(card.labels)
    answer, share = best[0]
    facts = [
        (answer, "prediction"),
        (f"{share:.1%}", "probability"),
        *((f"{other:.1%}", text) for text, other in best[1:4]),
    ]
    why = f"Why {label}"
    body = (
        f"{_STYLE}<h1>{escape(why)}: {escape(Path(name).name)}</h1>"
        f"{verdict(f'The prediction is {answer}, at {share:.1%}')}"
        f"<p>What a {escape(card.architecture)} with a {card.width} x {card.height} input saw in "
        f"this image, and the evidence for <b>{escape(label)}</b>.</p>"
        f"{cards(facts)}{_maps(found, label)}{_units(found, results, label)}"
    )
    return page(f"{why}: {Path(name).name}", body)


def _maps(found: Explanation, label: str) -> str:
    small = _shrunk(found.picture)
    fall = float(found.occlusion.max())
    shown = [
        (small, "The image."),
        (
            heat_over(small, found.gradcam),
            f"Grad-CAM: the evidence for {label} in the last {found.layer.shape[2]} x "
            f"{found.layer.shape[1]} maps. Bright is strongest.",
        ),
        (
            heat_over(small, found.occlusion),
            f"Occlusion: regions {label} depends on. Hiding the brightest lowers its log odds by "
            f"{fall:.2f}.",
        ),
        (held(found.seen.frame, _LARGEST // 2), "The network input."),
    ]
    figures = "".join(_figure(picture, text) for picture, text in shown)
    return (
        "<section><h2>Where</h2><p>Two methods to find which part of the image matters: Grad-CAM "
        "uses the network's own maps and gradients, occlusion hides a region and measures "
        f'the loss.</p><div class="pictures">{figures}</div></section>'
    )


def _units(found: Explanation, results: Results, label: str) -> str:
    blocks = []
    for unit in found.units:
        places, back = _unit(found, unit)
        figures = [(places, "where it is active"), (back, "which pixels drive it")]
        for kind, text in (
            ("synthesised", "synthesised to excite it"),
            ("top", "images that excite it most"),
        ):
            known = results.picture(kind, found.layer, unit.unit)  # type: ignore[arg-type]
            figures += [(known, text)] if known is not None else []
        pictures = "".join(_figure(held(picture, _SIDE), text) for picture, text in figures)
        blocks.append(
            f'<div class="unit"><b>Unit {unit.unit}</b> {unit.logit:+.2f}'
            f'<div class="tiles">{pictures}</div></div>'
        )
    return (
        f"<section><h2>Which units</h2><p>The units of {escape(found.layer.name)} that add most "
        f"to the log odds of {escape(label)}, and how much. The pixels are found by guided "
        f'back-propagation.</p><div class="units">{"".join(blocks)}</div></section>'
    )


def _figure(picture: Image, text: str) -> str:
    url = data_url(_jpeg(picture), "image/jpeg")
    return (
        f'<figure><img src="{url}" alt="{escape(text)}"><figcaption>{escape(text)}</figcaption>'
        "</figure>"
    )


def _shrunk(picture: Image) -> Image:
    """Scale an image to a size suited to the page and to a heat map."""
    cv2 = cv2_module()
    factor = _LARGEST / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    result: Image = cv2.resize(picture, size, interpolation=how)
    return result


def _jpeg(picture: Image) -> bytes:
    cv2 = cv2_module()
    data: bytes = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    return data


def _png(picture: Image) -> bytes:
    data: bytes = cv2_module().imencode(".png", picture)[1].tobytes()
    return data
