"""`edgecat demo`: the whole job on drawn pets, and one page that shows it."""

from edgecat.demo.result import DemoConfig
from edgecat.demo.run import run_demo

__all__ = ["DemoConfig", "run_demo"]
