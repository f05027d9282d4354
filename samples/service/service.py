"""Classify images over HTTP.

    python service.py vgg16.onnx [PORT]
    curl --data-binary @cat.jpg http://127.0.0.1:8000/classify

The default port is 8000; it listens on localhost only.
"""

import asyncio
import os
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request

from edgecat_runtime import Classifier, EdgecatError, Prediction
from edgecat_runtime.images import PictureError, decode_picture

MOST_BYTES = 10_000_000
MOST_PIXELS = 50_000_000  # per image, regardless of its file size
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))


def application(classifier: Classifier) -> FastAPI:
    """Return the service for an open engine."""
    app = FastAPI(title="edgecat")

    def answer(data: bytes) -> Prediction:
        return classifier.classify(decode_picture(data, "the image"))

    @app.post("/classify")
    async def classify(request: Request) -> dict[str, Any]:
        try:
            told = await asyncio.to_thread(answer, await _body(request))
        except PictureError as error:
            raise HTTPException(400, str(error)) from error
        names = ("confidence", "probabilities")
        return {"label": told.displayed, **{name: getattr(told, name) for name in names}}

    @app.get("/healthz")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "model": str(classifier.path), "labels": classifier.labels}

    return app


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"the image is larger than {MOST_BYTES:,} bytes")
    return bytes(data)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        with Classifier.open(sys.argv[1]) as opened:
            port = int(sys.argv[2]) if len(sys.argv) > 2 else 8000
            uvicorn.run(application(opened), port=port, limit_concurrency=64)
    except EdgecatError as error:
        sys.exit(str(error))
