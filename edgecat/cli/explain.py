"""`edgecat explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.deepvis.options import Model
from edgecat.cli.options.common import Json

if TYPE_CHECKING:
    from edgecat.deepvis import Probe
    from edgecat.deepvis.explain import Explanation
    from edgecat.deepvis.looking import Looking, Share
    from edgecat.workflows.served import ServedModel


def explain(
    context: typer.Context,
    image: Annotated[
        Path | None, typer.Argument(help="Image to explain.", show_default=False)
    ] = None,
    engine: Model = None,
    label: Annotated[
        str | None,
        typer.Option(help="Class to explain (default: the predicted one).", show_default=False),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Folder for a page and images, or a single .html file.")
    ] = Path("explained"),
    pets: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Instead of an image: measure on this many drawn pets whether the model looks at "
            "the animal.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Device: cpu, cuda, cuda:1, ...")] = "cpu",
    json: Json = False,
) -> None:
    """Explain the prediction for an image.

    Writes Grad-CAM, an occlusion map and the units that contribute most, as PNG files and one page.
    With --pets, measures how much of the attribution lies on the animal in drawn images, where its
    outline is known.

    Example: `edgecat explain cat.jpg --output why.html`
    """
    from edgecat.cli.terminal.console import note_model
    from edgecat.deepvis.probe import open_probe
    from edgecat.workflows.models import model_to_look_into
    from edgecat_runtime.errors import UserError

    if image is None and pets is None:
        context.fail("give one image, or --pets N for drawn ones: edgecat explain cat.jpg")
    if image is not None and pets is not None:
        raise UserError("give one image, or --pets N for drawn ones: edgecat explain cat.jpg")
    checkpoint = model_to_look_into(engine)
    probe = open_probe(checkpoint, device=device)
    served = note_model(probe.card, checkpoint, device)
    if image is not None:
        _explain(probe, served, image, label, output, json=json)
    elif pets is not None:
        _look(probe, served, pets, json=json)


def _explain(
    probe: Probe, served: ServedModel, image: Path, label: str | None, output: Path, *, json: bool
) -> None:
    from edgecat.cli.terminal.console import print_json, progress, say
    from edgecat.deepvis.explain import explain as explained
    from edgecat.deepvis.explain import occlusions
    from edgecat.deepvis.explain_report import write_explanation
    from edgecat.deepvis.results import Results
    from edgecat_runtime.errors import UserError
    from edgecat_runtime.images import read_image

    number = None if label is None else _number(label, probe.card.labels)
    if image.is_dir():
        raise UserError(f"{image} is a folder; expected one image")
    picture = read_image(image)
    with progress(occlusions(probe), "occluding patches") as advance:
        found = explained(probe, picture, number, on_frames=advance)
    results = Results(Path(served.file or ""), probe.card)
    written = write_explanation(found, probe.card, results, str(image), output)
    facts = _facts(found, probe.card.labels)
    if json:
        files = [str(path) for path in written]
        values = {"source": str(image), **facts, "written": files}
        print_json({**values, "served_by": served.to_dict()})
        return
    answer, share = found.seen.best(probe.card.labels, 1)[0]
    say(f"{image}  {answer} {share:.1%}")
    units = ", ".join(f"{unit.unit} ({unit.logit:+.2f})" for unit in found.units)
    say(f"units of {found.layer.name} for {facts['explained']}: {units}")
    say(f"wrote {', '.join(map(str, written))}")


def _facts(found: Explanation, labels: tuple[str, ...]) -> dict[str, object]:
    return {
        "label": labels[int(found.seen.logits.argmax())],
        "probabilities": {
            name: float(share) for name, share in zip(labels, found.seen.probabilities, strict=True)
        },
        "explained": labels[found.label],
        "layer": found.layer.name,
        "units": [{"unit": unit.unit, "logit": unit.logit} for unit in found.units],
    }


def _number(label: str, labels: tuple[str, ...]) -> int:
    from edgecat_runtime.errors import UserError

    if label not in labels:
        raise UserError(f"label {label!r} is unknown; expected one of {', '.join(labels[:20])}")
    return labels.index(label)


def _look(probe: Probe, served: ServedModel, pets: int, *, json: bool) -> None:
    from edgecat.cli.terminal.console import print_json, progress, say, table
    from edgecat.deepvis.looking import looking_at_pets

    with progress(pets, "explaining drawn pets") as advance:
        found = looking_at_pets(probe, pets, on_pet=advance)
    if json:
        print_json({**_measured(found), "served_by": served.to_dict()})
        return
    say(
        f"{found.pets} drawn pets, {found.accuracy:.1%} classified correctly; the animal covers "
        f"{found.area} of the frame"
    )
    table(
        ("attribution", "on the animal", "on another image's animal"),
        [(name, str(share), str(found.elsewhere[name])) for name, share in found.inside.items()],
    )


def _measured(found: Looking) -> dict[str, object]:
    def plain(share: Share) -> dict[str, float]:
        return {"mean": share.mean, "margin": share.margin, "n": share.n}

    return {
        "pets": found.pets,
        "accuracy": found.accuracy,
        "area": plain(found.area),
        "inside": {name: plain(share) for name, share in found.inside.items()},
        "elsewhere": {name: plain(share) for name, share in found.elsewhere.items()},
    }
