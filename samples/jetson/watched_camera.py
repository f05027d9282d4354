"""The camera loop under systemd's watchdog: a loop that stands still is restarted.

    python watched_camera.py /opt/edgecat/models/vgg16.trt /dev/video0

systemd is told READY=1 once the model has proved itself, and WATCHDOG=1 with every frame answered.
"""

import os
import signal
import socket
import sys

from edgecat_runtime import Classifier
from edgecat_runtime.camera import Camera
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.pipeline import Pipeline


def notify(state: str) -> None:
    """Tell systemd; does nothing where it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(state.encode(), address.replace("@", "\0", 1))


def main(engine: str, source: str) -> None:
    """Print every change of the decision until systemd asks to stop."""
    with Classifier.open(engine) as classifier, Camera.open(source) as camera:
        pipeline = Pipeline(camera, classifier)
        signal.signal(signal.SIGTERM, lambda *_: pipeline.stop())
        notify("READY=1")
        for answer in pipeline:
            notify("WATCHDOG=1")
            if answer.changed:
                print(answer.smoothed, flush=True)
    notify("STOPPING=1")
    print(pipeline.summary)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except EdgecatError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
