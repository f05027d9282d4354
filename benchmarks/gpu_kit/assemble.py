"""Reassemble the photos' tars, under their original names, from the parts received so far.

    python assemble.py TARGET PART.tar.gz... [--limit 600]

The training/validation split hashes an image's name in its tar: with the same names
the validation photos are the same on both machines.
"""

from __future__ import annotations

import argparse
import tarfile
from contextlib import ExitStack
from pathlib import Path

SMALL = "photos-s.tar.gz"


def chosen(parts: list[Path]) -> list[Path]:
    """Choose the parts to use: all images scaled down are better than one of several full parts."""
    large = [part for part in parts if part.name != SMALL]
    small = [part for part in parts if part.name == SMALL]
    return sorted(small if small and len(large) == 1 else large or small)


def assemble(target: Path, parts: list[Path], limit: int = 0) -> int:
    """Write the tars, unless they exist.

    Args:
        target: output folder.
        parts: archives from photos.py.
        limit: maximum number of images, evenly spread; 0 for all.

    Returns:
        The number of images written; 0 if there was nothing to do.
    """
    wanted = " ".join(part.name for part in chosen(parts))
    done = target / "parts"
    if not wanted or (done.exists() and done.read_text() == wanted):
        return 0
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("train-*.tar"):
        old.unlink()
    names = [member.name for part in chosen(parts) for member in _files(part)]
    kept = set(names[:: max(1, len(names) // limit)] if limit else names)
    tars: dict[str, tarfile.TarFile] = {}
    with ExitStack() as stack:
        for part in chosen(parts):
            pictures = stack.enter_context(tarfile.open(part, "r|gz"))
            for member in pictures:
                if not member.isfile() or member.name not in kept:
                    continue
                name, _, member.name = member.name.partition("/")
                if name not in tars:
                    tars[name] = stack.enter_context(tarfile.open(target / name, "w"))
                tars[name].addfile(member, pictures.extractfile(member))
    done.write_text(wanted)
    return len(kept)


def _files(part: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(part) as pictures:
        return [member for member in pictures if member.isfile()]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("parts", nargs="+", type=Path)
    parser.add_argument("--limit", type=int, default=0)
    options = parser.parse_args()
    count = assemble(options.target, options.parts, options.limit)
    if count:
        print(f"{count} photos in {options.target}")


if __name__ == "__main__":
    main()
