"""The machine that a measurement was made on, read from system files without extra packages.

Every reader returns an empty value if the system does not provide it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path("/")
"""Root of the system's files; another tree can be read as well."""

Int8Path = Literal["amx", "vnni", "avx2", "i8mm", "dot product", "none", "unknown"]
"""The best instructions for int8 multiply-adds; see `int8_path`."""

_JETPACKS = {"34": "5", "35": "5", "36": "6", "38": "7", "39": "7"}
_GPU_CLOCKS = ("*.gpu", "*.ga10b", "*.gv11b", "gpu-gpc-0")  # Orin, older kernels, Xavier, Thor
_QUERY_SECONDS = 5
# Best first: the names in /proc/cpuinfo on x86 and ARM, and in macOS sysctl.
_INT8_FLAGS: dict[str, Int8Path] = {
    "amx_int8": "amx",
    "avx512_vnni": "vnni",
    "avx_vnni": "vnni",
    "avx2": "avx2",
    "i8mm": "i8mm",
    "asimddp": "dot product",
}
_INT8_SYSCTLS: dict[str, Int8Path] = {
    "hw.optional.avx512vnni": "vnni",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_DotProd": "dot product",
}


@dataclass(frozen=True)
class Jetson:
    """A board of NVIDIA's Jetson family.

    Attributes:
        board: the maker's name, for example `NVIDIA Jetson Orin Nano Developer Kit`.
        l4t: release of Jetson Linux, for example `36.4.3`; empty in some containers.
        jetpack: the JetPack generation of this release, for example `6`.
    """

    board: str
    l4t: str
    jetpack: str

    def __str__(self) -> str:
        software = f", JetPack {self.jetpack or '?'} (L4T {self.l4t})" if self.l4t else ""
        return self.board + software


@dataclass(frozen=True)
class Machine:
    """The machine that runs a model, in its current state.

    Attributes:
        board: a Jetson's name; empty elsewhere.
        processor: the processor's name.
        cores: number of cores available to this process.
        cpu_mhz: the fastest core's clock now; 0 where unknown.
        governor: CPU frequency governor, for example `schedutil`; empty if unknown.
        power_mode: a Jetson's, for example `15W`; empty elsewhere.
        gpu_mhz: the GPU's clock now; 0 where unknown.
    """

    board: str
    processor: str
    cores: int
    cpu_mhz: int
    governor: str
    power_mode: str
    gpu_mhz: int

    def __str__(self) -> str:
        clock = f" at {self.cpu_mhz} MHz" if self.cpu_mhz else ""
        parts = [
            self.board or self.processor,
            f"{self.cores} cores{clock}" + (f" ({self.governor})" if self.governor else ""),
            f"power mode {self.power_mode}" if self.power_mode else "",
            f"GPU at {self.gpu_mhz} MHz" if self.gpu_mhz else "",
        ]
        return ", ".join(part for part in parts if part)


def this_machine() -> Machine:
    """Describe this machine now; clocks are meaningful only under load."""
    board = jetson()
    return Machine(
        board.board if board else "",
        processor(),
        cores(),
        cpu_mhz(),
        _text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        power_mode() if board else "",
        gpu_mhz(),
    )


def jetson() -> Jetson | None:
    """The Jetson that this code runs on, or None."""
    board = _text("proc/device-tree/model")
    release = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", _text("etc/nv_tegra_release"))
    if "Jetson" not in board and release is None:
        return None
    l4t = f"{release[1]}.{release[2]}" if release else ""
    return Jetson(board or "NVIDIA Jetson", l4t, _JETPACKS.get(release[1], "") if release else "")


def power_mode() -> str:
    """The power mode of a Jetson, for example `MAXN`.

    It comes from `nvpmodel -q` or, if that cannot be run, from its state and configuration files.
    """
    said = re.search(r"NV Power Mode: *(\S+)", _said("nvpmodel", "-q"))
    if said:
        return said[1]
    state = re.search(r"pmode:(\d+)", _text("var/lib/nvpmodel/status"))
    if state is None:
        return ""
    header = rf"^< *POWER_MODEL +ID={int(state[1])} +NAME=(\S+)"
    named = re.search(header, _text("etc/nvpmodel.conf"), re.MULTILINE)
    return named[1] if named else f"mode {int(state[1])}"


def processor() -> str:
    """The processor's name; on ARM, where it has none, its architecture."""
    named = re.search(r"^model name\s*: *(.+)$", _text("proc/cpuinfo"), re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def int8_path() -> Int8Path:
    """This processor's best instructions for int8 multiply-adds.

    `amx`, `vnni`, `i8mm` and `dot product` accumulate in 32 bits. `avx2` (including AVX-512 without
    VNNI) adds two products in 16 bits, which saturates for weights beyond 64 and activations of
    255. `none`: none of these. `unknown`: the system does not tell.

    Sources: Intel SDM, VPMADDUBSW and VPDPBUSD; Arm ARM, SDOT and SMMLA; Linux' cpuinfo flags.
    """
    if sys.platform == "darwin":
        arm = platform.machine() == "arm64"  # x86_64 under Rosetta, which is correct
        names = [name for name in _INT8_SYSCTLS if (".arm." in name) == arm]
        paths = [_INT8_SYSCTLS[name] for name in names if _sysctl(name) == "1"]
        known = _sysctl("hw.optional.arm64" if arm else "hw.optional.sse4_2") == "1"
    else:
        flags = processor_flags()
        paths = [path for name, path in _INT8_FLAGS.items() if name in flags]
        known = not flags.isdisjoint(("sse2", "asimd", "neon"))
    return next(iter(paths), "none" if known else "unknown")


def processor_flags() -> frozenset[str]:
    """The processor's features as Linux names them; empty if unknown."""
    listed = re.search(r"^(?:flags|Features)\s*: *(.+)$", _text("proc/cpuinfo"), re.MULTILINE)
    return frozenset(listed[1].split() if listed else ())


def cores() -> int:
    """Number of cores available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_mhz() -> int:
    """The fastest core's current clock in MHz; 0 if unknown."""
    files = ROOT.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    scaled = [_number(read_text(file)) / 1e3 for file in files]
    listed = re.findall(r"^cpu MHz\s*: *([\d.]+)", _text("proc/cpuinfo"), re.MULTILINE)
    return round(max([*scaled, *map(float, listed)], default=0))


def gpu_mhz() -> int:
    """The GPU's current clock in MHz: from sysfs on a Jetson, else from nvidia-smi."""
    for name in _GPU_CLOCKS:
        for file in sorted(ROOT.glob(f"sys/class/devfreq/{name}/cur_freq")):
            return round(_number(read_text(file)) / 1e6)
    said = _said("nvidia-smi", "--query-gpu=clocks.sm", "--format=csv,noheader,nounits")
    return round(_number(said.partition("\n")[0]))


def resident_bytes() -> int:
    """This process's resident memory in bytes; 0 if unknown.

    Freed memory is returned to the system first, if the allocator supports it (glibc's would keep
    it, and later allocations from it would not show).
    """
    gc.collect()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    pages = read_text(Path("/proc/self/statm")).split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0


def _sysctl(name: str) -> str:
    """A sysctl value of macOS; empty if it does not exist."""
    return _said("sysctl", "-n", name).strip()


def _said(*command: str) -> str:
    """The output of a command; empty if it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=_QUERY_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout


def _text(path: str) -> str:
    return read_text(ROOT / path)


def read_text(path: Path) -> str:
    """The text of a system file; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
