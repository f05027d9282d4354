"""`edgecat demo`: the complete workflow on synthetic pets, with an HTML report."""

from edgecat.demo.demo import run_demo
from edgecat.demo.result import DemoConfig

__all__ = ["DemoConfig", "run_demo"]
