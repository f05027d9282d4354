"""QEMU, and a Python for each foreign CPU, from Debian packages unpacked into a folder.

The system is not changed: apt keeps its lists and downloads in that folder, and `dpkg -x`
unpacks without installing. Neither needs root. The archive is the one that the system's apt
uses; if that is not Debian's, set `EDGECAT_DEBIAN` to a Debian mirror.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgecat_runtime.errors import UserError

SUITE = "trixie"
PYTHON = "3.13"  # the Python of that suite
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

_ROOT = (
    *("python3.13-minimal", "libpython3.13-minimal", "libpython3.13-stdlib"),
    *("libc6", "libgcc-s1", "libstdc++6", "libbz2-1.0", "libexpat1", "libffi8", "liblzma5"),
    *("libreadline8t64", "libsqlite3-0", "libssl3t64", "libtinfo6", "libuuid1", "libzstd1"),
    "zlib1g",
)
_LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}
_KEYRINGS = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")
_CONFIGURATION = """\
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "{folder}/none";
Dir::State::Lists "{folder}/lists";
Dir::State::Status "/dev/null";
Dir::Cache "{folder}/cache";
APT::Architectures {{ {architectures} }};
APT::Sandbox::User "";
"""


class Debian:
    """Unpacked Debian packages, cached.

    Args:
        folder: cache folder; created if missing.

    Raises:
        UserError: this system has no apt, or lacks Debian's keys.
    """

    def __init__(self, folder: Path) -> None:
        for program in ("apt-get", "dpkg"):
            if shutil.which(program) is None:
                raise UserError(
                    f"{program} not found; foreign CPUs are emulated with packages from "
                    "Debian, so run this on Debian or Ubuntu, or use --rows native"
                )
        self._folder = folder
        self._host = self._run("dpkg", "--print-architecture").strip()
        self._updated = False

    def emulator(self, machine: str) -> Path:
        """Return the static user-mode QEMU for a machine such as `aarch64`."""
        programs = [f"usr/bin/qemu-{name}" for name in ARCHITECTURES]
        return self._unpacked("qemu", [f"qemu-user:{self._host}"], programs) / (
            f"usr/bin/qemu-{machine}"
        )

    def root(self, machine: str) -> Path:
        """Return a folder with Python and the libraries it and the wheels need, for a machine."""
        architecture = ARCHITECTURES[machine]
        return self._unpacked(f"root-{machine}", [f"{name}:{architecture}" for name in _ROOT])

    def _unpacked(self, name: str, packages: Sequence[str], keep: Sequence[str] = ()) -> Path:
        """Download and unpack packages; `keep` selects the files to keep, default all."""
        target = self._folder / name
        if target.is_dir():
            return target
        self._update()
        with tempfile.TemporaryDirectory(dir=self._folder) as temporary:
            debs, tree = Path(temporary) / "debs", Path(temporary) / "tree"
            debs.mkdir()
            (tree / "usr/lib64").mkdir(parents=True)
            for link, to in _LINKS.items():
                (tree / link).symlink_to(to)
            self._run("apt-get", "--quiet", "download", *packages, cwd=debs)
            for deb in sorted(debs.glob("*.deb")):
                self._run("dpkg", "--extract", str(deb), str(tree))
            if keep:
                tree = _only(tree, keep, Path(temporary) / "kept")
            tree.rename(target)
        return target

    def _update(self) -> None:
        """Write a separate apt configuration, and download the lists, once per run."""
        if self._updated:
            return
        folder = self._folder / "apt"
        for path in ("none", "lists/partial", "cache/archives/partial"):
            (folder / path).mkdir(parents=True, exist_ok=True)
        named = dict.fromkeys((self._host, *ARCHITECTURES.values()))
        (folder / "apt.conf").write_text(
            _CONFIGURATION.format(
                folder=folder, architectures=" ".join(f'"{name}";' for name in named)
            )
        )
        (folder / "sources.list").write_text(
            f"deb [signed-by={_keyring()}] {_archive()} {SUITE} main\n"
        )
        self._run("apt-get", "--quiet", "update", "--error-on=any")
        self._updated = True

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        configuration = self._folder / "apt" / "apt.conf"
        ran = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            env={**os.environ, "APT_CONFIG": str(configuration)},
        )
        if ran.returncode:
            said = (ran.stderr.strip() or ran.stdout.strip()).splitlines()[-3:]
            raise UserError(f"`{' '.join(command[:4])} ...` failed: {' / '.join(said)}")
        return ran.stdout


def _archive() -> str:
    """Return the address of Debian's archive: EDGECAT_DEBIAN, else the one used by this system."""
    if named := os.environ.get("EDGECAT_DEBIAN"):
        return named
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)"],
        capture_output=True,
        text=True,
    )
    for line in listed.stdout.splitlines():
        label, _, address = line.partition(" ")
        if label == "Debian" and address:
            return address
    raise UserError(
        "apt has no lists of Debian's archive; run apt-get update, or set a Debian mirror in "
        "EDGECAT_DEBIAN"
    )


def _keyring() -> Path:
    found = [Path("/usr/share/keyrings") / name for name in _KEYRINGS]
    for path in found:
        if path.exists():
            return path
    raise UserError(
        f"{found[0]} is missing, so Debian's packages cannot be verified: "
        "sudo apt install debian-archive-keyring"
    )


def _only(tree: Path, keep: Sequence[str], target: Path) -> Path:
    for name in keep:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).rename(target / name)
    return target
