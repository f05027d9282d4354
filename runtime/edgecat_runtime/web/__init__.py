"""The camera in a browser: a page with the live image, and metrics for machines.

Needs aiohttp: `pip install 'edgecat-runtime[web]'`; `/metrics` also needs `[metrics]`.
"""

from edgecat_runtime.web.page import WebPage
from edgecat_runtime.web.panels import Panel, register_panel

__all__ = ["Panel", "WebPage", "register_panel"]
