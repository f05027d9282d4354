"""Watch a camera in an asyncio program.

    python watch_async.py vgg16.onnx 0

The event loop stays free for other tasks. Ctrl-C cancels the task, which stops the loop.
"""

import asyncio
import sys
from contextlib import aclosing

from edgecat_runtime import Camera, Classifier, EdgecatError, Pipeline


async def main(engine: str, source: str) -> None:
    """Print every change of the decision, and the new engine when its file is replaced."""
    classifier = await asyncio.to_thread(Classifier.open, engine)  # its self-test takes a moment
    with classifier, Camera.open(source) as camera:
        pipeline = Pipeline(camera, classifier, reload=True)
        async with aclosing(pipeline.stream()) as answers:
            async for answer in answers:
                if answer.changed:
                    print(f"{answer.before} -> {answer}")
    print(pipeline.summary)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (EdgecatError, KeyboardInterrupt) as end:
        sys.exit(str(end))
