"""The built-in sources, each opened by `(text, options)`."""

from edgecat_runtime.camera.source import SourceOpener
from edgecat_runtime.camera.sources.files import has_files, open_file, open_file_address
from edgecat_runtime.camera.sources.gstreamer import open_csi, open_gstreamer
from edgecat_runtime.camera.sources.http import INSECURE
from edgecat_runtime.camera.sources.mjpeg import open_http
from edgecat_runtime.camera.sources.rtsp import open_ffmpeg, open_rtsp
from edgecat_runtime.camera.sources.screen import open_screen
from edgecat_runtime.camera.sources.webcam import open_webcam

SCHEMES: dict[str, SourceOpener] = {
    "csi": open_csi,
    "file": open_file_address,
    "gst": open_gstreamer,
    "http": open_http,
    "https": open_http,
    INSECURE: open_http,
    "rtsp": open_rtsp,
    "rtsps": open_rtsp,
    **dict.fromkeys(("rtmp", "rtmps", "rtp", "srt", "tcp", "udp"), open_ffmpeg),
    "screen": open_screen,
}
WORDS: dict[str, SourceOpener] = {"screen": open_screen}

__all__ = ["SCHEMES", "WORDS", "has_files", "open_file", "open_webcam"]
