"""Inference libraries imported with their telemetry off: edgecat makes no network connection.

ONNX Runtime 1.29 and later writes a device ID and an event database below the home directory and
looks up its telemetry host. OpenVINO's `openvino_telemetry` writes `~/intel` and looks up an
analytics host as soon as `openvino` is imported. Import them here and nowhere else.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any


def import_onnxruntime() -> Any:
    """Return the `onnxruntime` module, imported with telemetry disabled.

    Raises:
        ImportError: it is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    return importlib.import_module("onnxruntime")


def import_openvino() -> Any:
    """Return the `openvino` module, imported without `openvino_telemetry`.

    OpenVINO treats its telemetry package as optional, so its import is made to fail here once.

    Raises:
        ImportError: it is not installed.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    name = "openvino_telemetry"
    hidden = {key: sys.modules.pop(key) for key in [*sys.modules] if key.split(".")[0] == name}
    sys.modules[name] = None  # type: ignore[assignment]  # documented: the import then fails
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[name]
        sys.modules.update(hidden)
