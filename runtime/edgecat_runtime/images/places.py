"""Which files and folders beside images are left there by other programs."""

from __future__ import annotations

# What operating systems, network storage and trash bins leave in folders.
_JUNK = frozenset(
    (
        *("__MACOSX", "Thumbs.db", "desktop.ini", "lost+found", "System Volume Information"),
        *("$RECYCLE.BIN", "RECYCLER", "@eaDir", "@Recycle", "#recycle", "#snapshot", "__pycache__"),
    )
)


def is_junk(name: str) -> bool:
    """Whether a file is hidden or operating-system metadata (`.DS_Store`, `._x.jpg`)."""
    return name.startswith(".") or name in _JUNK
