"""The findings of a check as an HTML page: counts and a contact sheet of suspect images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from random import Random

import numpy as np

from edgecat.curation.findings import Copies, Doubt, Findings
from edgecat.report.page import Tone, cards, data_url, page, table, verdict
from edgecat_runtime.images import ImageError, decode_image
from edgecat_runtime.model.preprocess import shrink
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.opencv import cv2_module

SHOWN = 60  # maximum number of duplicate groups, and of doubtful labels, in the contact sheet
_TILE = 112
_MEMBERS = 6  # images shown per group
_QUALITY = 82
_RANDOM = 48  # images in the random sample
_STYLE = """<style>
.groups { display: flex; flex-wrap: wrap; gap: 14px; margin-top: 16px; }
.groups figure { background: var(--paper); border: 1px solid var(--rule); border-radius: 10px;
  padding: 8px; max-width: 100%; }
.groups .pair { display: flex; flex-wrap: wrap; gap: 6px; }
.tile { width: 112px; font-size: 12.5px; line-height: 1.3; color: var(--faint);
  overflow-wrap: anywhere; }
.tile b { color: var(--ink); }
.tile img { width: 112px; height: 112px; object-fit: contain; }
.sheet .tile { width: auto; } .sheet .tile img { width: 100%; height: auto; }
.groups figcaption { font-size: 13px; width: min-content; min-width: 100%; }
.tag { display: inline-block; border-radius: 4px; padding: 0 6px; margin-right: 4px;
  font-size: 12.5px; background: var(--rule); color: var(--ink); }
.tag.bad { background: color-mix(in srgb, var(--red) 14%, var(--card)); color: var(--red);
  font-weight: 600; }
