"""Numbers with their nouns, for messages."""

from __future__ import annotations


def number_of(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun in the right form.

    Args:
        number: how many.
        noun: in the singular.
        plural: empty: with an s.

    Example:
        >>> number_of(1, "label"), number_of(2500, "image"), number_of(0, "class", "classes")
        ('1 label', '2,500 images', '0 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
