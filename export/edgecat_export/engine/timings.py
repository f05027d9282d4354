"""The timing cache of earlier builds, per version and GPU: later builds reuse it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgecat_runtime.errors import UserError
from edgecat_runtime.nvidia.cuda import Gpu
from edgecat_runtime.nvidia.tensorrt import TensorRT
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.cache import cache_folder


def timing_folder() -> Path:
    """The default folder of the timing cache; raises as `cache_folder`."""
    return cache_folder() / "timing"


def cache_path(folder: Path, api: TensorRT, gpu: Gpu) -> Path:
    """The file for this TensorRT on this GPU: timings are not valid for any other."""
    named = f"{api.kind.backend}-{api.version}-{gpu.name}-sm{gpu.capability}"
    return folder / f"{re.sub(r'[^A-Za-z0-9.]+', '-', named)}.cache"


def load_timings(config: Any, path: Path) -> Any:
    """Give a builder the timing cache stored at `path`, or an empty one if there is none.

    Returns:
        TensorRT's cache, to save after building.
    """
    try:
        kept = path.read_bytes()
    except OSError:
        kept = b""
    cache = config.create_timing_cache(kept)
    if kept and not config.set_timing_cache(cache, ignore_mismatch=False):  # damaged, or a mismatch
        cache, kept = config.create_timing_cache(b""), b""
    if not kept:
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def save_timings(cache: Any, path: Path) -> str:
    """Save the timings; if they cannot be written, only the next build is slower.

    Returns:
        Why they were not saved; empty on success.
    """
    try:
        atomic_write(path, bytes(cache.serialize()))
    except UserError as error:
        return str(error)
    return ""
