"""Lists the images in files, folders, tars, WebDataset shards and Parquet files, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edgecat.data.sources import folder_entries, printable, tar_entries
from edgecat.data.webdataset import expanded
from edgecat.workflows.batch.reading import image_column
from edgecat.workflows.batch.tasks import Item
from edgecat.workflows.reporter import SILENT, Reporter
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import IMAGE_SUFFIXES

TAR, PARQUET = ".tar", ".parquet"
_MOST_INPUTS = 16  # that a worker looks for before it starts


def list_items(
    data: Sequence[Path], *, ignore: Iterable[Path] = (), reporter: Reporter = SILENT
) -> list[Item]:
    """List the images, without reading them.

    Args:
        data: image files; folders, whose images, `.tar` and `.parquet` files at any depth count,
            sorted by name; tars, as `shard-{000..007}.tar` too; Parquet files with a column of
            encoded images. Files and folders are taken in the order given.
        ignore: files and folders that are not input, such as the output.
        reporter: receives a warning for each Parquet file in a folder that has no images.

    Raises:
        UserError: a path does not exist or cannot be read, or there are no images.
    """
    ignored = {path.resolve() for path in ignore}
    items: list[Item] = []
    for path in expanded(data):
        if not path.exists():
            raise UserError(
                f"{path} does not exist; expected an image, a folder, a .tar or a .parquet file"
            )
        items += _folder(path, ignored, reporter) if path.is_dir() else _file(path)
    if not items:
        raise UserError(
            f"{', '.join(map(str, data)) or 'nothing'} contains no images; expected "
            f"{' '.join(IMAGE_SUFFIXES)}, or .tar and .parquet files that contain some. Check "
            "the path"
        )
    return items


def _file(path: Path) -> Iterator[Item]:
    if path.suffix.lower() == TAR:
        return _tar(path)
    if path.suffix.lower() == PARQUET:
        return _parquet(path)
    return iter([Item(printable(str(path)), str(path.absolute()), 0, path.stat().st_size)])


def _folder(root: Path, ignored: set[Path], reporter: Reporter) -> Iterator[Item]:
    for entry in folder_entries(root):
        path, suffix = entry.path, entry.path.suffix.lower()
        if entry.is_folder or entry.problem or _inside(path, ignored):
            continue
        if suffix in IMAGE_SUFFIXES:
            yield Item(printable(str(path)), str(path.absolute()), 0, entry.size)
        elif suffix == TAR:
            yield from _tar(path)
        elif suffix == PARQUET:
            try:
                yield from _parquet(path)
            except UserError as error:
                reporter.warn(f"skipped: {error}")


def _inside(path: Path, folders: set[Path]) -> bool:
    return bool(folders) and not folders.isdisjoint([path.resolve(), *path.resolve().parents])


def _tar(path: Path) -> Iterator[Item]:
    name, place = printable(str(path)), str(path.absolute())
    for entry in tar_entries(path):
        inside = "/".join(entry.parts)
        if not (entry.is_folder or entry.problem) and inside.lower().endswith(IMAGE_SUFFIXES):
            yield Item(f"{name}:{inside}", place, entry.offset, entry.size)


def _parquet(path: Path) -> Iterator[Item]:
    """Yield the rows of a Parquet file, each named by its number."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            image_column(file.schema_arrow, str(path))
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    except (OSError, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"cannot read {path} as Parquet ({reason}); expected a complete .parquet file. Copy it "
            "again"
        ) from error
    name, place, row = printable(str(path)), str(path.absolute()), 0
    for group, rows in enumerate(groups):
        for inside in range(rows):
            yield Item(f"{name}:{row + inside}", place, inside, 0, group)
        row += rows


def digest(items: Iterable[Item]) -> str:
    """Return a hash of the list: of each image's name, place and size, in order."""
    hashed = hashlib.sha256()
    for item in items:
        place = f"{item.offset}\0{item.size}\0{item.row_group}"
        hashed.update(f"{item.source}\0{place}\0".encode())
    return hashed.hexdigest()


def some_inputs(items: Sequence[Item]) -> tuple[tuple[str, int], ...]:
    """Return a few of the files, with their sizes, by which a machine sees whether it has them."""
    step = max(1, len(items) // _MOST_INPUTS)
    paths = dict.fromkeys(item.path for item in items[::step])
    return tuple((path, Path(path).stat().st_size) for path in paths if Path(path).is_file())
