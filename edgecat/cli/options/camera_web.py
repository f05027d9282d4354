"""The options of `edgecat camera` for its web page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgecat_runtime.web import WebPage

TOKEN_VARIABLE = "EDGECAT_WEB_TOKEN"

_WEB = "Web page"

Web = Annotated[
    str | None,
    typer.Option(
        metavar="[HOST:]PORT",
        help="Serve the view to browsers, with /metrics and /healthz. An address that other "
        "machines can reach, such as 0.0.0.0:8080, requires a token: the one in the printed URL, "
        f"or that of {TOKEN_VARIABLE}.",
        show_default=False,
        rich_help_panel=_WEB,
    ),
]
WebControl = Annotated[
    bool,
    typer.Option(
        "--web-control",
        help="Allow viewers to stop the camera and switch its source.",
        rich_help_panel=_WEB,
    ),
]
WebSource = Annotated[
    list[str] | None,
    typer.Option(
        help="Another source that viewers may switch to; repeatable.",
        show_default=False,
        rich_help_panel=_WEB,
    ),
]
WebName = Annotated[
    list[str] | None,
    typer.Option(
        help="Another host name under which the page may be opened, such as that of a proxy; "
        "repeatable.",
        show_default=False,
        rich_help_panel=_WEB,
    ),
]


def web_page(
    address: str | None,
    control: bool,
    texts: Sequence[str],
    others: Sequence[str] | None,
    names: Sequence[str] | None = None,
) -> WebPage | None:
    """Start the page, whose URL `tell` prints; None if no address is given.

    Args:
        address: `[HOST:]PORT`.
        control: whether viewers may stop the camera and switch its source.
        texts: the sources in use.
        others: sources that viewers may switch to.
        names: host names under which the page may be opened.

    Raises:
        UserError: an option requires another one, or the address cannot be bound.
    """
    from edgecat_runtime.errors import UserError

    if others and not control:
        raise UserError("--web-source needs permission to switch sources. Add --web-control")
    if address is None:
        if names:
            raise UserError("--web-name needs the web page. Add --web 8080")
        if control:
            raise UserError("--web-control needs the web page. Add --web 8080")
        return None
    from edgecat_runtime.web import WebPage

    sources = list(dict.fromkeys([*texts, *others])) if others else []
    token = os.environ.get(TOKEN_VARIABLE, "")
    return WebPage(address, control=control, sources=sources, token=token, names=names or ())


def tell(page: WebPage | None) -> None:
    """Print the URL of a page, once there is something to see."""
    from edgecat.cli.terminal.console import warn

    if page is not None:
        warn(f"web page: {page.url}")
