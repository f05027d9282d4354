"""`edgecat deepvis synthesise`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgecat.cli.deepvis.options import Device, Layers, Model, Units


def synthesise(
    engine: Model = None,
    layers: Layers = None,
    units: Units = None,
    style: Annotated[
        str,
        typer.Option(
            help="Method: modern (optimises in frequency space, with jitter) or toolbox (the "
            "regularisers of the Deep Visualization Toolbox)."
        ),
    ] = "modern",
    steps: Annotated[int, typer.Option(min=1, help="Number of gradient-ascent steps.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for noise and jitter.")] = 0,
    decay: Annotated[
        float, typer.Option(min=0, max=1, help="toolbox: fraction by which pixels decay per step.")
    ] = 0.01,
    blur: Annotated[
        float,
        typer.Option(min=0, max=16, help="toolbox: standard deviation of the blur in pixels."),
    ] = 0.5,
    blur_every: Annotated[
        int,
        typer.Option(min=0, help="toolbox: number of steps between blurs; 0 disables the blur."),
    ] = 4,
    small_norm: Annotated[
        float,
        typer.Option(
            min=0,
            max=99,
            help="toolbox: percentage of pixels, those closest to the mean colour, to set to it.",
        ),
    ] = 30.0,
    small_contribution: Annotated[
        float,
        typer.Option(
            min=0,
            max=99,
            help="toolbox: percentage of pixels, those contributing least to the unit, to set to "
            "the mean colour.",
        ),
    ] = 0.0,
    device: Device = "cpu",
) -> None:
    """Synthesise images that maximally activate each unit.

    The results are stored next to the checkpoint and shown by `edgecat deepvis` and `edgecat
    explain`. An interrupted synthesis is resumed; with other settings it starts over.

    Example: `edgecat deepvis synthesise --layers classifier.1 --layers features.42 --units 0-15`
    """
    from edgecat.cli.terminal.console import note_model, progress, say
    from edgecat.deepvis.probe import open_probe
    from edgecat.deepvis.results import Results, chosen_units
    from edgecat.deepvis.synthesise import STYLES, Synthesis, synthesise_all
    from edgecat.workflows.models import model_to_look_into
    from edgecat_runtime.errors import UserError
    from edgecat_runtime.system.counting import number_of

    known = next((one for one in STYLES if one == style), None)
    if known is None:
        raise UserError(f"--style is {style!r}; expected {' or '.join(STYLES)}")
    how = Synthesis(
        style=known,
        steps=steps,
        seed=seed,
        decay=decay,
        blur=blur,
        blur_every=blur_every,
        small_norm=small_norm,
        small_contribution=small_contribution,
    )
    checkpoint = model_to_look_into(engine)
    probe = open_probe(checkpoint, device=device)
    note_model(probe.card, checkpoint, device)
    # The last layers first: they are the most informative.
    chosen = chosen_units(units, probe.chosen(layers)[::-1])
    results = Results(checkpoint, probe.card)
    count = sum(len(some) for _, some in chosen)
    with progress(count, "synthesising") as advance:
        synthesise_all(probe, results, chosen, how, on_units=advance)
    found = f"{number_of(count, 'unit')} of {number_of(len(chosen), 'layer')}"
    say(f"{found}; edgecat deepvis shows them: key 9")
    say(results.told(("synthesised",), chosen))
