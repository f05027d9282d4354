"""Finds the split folders and the class folders of a data set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

Folders = tuple[str, ...]

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "holdout"), "test"),
}
_AFFIXES = frozenset("seg the set sets data dataset images imgs img pictures folder split".split())


def split_of(name: str) -> str:
    """Return the split that a folder name stands for: `train`, `val`, `test`, or empty.

    Example:
        >>> split_of("training_set"), split_of("seg_test"), split_of("trainers")
        ('train', 'test', '')
    """
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word not in _AFFIXES]
    if len(words) == 1 and words[0] not in _SPLITS:  # trainset, testdata
        words = re.findall(f"^({'|'.join(_SPLITS)})(?:{'|'.join(_AFFIXES)})$", words[0]) or words
    return _SPLITS.get(words[0], "") if len(words) == 1 else ""


def _may_be_split(name: str) -> str:
    """Return the one split that a longer name mentions, as `x_train` or `ILSVRC2012_img_val`."""
    words = (re.sub(r"\d+$", "", word) for word in re.split(r"[\W_]+", name.lower()))
    found = {_SPLITS[word] for word in words if word in _SPLITS}
    return found.pop() if len(found) == 1 else ""


class Tree:
    """The folders of a source that contain images, at any depth.

    Args:
        holding: the folders that directly contain images, as path components below the root.
    """

    def __init__(self, holding: Iterable[Folders]) -> None:
        self._holding = set(holding)
        self._children: dict[Folders, set[str]] = {}
        for folders in self._holding:
            for depth, name in enumerate(folders):
                self._children.setdefault(folders[:depth], set()).add(name)

    def split_level(self, folders: Folders) -> int | None:
        """Return the first level of a path that names a split; None if there is none."""
        return next((d for d in range(len(folders)) if self._is_split(folders[: d + 1])), None)

    def split_name(self, folders: Folders) -> str:
        """Return the split that a folder's name stands for, empty if it is none.

        A longer name, such as `train_aug`, counts only beside another split with the same folders
        inside: it may be that of a class.
        """
        part = split_of(folders[-1])
        if part or folders in self._holding or not (part := _may_be_split(folders[-1])):
            return part
        inside = self._children.get(folders, set())
        for name in self._children.get(folders[:-1], set()) - {folders[-1]}:
            beside = (*folders[:-1], name)
            another = split_of(name) or _may_be_split(name) not in ("", part)
            shared = inside & self._children.get(beside, set())
            if another and len(shared) > 1 and beside not in self._holding:
                return part
        return ""

    def class_folders(self) -> frozenset[Folders]:
        """Return the class folders: the first level with several folders, or with images.

        As in torchvision's `ImageFolder`, folders inside a class folder are ignored. A chain
        of single folders above the classes is skipped.
        """
        return frozenset(self._classes_below(()))

    def _classes_below(self, folders: Folders) -> Iterator[Folders]:
        below = [(*folders, name) for name in self._children.get(folders, ())]
        if len(below) == 1 and below[0] not in self._holding:
            yield from self._classes_below(below[0])
        else:
            yield from below

    def _is_split(self, folders: Folders) -> bool:
        """Whether a folder is a split rather than a class of that name among other classes."""
        if not self.split_name(folders):
            return False
        beside = self._children.get(folders[:-1], set()) - {folders[-1]}
        others = {name for name in beside if not self.split_name((*folders[:-1], name))}
        if not others:
            return True
        inside = self._children.get(folders, set())
        splits = [self._children.get((*folders[:-1], name), set()) for name in beside - others]
        if folders in self._holding:
            return False
        shallow = any((*folders[:-1], name) in self._holding for name in others)
        return shallow or any(inside & names for names in (others, *splits))
