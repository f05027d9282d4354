"""The options of `edgecat camera` for its web page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgecat_runtime.web import WebPage

TOKEN_VARIABLE = "EDGECAT_WEB_TOKEN"

Web = Annotated[
    str | None,
    typer.Option(
        metavar="[HOST:]PORT",
        help="Show the camera in a browser, with /metrics and /healthz. Another address than this "
        "machine's own (as 0.0.0.0:8080) demands a token.",
        show_default=False,
    ),
]
WebControl = Annotated[
    bool, typer.Option("--web-control", help="Let viewers stop the camera and switch its source.")
]
WebSource = Annotated[
    list[str] | None,
    typer.Option(help="Another source that viewers may switch to; repeatable.", show_default=False),
]
WebName = Annotated[
    list[str] | None,
    typer.Option(
        help="Another host name under which the page may be opened, such as that of a proxy; "
        "repeatable.",
        show_default=False,
    ),
]


def web_page(
    address: str | None,
    control: bool,
    texts: Sequence[str],
    others: Sequence[str] | None,
    names: Sequence[str] | None = None,
) -> WebPage | None:
    """Open the page and say where, once; None where no address is given.

    Args:
        address: `[HOST:]PORT`.
        control: whether viewers may stop and switch.
        texts: the sources that are read.
        others: that viewers may switch to.
        names: host names under which it may be opened.

    Raises:
        UserError: an option needs another, or the address cannot be served at.
    """
    from edgecat.cli.terminal.console import warn
    from edgecat_runtime.errors import UserError

    if others and not control:
        raise UserError("--web-source is for switching, which viewers may not. Add --web-control")
    if address is None:
        if names:
            raise UserError("--web-name is for the web page. Add --web 8080")
        if control:
            raise UserError("--web-control is for the web page. Add --web 8080")
        return None
    from edgecat_runtime.web import WebPage

    sources = list(dict.fromkeys([*texts, *others])) if others else []
    token = os.environ.get(TOKEN_VARIABLE, "")
    page = WebPage(address, control=control, sources=sources, token=token, names=names or ())
    warn(f"web page: {page.url}")
    return page
