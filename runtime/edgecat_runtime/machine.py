"""The machine that a figure was measured on, read from the system's own files; nothing to install.

Every reader answers with an empty value where the system does not say.
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
"""Where the system's files are found; another tree can be read as well."""

Int8Path = Literal["amx", "vnni", "avx2", "i8mm", "dot product", "none", "unknown"]
"""The best instructions for int8 multiply-adds; see `int8_path`."""

_JETPACKS = {"34": "5", "35": "5", "36": "6", "38": "7", "39": "7"}
_GPU_CLOCKS = ("*.gpu", "*.ga10b", "*.gv11b", "gpu-gpc-0")  # Orin, older kernels, Xavier, Thor
_QUERY_SECONDS = 5
# The best first: the names of /proc/cpuinfo on x86 and ARM, and those of macOS' sysctl.
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
        board: as its maker names it, for example `NVIDIA Jetson Orin Nano Developer Kit`.
        l4t: release of Jetson Linux, for example `36.4.3`; empty in some containers.
        jetpack: the generation of JetPack that this release belongs to, for example `6`.
    """

    board: str
    l4t: str
    jetpack: str

    def __str__(self) -> str:
        software = f", JetPack {self.jetpack or '?'} (L4T {self.l4t})" if self.l4t else ""
        return self.board + software


@dataclass(frozen=True)
class Machine:
    """What runs a model, in the state that it is in now.

    Attributes:
        board: a Jetson's name; empty elsewhere.
        processor: the processor's name.
        cores: that this process may use.
        cpu_mhz: the fastest core's clock now; 0 where unknown.
        governor: that chooses the clock, for example `schedutil`; empty where unknown.
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
    """Look at this machine now; clocks are meaningful only while it works."""
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
    """The Jetson that this is, or None."""
    board = _text("proc/device-tree/model")
    release = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", _text("etc/nv_tegra_release"))
    if "Jetson" not in board and release is None:
        return None
    l4t = f"{release[1]}.{release[2]}" if release else ""
    return Jetson(board or "NVIDIA Jetson", l4t, _JETPACKS.get(release[1], "") if release else "")


def power_mode() -> str:
    """The power mode of a Jetson, for example `MAXN`.

    `nvpmodel -q` knows; where it may not be run, its own state and configuration files do.
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
    """The processor's name; on ARM, which has none, its architecture."""
    named = re.search(r"^model name\s*: *(.+)$", _text("proc/cpuinfo"), re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def int8_path() -> Int8Path:
    """The best instructions that this processor has for int8 multiply-adds.

    `amx`, `vnni`, `i8mm` and `dot product` add up in 32 bits. `avx2` (AVX-512 without VNNI
    included) adds two products in 16 bits, which saturates for weights beyond 64 and activations
    of 255. `none`: none of these. `unknown`: the system does not say.

    Sources: Intel SDM, VPMADDUBSW and VPDPBUSD; Arm ARM, SDOT and SMMLA; Linux' cpuinfo flags.
    """
    if sys.platform == "darwin":
        arm = platform.machine() == "arm64"  # under Rosetta this is x86_64, and right
        names = [name for name in _INT8_SYSCTLS if (".arm." in name) == arm]
        paths = [_INT8_SYSCTLS[name] for name in names if _sysctl(name) == "1"]
        known = _sysctl("hw.optional.arm64" if arm else "hw.optional.sse4_2") == "1"
    else:
        flags = processor_flags()
        paths = [path for name, path in _INT8_FLAGS.items() if name in flags]
        known = not flags.isdisjoint(("sse2", "asimd", "neon"))
    return next(iter(paths), "none" if known else "unknown")


def processor_flags() -> frozenset[str]:
    """The processor's features as Linux names them; empty where the system does not say."""
    listed = re.search(r"^(?:flags|Features)\s*: *(.+)$", _text("proc/cpuinfo"), re.MULTILINE)
    return frozenset(listed[1].split() if listed else ())


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_mhz() -> int:
    """The fastest core's clock now, in MHz; 0 where the system does not say."""
    files = ROOT.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    scaled = [_number(read_text(file)) / 1e3 for file in files]
    listed = re.findall(r"^cpu MHz\s*: *([\d.]+)", _text("proc/cpuinfo"), re.MULTILINE)
    return round(max([*scaled, *map(float, listed)], default=0))


def gpu_mhz() -> int:
    """The GPU's clock now, in MHz: a Jetson's from its files, another's from NVIDIA's driver."""
    for name in _GPU_CLOCKS:
        for file in sorted(ROOT.glob(f"sys/class/devfreq/{name}/cur_freq")):
            return round(_number(read_text(file)) / 1e6)
    said = _said("nvidia-smi", "--query-gpu=clocks.sm", "--format=csv,noheader,nounits")
    return round(_number(said.partition("\n")[0]))


def resident_bytes() -> int:
    """Memory that this process holds in RAM now; 0 where the system does not say.

    What was freed is given back to the system before, where its allocator can be told to (glibc's
    keeps it otherwise, and hides in it what is taken next).
    """
    gc.collect()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    pages = read_text(Path("/proc/self/statm")).split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0


def _sysctl(name: str) -> str:
    """A value of macOS' kernel; empty where it has no such name."""
    return _said("sysctl", "-n", name).strip()


def _said(*command: str) -> str:
    """What a command prints; empty where it is missing or fails."""
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
    """The text of a file of the system; empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
