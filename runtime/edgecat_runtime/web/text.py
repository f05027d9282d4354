"""Texts that the server makes itself."""

from __future__ import annotations

import json
from typing import Any

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>edgecat</title>
"""
PAGE_401 = f"""{_PAGE}<h1>This camera wants its token</h1>
<p>Open the whole address that edgecat printed when it was started: it ends in
<code>?token=...</code>. It changes with every start.</p>
"""
PAGE_ENTER = f'{_PAGE}<p><a href="/">To the camera</a></p>\n'


def json_text(value: Any) -> str:
    """Return JSON that browsers take: no NaN, no infinity; raises ValueError on one."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
