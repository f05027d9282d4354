"""NVIDIA's driver, queried directly: which GPUs there are and their peak performance.

It uses `ctypes`, so that it works without any other package. Nothing here creates a context or
allocates GPU memory.

Sources: CUDA driver API (`CUdevice_attribute`); NVIDIA's architecture white papers for the
operations per clock.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

_MULTIPROCESSORS, _CLOCK_KHZ, _MEMORY_KHZ, _BUS_BITS, _MAJOR, _MINOR = 16, 13, 36, 37, 75, 76

# By compute capability: fp32 multiply-adds on the CUDA cores and dense fp16 multiply-adds on the
# tensor cores, each per clock and multiprocessor. int8 doubles fp16, except on 7.0, whose tensor
# cores have no int8.
_PER_CLOCK = {
    70: (64, 512),
    72: (64, 512),
    75: (64, 512),
    80: (64, 1024),
    86: (128, 512),
    87: (128, 1024),
    89: (128, 512),
    90: (128, 2048),
    100: (128, 4096),
    101: (128, 4096),
    103: (128, 4096),
    110: (128, 4096),
    120: (128, 512),
}


@dataclass(frozen=True)
class Limits:
    """A GPU's peak performance, from its clocks and widths.

    Attributes:
        bytes_per_s: memory bandwidth.
        fp32_per_s: fp32 multiply-adds per second, without TF32; 0 for an unknown architecture.
        fp16_per_s: dense fp16 multiply-adds per second; 0 for an unknown architecture.
        int8_per_s: dense int8 multiply-adds per second; 0 if unsupported or unknown.
    """

    bytes_per_s: float
    fp32_per_s: float
    fp16_per_s: float
    int8_per_s: float


@dataclass(frozen=True)
class Device:
    """One GPU.

    Attributes:
        name: for example `Orin`.
        capability: compute capability without the dot, for example 87.
        memory: in bytes; a Jetson shares it with the processor.
        limits: its peak performance.
    """

    name: str
    capability: int
    memory: int
    limits: Limits

    def __str__(self) -> str:
        return (
            f"{self.name}, compute capability {self.capability // 10}.{self.capability % 10}, "
            f"{self.memory / 2**30:.1f} GiB"
        )


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver.

    Attributes:
        cuda: the CUDA version it supports, for example `12.6`; empty without a driver.
        devices: the GPUs it finds.
        error: CUDA's error code if it cannot be started; else 0.
    """

    cuda: str
    devices: tuple[Device, ...] = ()
    error: int = 0


def driver() -> Driver:
    """Query the driver; without one, the result has neither version nor devices."""
    try:
        cuda: Any = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Driver("")
    number, count = ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(number))
    version = f"{number.value // 1000}.{number.value % 1000 // 10}"
    error = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if error:
        return Driver(version, error=int(error))
    return Driver(version, tuple(_device(cuda, ordinal) for ordinal in range(count.value)))


def limits(
    capability: int, multiprocessors: int, clock_khz: int, memory_khz: int, bus_bits: int
) -> Limits:
    """Compute the limits from the driver's attributes; memory moves data twice per clock."""
    fp32, fp16 = _PER_CLOCK.get(capability, (0, 0))
    clocks = multiprocessors * clock_khz * 1e3
    return Limits(
        2 * memory_khz * 1e3 * bus_bits / 8,
        clocks * fp32,
        clocks * fp16,
        clocks * fp16 * 2 if capability != 70 else 0.0,
    )


def _device(cuda: Any, ordinal: int) -> Device:
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGet(ctypes.byref(device), ordinal)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)

    def attribute(which: int) -> int:
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), which, device)
        return value.value

    capability = 10 * attribute(_MAJOR) + attribute(_MINOR)
    found = (attribute(a) for a in (_MULTIPROCESSORS, _CLOCK_KHZ, _MEMORY_KHZ, _BUS_BITS))
    return Device(name.value.decode(), capability, memory.value, limits(capability, *found))