</style>"""


def write_report(path: Path, findings: Findings) -> None:
    """Write the page atomically.

    Raises:
        UserError: it cannot be written.
    """
    atomic_write(path, report_html(findings))


def report_html(findings: Findings) -> str:
    """Return the findings as a complete HTML document."""
    sections = (_overview, _sample, _copies, _doubts, _corrupt)
    body = "\n".join(part(findings) for part in (_head, *sections))
    return page("edgecat data check", _STYLE + body)


def _head(findings: Findings) -> str:
    extra = sum(len(group.members) - 1 for group in findings.copies)
    facts = [
        (f"{len(findings.pictures):,}", f"images of {', '.join(findings.pictures.labels)}"),
        (f"{len(findings.corrupt):,}", "corrupt"),
        (f"{extra:,}", "duplicates"),
        (f"{len(findings.across):,}", "groups of duplicates across splits"),
    ]
    if findings.model:
        facts.append((f"{len(findings.doubts):,}", f"labels doubted by {findings.model}"))
    result = "; ".join(findings.problems) or "No problems found"
    result = result[0].upper() + result[1:]
    tone: Tone = "fail" if findings.faults else "note" if findings.problems else "pass"
    return f"<h1>Data set check</h1>\n{verdict(result, tone)}\n{cards(facts)}"


def _overview(findings: Findings) -> str:
    labels = [escape(label) for label in findings.pictures.labels]
    rows = [
        (escape(split or "no split"), *(f"{count:,}" for count in row.values()))
        for split, row in findings.counts.items()
    ]
    known = findings.sizes[findings.sizes[:, 0] > 0]
    sides = []
    if len(known):
        values = (known[:, 1], known[:, 0], known[:, 1] / known[:, 0])
        for name, column in zip(("width", "height", "width / height"), values, strict=True):
            quantiles = np.percentile(column, (0, 5, 50, 95, 100))
            sides.append((name, *(f"{value:,.4g}" for value in quantiles)))
    columns = ("", "smallest", "5 %", "median", "95 %", "largest")
    return (
        '<section><h2>Classes and sizes</h2><div class="row"><div>'
        f"{table(('split', *labels), rows, left=(0,))}</div><div>"
        f"{table(columns, sides, left=(0,))}</div></div></section>"
    )


def _sample(findings: Findings) -> str:
    """A contact sheet of random images, the same ones for the same data, class by class."""
    corrupt = {index for index, _ in findings.corrupt}
    known = [i for i in range(len(findings.pictures)) if i not in corrupt]
    chosen = Random(0).sample(known, min(_RANDOM, len(known)))
    chosen.sort(key=lambda index: (findings.pictures.pictures[index].label, index))
    tiles = "".join(_tile(findings, index) for index in chosen)
    text = (
        f"{len(chosen)} of {len(known):,} images, chosen at random. Are the labels right, the "
        "images what the model will see, and the classes alike in all but the thing itself?"
    )
    return (
        f"<section><h2>A random sample</h2><p>{text}</p>"
        f'<div class="sheet" style="--tile:104px">{tiles}</div></section>'
    )


def _copies(findings: Findings) -> str:
    if not findings.copies:
        return _section("Duplicates", "No duplicate images.")
    shown = findings.copies[:SHOWN]
    text = (
        "Groups of images with the same content, found by a perceptual hash and confirmed on "
        "thumbnails. Across training and test they make a model look better than it is; with "
        f"two labels, one label is wrong.{_more(len(shown), len(findings.copies))}"
    )
    return _section("Duplicates", text, "".join(_group(findings, group) for group in shown))


def _group(findings: Findings, group: Copies) -> str:
    tiles = "".join(_tile(findings, index) for index in group.members[:_MEMBERS])
    rest = len(group.members) - _MEMBERS
    bad = len(group.splits) > 1 or len(group.labels) > 1
    tags = "".join(
        f'<span class="tag{" bad" * (bad and i == 0)}">'
        f"{'✗ ' * (bad and i == 0)}{escape(note)}</span>"
        for i, note in enumerate(group.notes)
    )
    more = f"and {rest} more " if rest > 0 else ""
    return f'<figure><div class="pair">{tiles}</div><figcaption>{more}{tags}</figcaption></figure>'


def _doubts(findings: Findings) -> str:
    if not findings.model:
        return ""
    if not findings.doubts:
        return _section("Doubtful labels", f"{findings.model} disagrees with no label.")
    shown = findings.doubts[:SHOWN]
    text = (
        f"Images whose label {findings.model} disagrees with, highest loss first: a wrong "
        "label, an image that shows neither class or both, or a mistake of the model, which tends "
        f"to agree with the labels it was trained on.{_more(len(shown), len(findings.doubts))}"
    )
    return _section("Doubtful labels", text, "".join(_doubt(findings, one) for one in shown))


def _doubt(findings: Findings, doubt: Doubt) -> str:
    label = findings.pictures.labels[findings.pictures.pictures[doubt.picture].label]
    return (
        f"<figure>{_tile(findings, doubt.picture)}<figcaption>labelled <b>{escape(label)}</b> "
        f'({doubt.given:.1%})<br>predicted <b class="fail">✗ {escape(doubt.said)}</b></figcaption>'
        "</figure>"
    )


def _corrupt(findings: Findings) -> str:
    lines = [sentence for _, sentence in findings.corrupt]
    lines += [f"skipped: {sentence}" for sentence in findings.pictures.skipped]
    if not lines:
        return _section("Corrupt files", "Every file decodes completely.")
    rows = [(escape(line),) for line in lines]
    listed = table(("problem",), rows, left=(0,))
    return f'<section class="long"><h2>Corrupt files</h2>{listed}</section>'


def _section(title: str, text: str, sheet: str = "") -> str:
    inside = f'<div class="groups">{sheet}</div>' if sheet else ""
    return f"<section><h2>{title}</h2><p>{escape(text)}</p>{inside}</section>"


def _more(shown: int, total: int) -> str:
    return f" Showing the first {shown} of {total:,}." if shown < total else ""


def _tile(findings: Findings, index: int) -> str:
    picture = findings.pictures.pictures[index]
    label = findings.pictures.labels[picture.label]
    name = escape(picture.name)
    image = "".join(_images(findings, index))
    where = f"{picture.split}, {label}" if picture.split else label
    return f'<div class="tile">{image}<b>{escape(where)}</b><br>{name}</div>'


def _images(findings: Findings, index: int) -> Iterator[str]:
    """Yield a thumbnail of the image, or nothing if the file has disappeared."""
    picture = findings.pictures.pictures[index]
    try:
        image = decode_image(picture.read(), picture.name)
    except ImageError:
        return
    height, width = _inside(image.shape[:2])
    cv2 = cv2_module()
    small = shrink(image, height, width)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    alt = escape(picture.name, quote=True)
    yield f'<img alt="{alt}" src="{data_url(data.tobytes(), "image/jpeg")}">'


def _inside(shape: Sequence[int]) -> tuple[int, int]:
    scale = _TILE / max(shape)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
