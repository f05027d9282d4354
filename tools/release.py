"""A dry run of a release: make release, or python tools/release.py [--output dist] [--no-twine].

Checks that the versions agree, that the changelog has a section for this one and that nothing is
uncommitted; builds the wheel and the source distribution of each package into an empty folder; has
twine check them; and prints what would be uploaded. Nothing is ever uploaded or tagged.
Returns 1 if something is missing; it says everything that is.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGES = {"edgecat-runtime": "runtime", "edgecat-export": "export", "edgecat": "."}
"""Each distribution and its folder; a distribution comes after those that it needs."""


def main() -> int:
    """Run all checks, and return 1 if one of them found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder to build into")
    parser.add_argument("--no-twine", action="store_true", help="leave out twine check")
    asked = parser.parse_args()
    missing = [*version_findings(ROOT), *changelog_findings(ROOT), *git_findings(ROOT)]
    files = build(ROOT, asked.output)
    if not asked.no_twine:
        missing += twine_findings(files)
    print("Would be uploaded:")
    for file in files:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        print(f"  {file}  {file.stat().st_size / 1e6:.2f} MB  SHA-256 {digest}")
    for finding in missing:
        print(f"not ready: {finding}", file=sys.stderr)
    print("Not ready; nothing was uploaded." if missing else "Ready; nothing was uploaded.")
    return int(bool(missing))


def version(root: Path) -> str:
    """The version of the package that the others have to agree with."""
    return _stated(root / "pyproject.toml")


def version_findings(root: Path) -> Iterator[str]:
    """Where another version is stated than in the root's pyproject.toml."""
    expected = version(root)
    for folder in PACKAGES.values():
        project = root / folder / "pyproject.toml"
        if (found := _stated(project)) != expected:
            yield f"{folder}/pyproject.toml has version {found}; expected {expected}"
        for name, asked in re.findall(r'"(edgecat-\w+)(?:\[\w+\])?==([^"]+)"', project.read_text()):
            if asked != expected:
                yield f"{folder}/pyproject.toml asks for {name}=={asked}; expected {expected}"
    for path in sorted(root.glob("**/_version.py")):
        if ".venv" in path.parts or "dist" in path.parts:
            continue
        if f'"{expected}"' not in path.read_text(encoding="utf-8"):
            yield f"{path.relative_to(root)} does not say {expected}"


def changelog_findings(root: Path) -> Iterator[str]:
    """Whether the changelog lacks a section for this version, or has an empty one."""
    expected, section = version(root), None
    for part in re.split(r"^## ", (root / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M):
        heading, _, body = part.partition("\n")
        if heading.split(" ")[0] == expected:
            section = body
    if section is None:
        yield (
            f"CHANGELOG.md has no section '## {expected}'; when its entries are final, put the "
            "version and the date in the place of 'Unreleased'"
        )
    elif "- " not in section:
        yield f"CHANGELOG.md has no entry under '## {expected}'"


def git_findings(root: Path) -> Iterator[str]:
    """Uncommitted changes, and a tag that exists already."""
    if changed := _git(root, "status", "--porcelain"):
        yield f"{len(changed.splitlines())} uncommitted changes; a release is built from a commit"
    tag = f"v{version(root)}"
    if _git(root, "tag", "--list", tag):
        yield f"the tag {tag} exists: this version is out; raise it in the three pyproject.toml"


def build(root: Path, output: Path) -> list[Path]:
    """Build a wheel and a source distribution of each package, with this environment's hatchling.

    Args:
        root: of the repository.
        output: folder to build into; files of these packages in it are removed first.

    Returns:
        The six files, in the order in which they would be uploaded.
    """
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("edgecat*"):
        old.unlink()
    files: list[Path] = []
    for name, folder in PACKAGES.items():
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(output)]
        ran = subprocess.run(
            command, cwd=root / folder, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            sys.exit(f"{name} cannot be built:\n{ran.stdout}{ran.stderr}")
        files += sorted(output.glob(f"{name.replace('-', '_')}-*"), reverse=True)
    return files


def twine_findings(files: Sequence[Path]) -> Iterator[str]:
    """What twine finds in the files' metadata; without twine here, it is fetched for the moment."""
    with TemporaryDirectory() as folder:
        python = sys.executable
        if find_spec("twine") is None:
            venv.create(folder, with_pip=True)
            python = str(
                Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
            )
            installed = subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "twine"],
                capture_output=True,
                text=True,
                check=False,
            )
            if installed.returncode:
                last = (installed.stderr.strip().splitlines() or ["pip failed"])[-1]
                yield f"twine cannot be installed ({last}); to leave it out: --no-twine"
                return
        command = [python, "-m", "twine", "check", "--strict", *map(str, files)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            yield f"twine check: {ran.stdout.strip()} {ran.stderr.strip()}"


def _stated(project: Path) -> str:
    found: str = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    return found


def _git(root: Path, *arguments: str) -> str:
    """What git prints; nothing where there is no git or no repository."""
    if shutil.which("git") is None:
        return ""
    ran = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
