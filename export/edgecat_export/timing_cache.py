"""What TensorRT measured in earlier builds, kept for each version and GPU: later builds skip it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgecat_runtime.atomic import atomic_write
from edgecat_runtime.cache import cache_folder
from edgecat_runtime.cuda import Gpu
from edgecat_runtime.errors import UserError
from edgecat_runtime.tensorrt_api import TensorRT


def timing_folder() -> Path:
    """Where timings are kept unless a folder is named; raises as `cache_folder`."""
    return cache_folder() / "timing"


def cache_path(folder: Path, api: TensorRT, gpu: Gpu) -> Path:
    """The file for this TensorRT on this GPU: timings hold for no other."""
    named = f"{api.kind.backend}-{api.version}-{gpu.name}-sm{gpu.capability}"
    return folder / f"{re.sub(r'[^A-Za-z0-9.]+', '-', named)}.cache"


def load_timings(config: Any, path: Path) -> Any:
    """Give a builder the timings kept at `path`, none where there is no such file.

    Returns:
        TensorRT's cache, to be saved after building.
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
    """Keep the timings; a cache that cannot be written costs the next build time, no more.

    Returns:
        Why they were not kept; empty where they were.
    """
    try:
        atomic_write(path, bytes(cache.serialize()))
    except UserError as error:
        return str(error)
    return ""
