"""Pack the training photos into parts that each fit into one call; run by pack.sh.

    python photos.py parts PHOTOS A.tar.gz B.tar.gz    # original JPEGs, two parts of equal size
    python photos.py small PHOTOS S.tar.gz             # all photos at 176 pixels, WebP quality 75

The training/validation split hashes an image's name in its tar, so both names are kept:
`train-0.tar/train/cat/1.jpg`. assemble.py rebuilds the same tars on the GPU machine.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

SIDE, QUALITY = 176, 75


def members(photos: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of every training image; the name starts with that of its tar."""
    for path in sorted(photos.glob("train-*.tar")):
        with tarfile.open(path) as pictures:
            for member in pictures:
                file = pictures.extractfile(member) if member.isfile() else None
                if file is not None:
                    yield f"{path.name}/{member.name}", file.read()


def pack_parts(photos: Path, targets: list[Path]) -> None:
    """Spread the images over archives of equal size; tar padding compresses away."""
    written = [0] * len(targets)
    with ExitStack() as stack:
        archives = [
            stack.enter_context(tarfile.open(target, "w:gz", compresslevel=1)) for target in targets
        ]
        for name, data in members(photos):
            emptiest = written.index(min(written))
            _add(archives[emptiest], name, data)
            written[emptiest] += len(data)


def pack_small(photos: Path, target: Path) -> None:
    """Pack all images into one archive, scaled down to a shorter side of 176 pixels."""
    import cv2
    import numpy as np

    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        for name, data in members(photos):
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if image is None:
                raise SystemExit(f"cannot decode {name} in {photos}")
            scale = min(1.0, SIDE / min(image.shape[:2]))
            width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            _, encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
            _add(archive, name, encoded.tobytes())


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("parts", "small"))
    parser.add_argument("photos", type=Path)
    parser.add_argument("targets", nargs="+", type=Path)
    options = parser.parse_args()
    if not any(options.photos.glob("train-*.tar")):
        raise SystemExit(f"{options.photos} has no train-*.tar; set EDGECAT_PHOTOS to the folder")
    if options.what == "parts":
        pack_parts(options.photos, options.targets)
    else:
        pack_small(options.photos, options.targets[0])


if __name__ == "__main__":
    main()
