"""The installed distributions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distributions, version

OPENCV_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
ORT_WHEELS = ("onnxruntime", "onnxruntime-gpu")
_WHEELS_OF = {"cv2": OPENCV_WHEELS, "onnxruntime": ORT_WHEELS}


def installed(distribution: str) -> str:
    """Version of a distribution; empty if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def wheels(names: tuple[str, ...]) -> list[str]:
    """Those of the named distributions that are installed."""
    found = {(d.metadata["Name"] or "").lower().replace("_", "-") for d in distributions()}
    return [name for name in names if name in found]


def versions(module: str) -> list[str]:
    """Versions of the installed wheels that provide a module, such as `["opencv-python 5.0.0"]`."""
    names = _WHEELS_OF.get(module, (module.replace("_", "-"),))
    return [f"{name} {number}" for name in names if (number := installed(name))]
