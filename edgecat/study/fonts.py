"""Finds a font for the plots of a language; in the SVG, its letters become paths."""

from __future__ import annotations

from typing import Any

from edgecat_runtime.errors import BackendMissing

_LATIN = "DejaVu Sans"
_KOREAN = (
    *("NanumGothic", "Noto Sans KR", "Noto Sans CJK KR", "Noto Sans CJK JP"),
    *("Apple SD Gothic Neo", "AppleGothic", "Malgun Gothic"),
)
"""On Debian, Fedora, macOS and Windows. Of a collection, matplotlib reads the first face (JP),
which has the same Hangul."""


def fonts(language: str) -> dict[str, Any]:
    """Return matplotlib settings with a font for the language.

    Args:
        language: one of `edgecat.study.words.LANGUAGES`.

    Raises:
        BackendMissing: no installed font has the letters, or matplotlib is not installed.
    """
    if language == "en":
        return {}
    try:
        from matplotlib.font_manager import findSystemFonts, fontManager
    except ImportError as error:
        raise BackendMissing("matplotlib is not installed: pip install 'edgecat[train]'") from error

    def found() -> str | None:
        names = {font.name for font in fontManager.ttflist}
        return next((name for name in _KOREAN if name in names), None)

    if found() is None:  # installed since matplotlib made its list
        for path in findSystemFonts():
            if "Nanum" in path or "CJK" in path or "Gothic" in path:
                fontManager.addfont(path)
    name = found()
    if name is None:
        raise BackendMissing(
            "no Korean font is installed; on Debian and Ubuntu: apt install fonts-nanum"
        )
    return {"font.family": [_LATIN, name]}  # letters that the first lacks come from the second
