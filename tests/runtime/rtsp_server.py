"""A real RTSP server with an H.264 test picture, for the system's Python and GStreamer.

    /usr/bin/python3 rtsp_server.py PORT

Debian: apt install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly
With `--check` it only says whether all that it needs is there.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=30/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 threads=1 "
    "! rtph264pay name=pay0 pt=96 config-interval=1 )"
)


def main(port: str) -> None:
    """Serve rtsp://127.0.0.1:PORT/stream until killed."""
    server = GstRtspServer.RTSPServer(service=port, address="127.0.0.1")
    factory = GstRtspServer.RTSPMediaFactory(launch=PIPELINE, shared=True)
    server.get_mount_points().add_factory("/stream", factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    print(server.get_bound_port(), flush=True)  # noqa: T201
    GLib.MainLoop().run()


if __name__ == "__main__":
    Gst.init(None)
    missing = [name for name in ("x264enc", "rtph264pay") if not Gst.ElementFactory.find(name)]
    if missing:
        sys.exit(f"GStreamer has no {', '.join(missing)}")
    if sys.argv[1] != "--check":
        main(sys.argv[1])
