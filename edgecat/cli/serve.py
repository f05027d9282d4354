"""`edgecat serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.options.common import (
    MODEL,
    MODEL_NAMES,
    Backend,
    Device,
    Labels,
    Verbose,
)
from edgecat.cli.options.common import Rebuild as RebuildEngine

_LIMITS = "Batches and limits"


def serve(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Model to serve (default: the newest run's, else the bundled one).",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        Path | None,
        typer.Option(
            *MODEL_NAMES,
            help="The model, if it is not given as an argument; `shipped` is the bundled one.",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None,
    port: Annotated[
        str,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Where to listen. Other addresses than this machine's own, such as 0.0.0.0:8000, "
            "require a token: the one that is printed, or that of EDGECAT_WEB_TOKEN.",
        ),
    ] = "8000",
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the model in URLs (default: the file's name up to its first dot).",
            show_default=False,
        ),
    ] = None,
    host_name: Annotated[
        list[str] | None,
        typer.Option(
            help="Another host name under which the service is reached, such as that of a proxy; "
            "repeatable.",
            show_default=False,
        ),
    ] = None,
    max_batch: Annotated[
        int,
        typer.Option(min=1, help="Maximum frames per batch.", rich_help_panel=_LIMITS),
    ] = 16,
    delay: Annotated[
        float,
        typer.Option(
            min=0,
            help="Milliseconds for which the idle network waits for more frames.",
            rich_help_panel=_LIMITS,
        ),
    ] = 2.0,
    queue: Annotated[
        int,
        typer.Option(
            min=1,
            help="Maximum frames that wait; requests beyond get status 503 at once.",
            rich_help_panel=_LIMITS,
        ),
    ] = 64,
    instances: Annotated[
        int,
        typer.Option(
            min=1,
            max=256,
            help="Copies of the model that work at the same time, each on a batch of its own, with "
            "its part of the cores.",
            rich_help_panel=_LIMITS,
        ),
    ] = 1,
    max_images: Annotated[
        int,
        typer.Option(min=1, help="Maximum images per request.", rich_help_panel=_LIMITS),
    ] = 64,
    max_megabytes: Annotated[
        int,
        typer.Option(min=1, help="Maximum size of a request, in MB.", rich_help_panel=_LIMITS),
    ] = 64,
    backend: Backend = "auto",
    device: Device = "auto",
    labels: Labels = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of CPU threads of each instance (default: chosen by the backend; of "
            "several instances, its part of the cores).",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None,
    rebuild: RebuildEngine = False,
    verbose: Verbose = False,
) -> None:
    """Serve a model over HTTP, in the Open Inference Protocol (version 2) of Triton and KServe.

    Requests carry frames or image files; those that arrive together are classified in one batch.
    Stops on Ctrl-C or SIGTERM, after answering what it accepted.

    Example: `edgecat serve vgg16.onnx --port 8000`
    """
    import os

    from edgecat.cli.terminal.console import TERMINAL, warn
    from edgecat.cli.terminal.signals import stopped_by_signals
    from edgecat.workflows.models import models_to_serve
    from edgecat.workflows.serving import open_classifier, open_copies, threads_of_each
    from edgecat_runtime.web.access import AccessControl, address_from_text, listen
    from edgecat_runtime.web.inference.service import InferenceServer, ServiceOptions

    options = ServiceOptions(max_batch, delay / 1000, queue, max_images, max_megabytes * 10**6)
    paths = models_to_serve(model or engine)
    address = address_from_text(port, "--port")
    threads = threads_of_each(instances, threads)
    called = name or paths[0].name.partition(".")[0]
    with (
        open_classifier(
            *(paths, backend),
            device=device,
            threads=threads,
            labels=labels,
            rebuild=rebuild,
            verbose=verbose,
            reporter=TERMINAL,
        ) as classifier,
        open_copies(classifier, instances - 1, threads=threads) as copies,
        stopped_by_signals() as stop,
    ):
        sock = listen(address, "--port")
        guard = AccessControl(
            address, sock, os.environ.get("EDGECAT_WEB_TOKEN", ""), host_name or ()
        )
        with InferenceServer(
            *(classifier, sock, guard), name=called, options=options, copies=copies
        ):
            warn(f"serving {called} at {guard.url}v2/models/{called}")
            if guard.token:
                warn(f"token: {guard.token}")
            stop.wait()
            warn("stopping: answering what was accepted")
