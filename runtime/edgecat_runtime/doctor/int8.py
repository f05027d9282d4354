"""The int8 check: the processor's instructions for it, and how each backend uses them."""

from __future__ import annotations

from edgecat_runtime.backends import backend_entries
from edgecat_runtime.doctor.finding import Finding
from edgecat_runtime.doctor.probes import Unwell, in_child
from edgecat_runtime.system.machine import Int8Path, int8_path

_PATHS: dict[Int8Path, str] = {
    "amx": "AMX",
    "vnni": "VNNI",
    "avx2": "AVX2 without VNNI",
    "i8mm": "I8MM",
    "dot product": "dot product",
    "none": "no int8 instructions",
    "unknown": "int8 instructions unknown on this system",
}


def check_int8() -> Finding:
    """Run an int8 graph on every backend, once with 7-bit and once with 8-bit weights.

    edgecat exports 7-bit weights: a backend that gets those wrong is faulty. 8-bit weights saturate
    on processors that add two products in 16 bits, which is reported but is not a fault.
    """
    right: list[str] = []
    wrong: list[str] = []
    saturating: list[str] = []
    unable: list[str] = []
    for entry in backend_entries("model.onnx"):
        if not entry.installed:
            continue
        name = entry.name if entry.device == "cpu" else f"{entry.name} on {entry.device}"
        try:
            seven, eight = in_child("run_int8", entry.name, entry.device)
        except Unwell as error:
            unable.append(f"{name} cannot run it ({error})")
            continue
        (right if seven else wrong).append(name)
        if seven and not eight:
            saturating.append(name)
    parts = [
        f"correct with {', '.join(right)}" if right else "",
        f"wrong with {', '.join(wrong)}" if wrong else "",
        f"8-bit weights saturate on {', '.join(saturating)} here" if saturating else "",
        *unable,
    ]
    value = "; ".join([_PATHS[int8_path()], *filter(None, parts)])
    if not wrong and (right or not unable):
        return Finding("int8", True, value)
    fix = (
        f"Serve int8 models with {', '.join(right)}, as auto does"
        if right
        else "Serve models in fp16 or fp32: edgecat export --precision fp16"
    )
    return Finding("int8", False, value, fix)
