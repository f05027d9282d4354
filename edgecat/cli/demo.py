"""`edgecat demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[
        Path, typer.Option(help="Folder for the report, the clip and the model.")
    ] = Path("demo"),
    seed: Annotated[
        int, typer.Option(min=0, max=1000, help="Random seed for images, training and clip.")
    ] = 0,
) -> None:
    """Run the whole workflow on drawn cats and dogs: without photographs, camera, GPU or network.

    Draws images, trains a small VGG16 for about a minute, exports it, verifies the export on every
    installed backend, benchmarks it and runs the camera loop over a drawn clip. The folder receives
    report.html, a single page with all results, and camera.webm (or .mp4), the recording.

    Example: `edgecat demo --output demo`
    """
    from edgecat.cli.terminal.console import say
    from edgecat.cli.terminal.epochs import EpochLines
    from edgecat.demo import DemoConfig, run_demo

    config = DemoConfig(output=output, seed=seed)
    with EpochLines(config.epochs) as lines:
        report = run_demo(config, say, lines)
    recording = next(output.glob("camera.*"))
    say(f"open {report} in a browser; the recording is {recording}")
