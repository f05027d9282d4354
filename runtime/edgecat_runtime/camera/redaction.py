"""What may be shown of a source's text: its users, passwords and keys appear in no output.

Values are shown by an allow-list of names, since cameras have too many words for a password.
"""

from __future__ import annotations

import re

HIDDEN = "***"

_QUERY = frozenset(
    "w width h height size resolution fps framerate rate seed channel ch stream streamtype subtype "
    "profile camera cam codec videocodec quality compression transport protocol unicast proto "
    "seconds frames rotate mirror".split()
)
_PROPERTIES = frozenset(
    "location uri device device-index sensor-id sensor-mode camera-id name pattern width height "
    "framerate format is-live num-buffers latency protocols drop drop-on-latency max-buffers sync "
    "async leaky max-size-buffers max-size-time max-size-bytes flip-method io-mode caps pt payload "
    "encoding-name clock-rate media do-timestamp port blocksize timeout retry index".split()
)

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:/*)(.*)", re.S)  # C: is a drive
_SPLIT = re.compile(r"([^?#]*)([?#]?)(.*)", re.S)
_WORD = re.compile(r"""(?:[^\s"']|"(?:[^"\\]|\\.)*"?|'[^']*'?)+""")
_LOGIN = re.compile(r"(:/+)(?:(?! ! ).)*@", re.S)  # in one element of a pipeline
_CAPS = re.compile(r"[a-z]+/[\w.+-]+(?:\([^)]*\))?(?:,.*)?")
_INTRODUCE = frozenset("user username pass password passwd pwd key token auth secret".split())
_RUN = re.compile(r"[A-Za-z0-9-]{16,}")
_MIXED = re.compile(r"[a-z][A-Z]")
_KEY = re.compile(r"[\w.:-]{1,32}")


def redacted(text: str) -> str:
    """Return an address or GStreamer pipeline with everything that may be a secret as `***`.

    Args:
        text: a source as the user wrote it; a path is returned as it is.

    Example:
        >>> redacted("rtsp://admin:pa?ss@camera/live?channel=1&sid=77")
        'rtsp://***@camera/live?channel=1&sid=***'
    """
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() == "gst":
        return f"{scheme}:{_pipeline(rest)}"
    return _pipeline(text) if " ! " in text else _address(text)


def _address(text: str) -> str:
    """Hide what stands before the last `@`, parameters that are not known, and keys in the path."""
    match = _ADDRESS.fullmatch(text)
    if match is None:  # a path, or an address that lacks a colon or two
        before, at, after = text.rpartition("@")
        return f"{HIDDEN}@{after}" if ":" in before else text
    _, at, after = match[2].rpartition("@")
    place, mark, query = _SPLIT.fullmatch(after).groups()  # type: ignore[union-attr]  # any text
    if not match[1].lower().startswith("file:"):
        place = _path(place)
    parameters = map(_parameter, re.split(r"([&;?#])", query)) if mark else ()
    return "".join((match[1], at and f"{HIDDEN}@", place, mark, *parameters))


def _path(place: str) -> str:
    """Hide parameters in a path (`/user=a&password=b`), and components that are keys."""
    host, slash, path = place.partition("/")
    shown, secret = [], False
    for part in path.split("/"):
        if (secret and part) or "%3d" in part.lower() or _is_key(part):
            shown.append(HIDDEN)
        elif "=" in part:
            first, *others = re.split(r"([&;])", part)
            shown.append(
                (_parameter(first) if "=" in first else first) + "".join(map(_parameter, others))
            )
        else:
            shown.append(part)
        secret = part.lower() in _INTRODUCE
    return host + slash + "/".join(shown)


def _is_key(part: str) -> bool:
    """Whether a path component looks drawn at random, as stream keys and tokens do."""
    return any(
        sum(map(str.isdigit, run)) >= 3 < sum(map(str.isalpha, run)) or len(_MIXED.findall(run)) > 2
        for run in _RUN.findall(part)
    )


def _parameter(part: str) -> str:
    name, equals, value = part.partition("=")
    if part in ("", "&", ";", "?", "#") or name.lower() in _QUERY:
        return name + equals + value
    return f"{name}={HIDDEN}" if equals and _KEY.fullmatch(name) else HIDDEN


def _pipeline(text: str) -> str:
    """Hide all properties that are not known, and words after them, up to the next of either."""
    words, hiding = [], False
    text = _LOGIN.sub(rf"\1{HIDDEN}@", re.sub(r"\s*=\s*", "=", text))
    for word in _WORD.findall(text):
        name, equals, value = word.partition("=")
        if word == "!" or _CAPS.fullmatch(word):
            hiding = False
            words.append(word)
        elif equals:
            hiding = name.lower() not in _PROPERTIES
            quote = value[:1] if value[:1] in ('"', "'") else ""
            shown = quote + _address(value.strip("\"'")) + quote
            words.append(f"{name}={HIDDEN if hiding else shown}")
        elif not hiding:
            words.append(_address(word))
    return " ".join(words)
