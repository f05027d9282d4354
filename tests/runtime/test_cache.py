from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgecat_runtime import UserError
from edgecat_runtime.cache import cache_folder, cache_switched_off

HOME = Path("/home/me")


@pytest.mark.parametrize(
    ("system", "own", "xdg", "appdata", "expected"),
    [
        ("linux", "/own", "/xdg", "", Path("/own")),
        ("linux", "", "/xdg", "", Path("/xdg/edgecat")),
        ("linux", "", "", "", HOME / ".cache/edgecat"),
        ("darwin", "/own", "", "", Path("/own")),
        ("darwin", "", "", "", HOME / "Library/Caches/edgecat"),
        ("darwin", "", "/xdg", "", Path("/xdg/edgecat")),
        ("win32", "", "", "/local", Path("/local/edgecat")),
        ("win32", "", "", "", HOME / "AppData/Local/edgecat"),
    ],
)
def test_the_cache_is_where_each_system_has_it(
    monkeypatch: pytest.MonkeyPatch, system: str, own: str, xdg: str, appdata: str, expected: Path
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: HOME)
    for name, value in {
        "EDGECAT_CACHE": own,
        "XDG_CACHE_HOME": xdg,
        "LOCALAPPDATA": appdata,
    }.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == expected


def test_it_is_switched_off_only_by_an_empty_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, off in (("", True), ("/own", False)):
        monkeypatch.setenv("EDGECAT_CACHE", value)
        assert cache_switched_off() is off
    monkeypatch.delenv("EDGECAT_CACHE")
    assert not cache_switched_off()


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("EDGECAT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UserError, match="Set EDGECAT_CACHE to a folder"):
        cache_folder()
