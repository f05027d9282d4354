"""Which cameras exist, and which kinds of source work here."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgecat_runtime.camera.opening import registered_examples
from edgecat_runtime.camera.sources import v4l2
from edgecat_runtime.camera.sources.files import natural_key
from edgecat_runtime.camera.sources.gstreamer import has_gstreamer, why_no_csi
from edgecat_runtime.camera.sources.screen import why_no_screen
from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.system.opencv import cv2_module


@dataclass(frozen=True)
class FoundCamera:
    """A camera of this machine.

    Attributes:
        source: value for `--source`.
        name: as its driver reports it.
        sizes: such as `1280x720`; empty if the driver reports none.
    """

    source: str
    name: str
    sizes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.source}  {self.name}  {' '.join(self.sizes)}".rstrip()


@dataclass(frozen=True)
class SourceKind:
    """A kind of source.

    Attributes:
        example: value for `--source`.
        reason: why it does not work here; empty if it does.
    """

    example: str
    reason: str = ""

    @property
    def works(self) -> bool:
        """Whether it works here."""
        return not self.reason

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {"source": self.example, "works": self.works, "reason": self.reason}


def find_cameras() -> list[FoundCamera]:
    """Return the cameras with a Linux device file; other systems cannot list them."""
    found = []
    for path in sorted(Path("/dev").glob("video*"), key=natural_key):
        try:
            described = v4l2.describe(path)
        except OSError as error:
            described = f"cannot be opened: {error.strerror}", ()
        if described is not None:
            found.append(FoundCamera(str(path), *described))
    return found


def source_kinds() -> list[SourceKind]:
    """Return every kind of source, the registered ones last, with whether it works here."""
    try:
        cv2 = cv2_module()
    except BackendMissing as error:
        return [SourceKind("0", str(error))]
    backends = cv2.videoio_registry
    ffmpeg = "" if backends.hasBackend(cv2.CAP_FFMPEG) else "this OpenCV was built without FFmpeg"
    pipelines = "" if has_gstreamer() else "this OpenCV was built without GStreamer"
    return [
        SourceKind("0", _why_no_camera()),
        SourceKind("clip.mp4", ffmpeg),
        SourceKind("photos/"),
        SourceKind("rtsp://host/stream", ffmpeg),
        SourceKind("http://host/stream.mjpg"),
        SourceKind("csi://0", pipelines or why_no_csi()),
        SourceKind("gst:PIPELINE", pipelines),
        SourceKind("screen", why_no_screen() or _why_no_mss()),
        *(SourceKind(example) for example in registered_examples()),
    ]


def _why_no_camera() -> str:
    if sys.platform.startswith("linux") and not find_cameras():
        return "no camera found (/dev/video*)"
    return ""


def _why_no_mss() -> str:
    missing = importlib.util.find_spec("mss") is None
    return "mss is not installed: pip install 'edgecat-runtime[screen]'" if missing else ""
