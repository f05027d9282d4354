"""The demo's report: one self-contained HTML page."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from html import escape
from importlib.metadata import distributions
from importlib.resources import files
from pathlib import Path
from statistics import harmonic_mean
from string import Template

from edgecat.demo.figures import bars, contact_sheet, player, timeline
from edgecat.demo.result import DemoResult
from edgecat.pets.film import FPS
from edgecat.report.charts import LIMIT, key, keys
from edgecat.report.page import badge, cards, data_url, scrolling, stylesheet, table, verdict
from edgecat_runtime.model.parity import LOGIT_LIMITS
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.machine import this_machine
from edgecat_runtime.system.opencv import cv2_module

_SHOWN, _WRONG = 48, 12  # images
_LIBRARIES = ("edgecat", "torch", "onnx", "onnxruntime", "openvino", "numpy")


def write_report(result: DemoResult) -> Path:
    """Write `report.html` into the demo's folder: one self-contained page.

    Raises:
        UserError: it cannot be written.
    """
    page = Template(files("edgecat.demo").joinpath("page.html").read_text(encoding="utf-8"))
    parts = {
        "style": stylesheet(),
        **_head(result),
        **_pictures(result),
        **_training(result),
        **_parity(result),
        **_latency(result),
        **_camera(result),
    }
    path = result.config.output / "report.html"
    atomic_write(path, page.substitute(parts))
    return path


def _head(result: DemoResult) -> dict[str, str]:
    best = min(result.timings, key=lambda row: row.latency_ms["p50"])
    worst = max(pair.max_logit_error for pair in result.pairs)
    facts = [
        (f"{result.evaluation.accuracy:.1%}", f"accuracy on {result.evaluation.n:,} unseen images"),
        (f"{worst:.0e}", f"largest logit error (limit {LOGIT_LIMITS['fp32']:.0e})"),
        (f"{best.latency_ms['p50']:.1f} ms", f"per frame on {best.backend}"),
        (f"{result.camera.fps:.0f} fps", "in the complete camera loop"),
    ]
    commands = (
        "edgecat teach mug bottle --source 0    # show it two things: docs/teach.md\n"
        "edgecat train photos/ --name pets      # photos/cat, photos/dog, or any other classes\n"
        "edgecat export                         # the newest run, to ONNX, verified\n"
        "edgecat verify runs/pets/vgg16.safetensors runs/pets/vgg16.onnx --data photos/\n"
        "edgecat camera --source 0              # a webcam, a video or a folder of images"
    )
    answer = (
        f"{result.evaluation.accuracy:.1%} of {result.evaluation.n:,} unseen images are classified "
        "correctly, and every backend predicts what PyTorch does"
    )
    return {
        "verdict": verdict(answer, "pass"),
        "subtitle": "edgecat did all of this without photos, a camera, a GPU or a download, "
        f"in {sum(result.seconds.values()):.0f} seconds.",
        "cards": cards(facts),
        "commands": escape(commands),
        "footer": f"Seed {result.config.seed}. Measured on {escape(str(this_machine()))}; "
        f"{escape(', '.join(_versions()))}.",
    }


def _pictures(result: DemoResult) -> dict[str, str]:
    wrong = [tile for tile in result.tiles if not tile.right]
    mistakes = ""
    if wrong:
        shown = wrong[:_WRONG]
        more = f", the first {len(shown)}" if len(shown) < len(wrong) else ""
        mistakes = f"<h3>Misclassified images{more}</h3>{contact_sheet(shown)}"
    return {
        "sheet": contact_sheet(result.tiles[:_SHOWN]),
        "sheet_text": f"The model misclassified {len(wrong)} of {len(result.tiles)}; ✓ is a "
        "correct prediction, ✗ a wrong one.",
        "mistakes": mistakes,
    }


def _training(result: DemoResult) -> dict[str, str]:
    config, run = result.config, result.training
    text = (
        f"VGG16 (Simonyan and Zisserman, 2014) at {config.width:g} x its width, with batch norm "
        f"and global average pooling, input {config.size} x {config.size} pixels: "
        f"{len(run.history)} epochs on {config.pictures:,} drawings, a tenth of them for "
        f"validation, in {result.seconds['train']:.0f} s "
        f"({harmonic_mean([row.images_per_second for row in run.history]):.0f} images per second). "
        "Training images are randomly cropped, flipped and recoloured, so they are harder than "
        "the validation images. The confusion matrix covers the test images."
    )
    return {
        "training_text": escape(text),
        "curves": scrolling(
            f'<img src="{data_url(run.folder / "curves.png")}" '
            'alt="Training and validation loss and accuracy per epoch">',
            "Learning curves",
            wide=True,
        ),
        "confusion": data_url(run.folder / "confusion-test.png"),
    }


def _parity(result: DemoResult) -> dict[str, str]:
    rows = [
        (
            escape(Path(pair.candidate).name),
            badge(pair.passed),
            escape(pair.backend),
            "golden frames" if pair.reference == "golden" else "test images",
            f"{pair.n:,}",
            f"{pair.max_logit_error:.1e}",
            f"{LOGIT_LIMITS[pair.precision]:.0e}",
            f"{pair.agreement:.2%}",
        )
        for pair in result.pairs
    ]
    header = (
        "artifact",
        "",
        "backend",
        "compared with PyTorch on",
        "n",
        "largest logit error",
        "limit",
    )
    return {
        "parity_text": "Only a model that matches PyTorch is written. The golden frames and "
        "PyTorch's logits for them are stored in the file, and every device replays them before it "
        "serves predictions. Errors are relative to the spread of the logits.",
        "parity": table((*header, "same class"), rows, left=(0, 1, 2, 3)),
    }


def _latency(result: DemoResult) -> dict[str, str]:
    fitting = min(row.stages_ms["preprocess"] for row in result.timings)
    rows = [
        (row.backend, Path(row.model).name, row.latency_ms["p50"], row.latency_ms["p99"])
        for row in result.timings
    ]
    return {
        "latency_text": "Network only, in milliseconds, batch size 1, on all cores. "
        f"Preprocessing a 1280 x 720 frame takes another {fitting:.2f} ms.",
        "latency": bars(rows),
    }


def _camera(result: DemoResult) -> dict[str, str]:
    said, summary = result.said, result.camera
    raw = _share([one.raw == one.truth for one in said])
    smooth = _share([one.label == one.truth for one in said])
    rows = [(name, f"{value:.2f}") for name, value in summary.stages_ms.items()]
    rows += [(f"frame age, {name}", f"{value:.1f}") for name, value in summary.frame_age_ms.items()]
    return {
        "camera_text": f"A hand-held camera films {result.config.scenes} drawn scenes. The loop "
        f"read {summary.frames} frames, classified every one and recorded them with the overlay in "
        f"{summary.seconds:.1f} s. {raw} of the raw predictions were correct, and {smooth} "
        "of the decisions, which are smoothed over time and so lag a change of scene by a few "
        "frames.",
        "player": player(result.recording),
        "recording": escape(result.recording.name),
        "stages": table(("stage", "ms, median"), rows, left=(0,)),
        "timeline": timeline(said, FPS),
        "timeline_text": "Top: the true label. Bottom: the decision; the height of a bar is its "
        f"confidence. {keys(sorted({one.truth for one in said}))}"
        f' <span class="named">{key(LIMIT)}wrong, below the line</span> a gap: unsure',
    }


def _share(right: Sequence[bool]) -> str:
    return f"{sum(right) / max(len(right), 1):.1%}"


def _versions() -> list[str]:
    """List the versions of edgecat, Python and the installed libraries that matter."""
    installed = {dist.name.lower(): dist.version for dist in distributions() if dist.name}
    found = [f"{name} {installed[name]}" for name in _LIBRARIES if name in installed]
    return [*found, f"OpenCV {cv2_module().__version__}", f"Python {platform.python_version()}"]
