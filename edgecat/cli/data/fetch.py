"""`edgecat data fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options.common import Json

if TYPE_CHECKING:
    from edgecat.curation.catalog import Collection

_NAMED = 10


def fetch(
    name: Annotated[str, typer.Argument(help="Dataset: oxford-pets or cats-vs-dogs.")],
    output: Annotated[Path, typer.Option(help="Folder to create, with one subfolder per class.")],
    breeds: Annotated[
        bool,
        typer.Option(
            "--breeds", help="oxford-pets: use the 37 breeds as classes instead of cat and dog."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Download a public dataset from its official address, under its own terms.

    Each is about 800 MB. It is verified against the published hash and cached; an interrupted
    download is resumed. EDGECAT_DATA_URL names a mirror. Damaged files are listed and skipped.

    Example: `edgecat data fetch oxford-pets --output pets`
    """
    from edgecat.cli.terminal.console import print_json, progress, say, warn
    from edgecat.curation.catalog import collection
    from edgecat.curation.divide import check_output
    from edgecat.curation.unpack import unpack
    from edgecat_runtime.errors import UserError
    from edgecat_runtime.system.counting import number_of

    found = collection(name)
    if breeds and name != "oxford-pets":
        raise UserError(f"{name} has no breed labels; --breeds is for oxford-pets. Omit it")
    check_output(output)
    warn(f"{found.title}\n{found.page}\nterms: {found.terms}")
    archives = [_fetched(found, number) for number in range(len(found.archives))]
    with progress(found.pictures, "unpacking") as advance:
        done = unpack(found, archives, output, breeds=breeds, on_image=advance)
    counts = dict(sorted(done.counts.items()))
    if json:
        answer = {"output": str(output), "terms": found.terms, "counts": counts}
        print_json({**answer, "skipped": done.skipped})
        return
    for sentence in done.skipped[:_NAMED]:
        warn(f"skipped: {sentence}")
    if len(done.skipped) > _NAMED:
        warn(f"skipped: {len(done.skipped) - _NAMED} more; --json lists all")
    each = ", ".join(f"{count:,} {label}" for label, count in counts.items())
    say(f"{output}: {number_of(done.counts.total(), 'image')} ({each})")


def _fetched(found: Collection, number: int) -> Path:
    """One archive of the dataset, from the cache or the network."""
    from edgecat.cli.terminal.downloading import download_bar
    from edgecat.curation.catalog import MIRROR
    from edgecat.download import fetch
    from edgecat_runtime.system.cache import cache_folder

    archive = found.archives[number]
    with download_bar(archive.name) as show:
        return fetch(
            archive.url,
            digest=archive.digest,
            cache=cache_folder() / "data" / found.name,
            advice=f"Or set {MIRROR} to a mirror that has {archive.name}",
            on_progress=show,
        )
