"""Pages and JSON that the server generates."""

from __future__ import annotations

import json
from typing import Any

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>edgecat</title>
"""
PAGE_401 = f"""{_PAGE}<h1>This camera needs its token</h1>
<p>Open the full URL that edgecat printed when it started: it ends in
<code>?token=...</code>. The token changes with every start.</p>
"""
PAGE_ENTER = f'{_PAGE}<p><a href="/">To the camera</a></p>\n'


def json_text(value: Any) -> str:
    """Return JSON that browsers accept; raises ValueError on NaN or infinity."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
