"""`edgecat deepvis top`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.deepvis.options import Device, Layers, Model, Units


def top(
    data: Annotated[
        list[Path],
        typer.Argument(help="Folders of class folders, or .tar files with the same layout."),
    ],
    engine: Model = None,
    layers: Layers = None,
    units: Units = None,
    device: Device = "cpu",
) -> None:
    """Find the nine images that activate each unit most strongly, and the regions responsible.

    The results, with a deconvolution of each, are stored next to the checkpoint and shown by
    `edgecat deepvis` and `edgecat explain`. An interrupted search is resumed.

    Example: `edgecat deepvis top photos/ --layers 'features.3*'`
    """
    from edgecat.cli.terminal.console import TERMINAL, note_model, progress, say, warn
    from edgecat.data.folder import scan
    from edgecat.deepvis.probe import open_probe
    from edgecat.deepvis.results import Results, chosen_units
    from edgecat.deepvis.top import Request, TopImages, batch_size
    from edgecat.workflows.models import model_to_look_into
    from edgecat.workflows.reporter import warn_skipped
    from edgecat_runtime.system.counting import number_of

    checkpoint = model_to_look_into(engine)
    probe = open_probe(checkpoint, device=device)
    note_model(probe.card, checkpoint, device)
    chosen = tuple(chosen_units(units, probe.chosen(layers)))
    pictures = scan(data)
    for sentence in pictures.skipped:
        warn(f"skipped: {sentence}")
    results = Results(checkpoint, probe.card)
    search = TopImages(probe, results, Request(pictures, chosen, batch_size(probe)))
    with progress(len(pictures), "searching") as advance:
        search.search(advance)
    warn_skipped(TERMINAL, search.skipped)
    count = sum(len(some) for _, some in chosen)
    with progress(count, "drawing") as advance:
        search.draw(advance)
    found = f"{number_of(count, 'unit')} of {number_of(len(chosen), 'layer')}"
    say(f"{found}, in {pictures}; edgecat deepvis shows them: key 9")
    say(results.told(("top", "deconv"), chosen))
