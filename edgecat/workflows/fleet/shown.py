"""A manifest as people and programs see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgecat_runtime.model.channel import Manifest, Release


def manifest_dict(manifest: Manifest) -> dict[str, Any]:
    """A manifest, JSON-ready, without what only boards need."""
    return {
        "channel": manifest.channel,
        "sequence": manifest.sequence,
        "created": manifest.created,
        "expires": manifest.expires or None,
        "returns_from": manifest.returns_from or None,
        "releases": [
            {
                "version": release.version,
                "created": release.created,
                "percent": release.percent,
                "min_edgecat": release.min_edgecat or None,
                "note": release.note,
                "targets": [
                    {
                        "file": target.file,
                        "bytes": target.size,
                        "sha256": target.sha256,
                        "precision": target.precision,
                        "gpu": target.gpu or None,
                    }
                    for target in release.targets
                ],
            }
            for release in manifest.releases
        ],
    }


def release_lines(manifest: Manifest) -> Iterator[str]:
    """A line per release and file, for people."""
    for release in manifest.releases:
        yield f"  version {release.version}: {_audience(manifest, release)}"
        for target in release.targets:
            kind = f"{target.form}, {target.precision}" + (f", {target.gpu}" if target.gpu else "")
            yield f"    {target.file}  {target.size / 1e6:.1f} MB, {kind}"


def _audience(manifest: Manifest, release: Release) -> str:
    parts = [f"{release.percent} % of the boards"]
    if release.version < manifest.returns_from:
        parts.append(f"a return from version {manifest.returns_from}")
    if release.min_edgecat:
        parts.append(f"edgecat {release.min_edgecat} or newer")
    return ", ".join([*parts, *([release.note] if release.note else [])])
