"""The ceilings of a GPU: measured with PyTorch, else computed from the driver's data."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from edgecat.models.cost import Cost
from edgecat_runtime.nvidia.driver import Limits

BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Floor:
    """The minimum time for a batch, in milliseconds; 0 if the ceiling is unknown.

    Attributes:
        reading_ms: time to read every weight once, at memory bandwidth.
        counting_ms: time for every multiply-add, at the rate of a large matrix product.
    """

    reading_ms: float
    counting_ms: float

    @property
    def ms(self) -> float:
        """The larger of the two, a lower bound for any implementation."""
        return max(self.reading_ms, self.counting_ms)


@dataclass(frozen=True)
class Ceilings:
    """Bandwidths in GB/s and rates in TFLOP/s (a multiply-add counts as two); 0 if unknown.

    Attributes:
        source: `measured`, or `driver` if computed from clocks and widths.
        memory_gb_s: of the GPU's memory, in a copy (reads and writes).
        up_gb_s: from pinned host memory to the GPU.
        down_gb_s: from the GPU to pinned host memory.
        fp32_tflop_s: of a matrix product, without TF32.
        fp16_tflop_s: likewise, in half precision.
        bf16_tflop_s: likewise, in bfloat16.
        int8_tflop_s: likewise, with 8-bit integers.
    """

    source: str
    memory_gb_s: float = 0.0
    up_gb_s: float = 0.0
    down_gb_s: float = 0.0
    fp32_tflop_s: float = 0.0
    fp16_tflop_s: float = 0.0
    bf16_tflop_s: float = 0.0
    int8_tflop_s: float = 0.0

    def floor(self, cost: Cost, precision: str, batch: int) -> Floor:
        """Return the minimum time for a batch of a network in this precision."""
        rate = float(getattr(self, f"{precision}_tflop_s"))
        size = cost.weights * BYTES[precision]
        return Floor(
            size / self.memory_gb_s / 1e6 if self.memory_gb_s else 0.0,
            2 * cost.macs * batch / rate / 1e9 if rate else 0.0,
        )


def ceilings_of(device: torch.device, limits: Limits | None, *, small: bool = False) -> Ceilings:
    """Measure on random data if PyTorch supports the device, else use the driver's limits.

    Args:
        device: the device to measure; the CPU in a rehearsal.
        limits: the driver's data about the GPU.
        small: use little data, for a rehearsal.
    """
    if device.type == "cuda" and not torch.cuda.is_available():
        return from_limits(limits)
    size = 1 << (20 if small else 31)
    memory, up, down = _bandwidths(device, size, min(size, 1 << 28))
    side = 128 if small else 8192
    rates = {f"{name}_tflop_s": _rate(device, dtype, side) for name, dtype in _DTYPES.items()}
    rates["int8_tflop_s"] = _int8_rate(device, side)
    return Ceilings("measured", memory, up, down, **rates)


def from_limits(limits: Limits | None) -> Ceilings:
    """Compute the ceilings from clocks, bus width and multiprocessors."""
    if limits is None:
        return Ceilings("driver")
    rates = [2e-12 * getattr(limits, f"{name}_per_s") for name in ("fp32", "fp16", "int8")]
    fp32, fp16, int8 = rates
    memory = limits.bytes_per_s / 1e9
    return Ceilings(
        "driver",
        memory,
        fp32_tflop_s=fp32,
        fp16_tflop_s=fp16,
        bf16_tflop_s=fp16,
        int8_tflop_s=int8,
    )


def device_ms(action: Callable[[], object], device: torch.device, repeats: int = 20) -> float:
    """Return the median GPU time of the work queued by `action`, between events, after warm-up."""
    for _ in range(3):
        action()
    return statistics.median(_one(action, device) for _ in range(repeats))


def _one(action: Callable[[], object], device: torch.device) -> float:
    if device.type != "cuda":
        before = time.perf_counter()
        action()
        return 1e3 * (time.perf_counter() - before)
    began, ended = (
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(2)
    )
    began.record()
    action()
    ended.record()
    ended.synchronize()
    return float(began.elapsed_time(ended))


def _bandwidths(device: torch.device, size: int, part: int) -> tuple[float, float, float]:
    """Measure copies within device memory (read and write), to it, and from it."""
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    host = torch.empty(part, dtype=torch.uint8, pin_memory=device.type == "cuda")
    some = source[:part]
    return (
        2 * size / device_ms(lambda: target.copy_(source), device) / 1e6,
        part / device_ms(lambda: some.copy_(host, non_blocking=True), device) / 1e6,
        part / device_ms(lambda: host.copy_(some, non_blocking=True), device) / 1e6,
    )


def _rate(device: torch.device, dtype: torch.dtype, side: int) -> float:
    allowed: Any = torch.backends.cuda.matmul
    before, allowed.allow_tf32 = allowed.allow_tf32, False
    try:
        one, two = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        repeats = 5 if dtype == torch.float32 else 20
        return 2 * side**3 / device_ms(lambda: one @ two, device, repeats) / 1e9
    finally:
        allowed.allow_tf32 = before


def _int8_rate(device: torch.device, side: int) -> float:
    """Return 0 if PyTorch has no 8-bit integer product for the device."""
    one, two = (
        torch.randint(-128, 127, (side, side), dtype=torch.int8, device=device) for _ in range(2)
    )
    turned = two.t()  # cuBLASLt needs the second matrix in column-major order
    try:
        return 2 * side**3 / device_ms(lambda: torch._int_mm(one, turned), device) / 1e9
    except (RuntimeError, AttributeError, NotImplementedError):
        return 0.0
