"""`edgecat demo`: the whole job on drawn pets, and one page that shows it."""

from edgecat.demo.demo import run_demo
from edgecat.demo.result import DemoConfig

__all__ = ["DemoConfig", "run_demo"]
