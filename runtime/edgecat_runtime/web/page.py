"""The web page as an output of the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.camera.redaction import redacted
from edgecat_runtime.errors import UserError
from edgecat_runtime.outputs.sink import Sink
from edgecat_runtime.web.access import AccessControl, address_from_text, listen
from edgecat_runtime.web.application import Application, Controls
from edgecat_runtime.web.loop_status import LoopStatus
from edgecat_runtime.web.panels import registered_panels
from edgecat_runtime.web.server import Server, web_module

if TYPE_CHECKING:
    from edgecat_runtime.loop.answers import Answer
    from edgecat_runtime.loop.running import Loop

MOST_VIEWERS = 64


class WebPage(Sink):
    """The camera in a browser, and its metrics for machines.

    The loop only swaps a reference; images are encoded on the server's threads, while someone
    watches. The port is bound at once; requests are served from the loop's start to its end.

    Args:
        address: `[HOST:]PORT`; port 0 picks a free one. A token is required unless it is a loopback
            address.
        control: whether viewers may stop the loop and switch the source.
        sources: sources they may switch to, as for `open_source`; passwords are hidden.
        token: the required token, instead of a new one; also on a loopback address.
        names: other host names under which the page may be opened, such as that of a proxy.
        most_viewers: maximum concurrent viewers of the image; further ones get a 503.

    Attributes:
        url: URL of the page with its token, so only for the operator.

    Raises:
        UserError: the address is invalid or in use, or a name is invalid.
        BackendMissing: aiohttp is not installed.

    Example:
        >>> page = WebPage("8080")  # doctest: +SKIP
        >>> Pipeline(camera, classifier, [page]).run()  # doctest: +SKIP
    """

    name = "the web page"
    inline = True

    def __init__(
        self,
        address: str = "8080",
        *,
        control: bool = False,
        sources: Sequence[str] = (),
        token: str = "",
        names: Sequence[str] = (),
        most_viewers: int = MOST_VIEWERS,
    ) -> None:
        web_module()
        place = address_from_text(address)
        self._sock = listen(place)
        try:
            self._guard = AccessControl(place, self._sock, token, names)
        except UserError:
            self._sock.close()
            raise
        self.url = self._guard.url_with_token
        self._control = control
        self._sources = {redacted(text): text for text in sources} if control else {}
        self._most_viewers = most_viewers
        self._feed: LoopStatus | None = None
        self._server: Server | None = None

    def begin(self, loop: Loop) -> None:
        """Start serving."""
        feed = self._feed = LoopStatus(loop)
        controls = Controls(
            loop.stop if self._control else None,
            tuple(self._sources),
            lambda number, name: loop.cameras[number].switch(self._sources[name]),
        )
        panels = registered_panels()
        self._server = Server(
            self._sock,
            lambda: Application(
                feed, self._guard, controls, panels, most_viewers=self._most_viewers
            ),
            most=2 * self._most_viewers + 32,
        )
        self._server.start()

    def write(self, answer: Answer, picture: NDArray[np.uint8]) -> None:
        """Record the answer."""
        if self._feed is not None:
            self._feed.put(answer)

    def close(self) -> None:
        """End every stream and the server."""
        if self._feed is not None:
            self._feed.end()
        if self._server is not None:
            self._server.stop()
        self._sock.close()
