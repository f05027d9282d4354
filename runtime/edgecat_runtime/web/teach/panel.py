"""Teaching from the camera's page: capture, sort, train, use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib.resources import files
from threading import Lock
from typing import Any

from edgecat_runtime.errors import UserError
from edgecat_runtime.images import read_image
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.loop.teach.session import Session, text, texts
from edgecat_runtime.loop.teach.store import NONE
from edgecat_runtime.model.preprocess import shrink
from edgecat_runtime.outputs.sink import Sink
from edgecat_runtime.types import Image
from edgecat_runtime.web.encoders import jpeg
from edgecat_runtime.web.panels import Panel

NAME = "teach"
THUMB = 144
"""Shorter side of a thumbnail in pixels."""
_THUMBS = 600  # kept in memory, 5 kB each

Message = dict[str, Any]
Act = Callable[[Message], Message | None]


class Newest(Sink):
    """Gives a session the newest frame."""

    name = "teaching"
    inline = True

    def __init__(self, session: Session) -> None:
        self._session = session

    def write(self, answer: Answer, picture: Image) -> None:
        """Hand over a reference."""
        self._session.see(answer)


def teach_panel(session: Session) -> Panel:
    """Make the panel of a session; viewers of the page may do everything that it offers."""

    def acted(act: Act) -> Callable[[Message], Message]:
        def answer(message: Message) -> Message:
            result = act(message) or {}
            known = message.get("version", -1)
            return {**result, **session.state(known if isinstance(known, int) else -1)}

        return answer

    return Panel(
        NAME,
        "Teach it",
        html=_text("panel.html"),
        script=_text("panel.js"),
        style=_text("panel.css"),
        actions={name: acted(act) for name, act in _actions(session).items()},
        uploads={"image": lambda data, query: _uploaded(session, data, query)},
        file=_Thumbs(session),
    )


def _actions(session: Session) -> dict[str, Act]:
    """What a page may ask for, by name."""

    def trained(name: str) -> Act:
        def act(message: Message) -> None:
            if session.trainer is None:
                raise UserError(session.state(0)["training"]["why"])
            getattr(session.trainer, name)()

        return act

    return {
        "state": lambda message: None,
        "capture": lambda message: session.capture(text(message, "label")),
        "delete": lambda message: session.delete(texts(message, "images")),
        "move": lambda message: session.move(texts(message, "images"), text(message, "label")),
        "add": lambda message: {"added": session.add_class(text(message, "label"))},
        "none": lambda message: {"added": session.add_class(NONE)},
        "remove": lambda message: session.remove_class(text(message, "label")),
        "undo": lambda message: session.undo(),
        "train": trained("start"),
        "resume": trained("resume"),
        "stop": trained("stop"),
        "use": trained("deploy"),
    }


def _uploaded(session: Session, data: bytes, query: Mapping[str, str]) -> Message:
    kept = session.upload(data, text(query, "label"), query.get("name", ""))
    return {**kept, **session.state()}


class _Thumbs:
    """Thumbnails by image, made when they are asked for; the last ones are kept."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def __call__(self, query: Mapping[str, str]) -> tuple[bytes, str]:
        """Return the thumbnail of the image `key`; raises UserError if there is none."""
        key = text(query, "key")
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key], "image/jpeg"
        image = read_image(self._session.store.path(key))
        height, width = image.shape[:2]
        factor = min(1.0, THUMB / min(height, width))
        small = shrink(image, max(1, round(height * factor)), max(1, round(width * factor)))
        body = jpeg(small, 80)
        with self._lock:
            self._kept[key] = body
            while len(self._kept) > _THUMBS:
                self._kept.popitem(last=False)
        return body, "image/jpeg"


def _text(name: str) -> str:
    return files("edgecat_runtime.web.teach").joinpath(name).read_text(encoding="utf-8")
