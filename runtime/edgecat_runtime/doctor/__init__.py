"""The doctor: checks whether this machine can serve a model, and how to fix it if not.

`CHECKS` lists the checks; each returns one `Finding`. They need nothing but NumPy, and whatever
could crash the process (providers, TensorRT, windows) runs in a child process.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from edgecat_runtime.doctor.finding import Finding
from edgecat_runtime.doctor.gpu import (
    check_cuda,
    check_driver,
    check_gpu,
    check_tensorrt,
    check_tensorrt_rtx,
)
from edgecat_runtime.doctor.int8 import check_int8
from edgecat_runtime.doctor.libraries import (
    SERVES,
    check_ffmpeg,
    check_gstreamer,
    check_onnxruntime,
    check_opencv,
    check_opencv_wheels,
    check_plugins,
    check_serving,
    check_torch,
)
from edgecat_runtime.doctor.system import (
    check_cameras,
    check_display,
    check_jetpack,
    check_machine,
    check_power_mode,
    check_python,
)

__all__ = ["CHECKS", "Finding", "can_serve", "diagnose"]

CHECKS: tuple[Callable[[], Finding], ...] = (
    check_machine,
    check_jetpack,
    check_power_mode,
    check_python,
    check_driver,
    check_gpu,
    check_cuda,
    check_tensorrt,
    check_tensorrt_rtx,
    check_onnxruntime,
    check_opencv,
    check_opencv_wheels,
    check_ffmpeg,
    check_gstreamer,
    check_display,
    check_cameras,
    check_torch,
    check_plugins,
    check_int8,
    check_serving,
)


def diagnose() -> list[Finding]:
    """Run all checks concurrently; the findings are in the order of `CHECKS`."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(_guarded, CHECKS))


def can_serve(findings: list[Finding]) -> bool:
    """Whether, according to these findings, the machine can serve a model."""
    return all(finding.ok for finding in findings if finding.name == SERVES)


def _guarded(check: Callable[[], Finding]) -> Finding:
    """Run one check; report an exception as a finding."""
    try:
        return check()
    except Exception as error:  # any exception is a finding
        name = check.__name__.removeprefix("check_").replace("_", " ")
        return Finding(name, False, f"the check failed: {error!r}", "Report this as a bug")
