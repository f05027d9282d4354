"""Source `hotfolder:DIR`: every image that is put into a folder, as soon as it is complete."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from edgecat_runtime import Shot, Source, SourceOptions, UserError
from edgecat_runtime.images import IMAGE_SUFFIXES, read_image


class HotFolder(Source):
    """Waits for images in a folder, such as those that a camera uploads by FTP."""

    stills = True  # unrelated images are not smoothed

    def __init__(self, folder: Path) -> None:
        self.name, self._folder = f"hot folder {folder}", folder
        self._seen, self._sizes = set[Path](), dict[Path, int]()
        self._closed = Event()

    def read(self) -> Shot | None:
        """Return the next image that can be decoded; wait for one if there is none."""
        while not self._closed.wait(0.2):
            sizes = {path: path.stat().st_size for path in self._folder.iterdir()}
            for path in sorted(sizes.keys() - self._seen):
                complete = sizes[path] and self._sizes.get(path) == sizes[path]
                if complete and path.suffix.lower() in IMAGE_SUFFIXES:
                    self._seen.add(path)
                    try:
                        return Shot(read_image(path), path.name)
                    except UserError:
                        self.skipped += 1
            self._sizes = sizes
        return None

    def cancel(self) -> None:
        """Make a waiting `read` return."""
        self._closed.set()


def open_hot_folder(text: str, options: SourceOptions) -> HotFolder:
    """Open `hotfolder:DIR`."""
    folder = Path(text.partition(":")[2])
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; expected hotfolder:DIR")
    options.refuse("a hot folder", "width", "height", "fps", instead="leave it out")
    return HotFolder(folder)
