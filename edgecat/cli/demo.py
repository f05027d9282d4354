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
        int, typer.Option(min=0, max=1000, help="Of the pictures, the training and the clip.")
    ] = 0,
) -> None:
    """Show the whole job on drawn cats and dogs: no photographs, no camera, no GPU, no download.

    Draws pictures, trains a small VGG16 for about a minute, exports it, proves the export on every
    backend present, times it and runs the camera loop over a drawn clip. The folder gets
    report.html, one page with everything on it, and camera.mkv, the recording.

    Example: `edgecat demo --output demo`
    """
    from edgecat.cli.terminal.console import say
    from edgecat.cli.terminal.epochs import EpochLines
    from edgecat.demo import DemoConfig, run_demo

    config = DemoConfig(output=output, seed=seed)
    with EpochLines(config.epochs) as lines:
        report = run_demo(config, say, lines)
    say(f"open {report} in a browser; the recording is {output / 'camera.mkv'}")
