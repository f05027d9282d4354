"""The only import of OpenCV, so that a missing one is reported with its install command."""

from __future__ import annotations

import os
from types import ModuleType

from edgecat_runtime.errors import BackendMissing

MAX_PIXELS = 1 << 27  # of an image file; 400 MB decoded


def cv2_module() -> ModuleType:
    """Return the `cv2` module.

    Raises:
        BackendMissing: OpenCV cannot be imported. On a Jetson it comes with JetPack.
    """
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))  # read on loading
    try:
        import cv2
    except ImportError as error:
        raise BackendMissing(
            "OpenCV is not installed",
            fix="pip install 'edgecat-runtime[headless]' (or [gui] for a window); on a Jetson use "
            "JetPack's, through a venv made with --system-site-packages",
        ) from error
    module: ModuleType = cv2
    return module
