"""What pip says is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distributions, version


def installed(distribution: str) -> str:
    """Version of a distribution; empty where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def wheels(names: tuple[str, ...]) -> list[str]:
    """Those of the named distributions that are installed."""
    found = {(d.metadata["Name"] or "").lower().replace("_", "-") for d in distributions()}
    return [name for name in names if name in found]
