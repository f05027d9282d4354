"""Checks of the machine: board, Python, display and cameras."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from edgecat_runtime.doctor.finding import Finding
from edgecat_runtime.system import machine
from edgecat_runtime.system.display import why_no_window
from edgecat_runtime.system.machine import jetson, read_text


def check_machine() -> Finding:
    """Describe this machine."""
    return Finding("machine", True, str(machine.this_machine()))


def check_jetpack() -> Finding:
    """Find the release of Jetson Linux and its JetPack."""
    board = jetson()
    if board is None:
        return Finding("JetPack", True, "none: this is not a Jetson")
    if not board.l4t:
        fix = "In a container, mount the host's /etc/nv_tegra_release"
        return Finding("JetPack", False, f"{board}, unknown release", fix)
    if board.jetpack not in ("6", "7"):
        return Finding("JetPack", False, str(board), "Flash JetPack 6.2 or later")
    return Finding("JetPack", True, str(board))


def check_power_mode() -> Finding:
    """Read a Jetson's power mode: measurements in different modes are not comparable."""
    if jetson() is None:
        return Finding("power mode", True, "none: this is not a Jetson")
    mode = machine.power_mode()
    if not mode:
        return Finding("power mode", False, "unknown", "Query it: sudo nvpmodel -q")
    if "MAXN" in mode:
        return Finding("power mode", True, mode)
    fix = "For full speed: sudo nvpmodel -m MODE (modes: /etc/nvpmodel.conf), sudo jetson_clocks"
    return Finding("power mode", False, mode, fix)


def check_python() -> Finding:
    """Check Python; on a Jetson it must see JetPack's packages."""
    value = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    configuration = Path(sys.prefix) / "pyvenv.cfg"
    isolated = configuration.is_file() and "include-system-site-packages = true" not in (
        read_text(configuration)
    )
    if isolated and jetson():
        fix = "Recreate it: python3 -m venv --system-site-packages FOLDER"
        return Finding("Python", False, f"{value}, in a venv that hides JetPack's packages", fix)
    return Finding("Python", True, value)


def check_display() -> Finding:
    """Check whether a window can be opened."""
    reason = why_no_window()
    if not reason:
        return Finding("display", True, "a window can be opened")
    fix = "Without a display, edgecat camera --output FILE.mkv records what it would show"
    return Finding("display", False, reason, fix)


def check_cameras() -> Finding:
    """Find cameras and check that this user may open them."""
    if not sys.platform.startswith("linux"):
        return Finding(
            "cameras", True, "cannot be listed on this system; edgecat camera tries camera 0"
        )
    found = {
        machine.ROOT / "dev" / folder.name: read_text(folder / "name") or "unnamed"
        for folder in _camera_folders()
    }
    if not found:
        fix = "Plug in a camera, or use a file: edgecat camera --source VIDEO"
        return Finding("cameras", False, "none", fix)
    value = ", ".join(f"{path} ({name})" for path, name in found.items())
    shut = [path for path in found if not os.access(path, os.R_OK | os.W_OK)]
    if shut:
        fix = 'Join their group: sudo usermod -aG video "$USER", and log in again'
        return Finding("cameras", False, f"{value}, permission denied", fix)
    return Finding("cameras", True, value)


def _camera_folders() -> list[Path]:
    """The cameras' sysfs folders; of a camera's several nodes, the first delivers images."""
    folders = (machine.ROOT / "sys/class/video4linux").glob("video*")
    first = [folder for folder in folders if read_text(folder / "index") in ("", "0")]
    return sorted(first, key=lambda folder: int(folder.name[5:]))
