"""Options as other tools call them: what each is in edgecat, for the error message."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

_OTHERS: dict[str, tuple[str, ...]] = {
    "--imgsz": ("--size",),
    "--img": ("--size",),
    "--img-size": ("--size",),
    "--image-size": ("--size",),
    "--input-size": ("--size",),
    "--half": ("--precision",),
    "--fp16": ("--precision",),
    "--int8": ("--precision",),
    "--dtype": ("--precision",),
    "--weights": ("--model",),
    "--network": ("--model",),
    "--checkpoint": ("--model",),
    "--model-path": ("--model",),
    "--format": ("--to", "--jsonl", "--json"),
    "--conf": ("--enter",),
    "--conf-thres": ("--enter",),
    "--threshold": ("--enter",),
    "--batch": ("--batch-size",),
    "--batch-size": ("--batch",),
    "--learning-rate": ("--lr",),
    "--lr0": ("--lr",),
    "--epoch": ("--epochs",),
    "--opt": ("--optimizer",),
    "--optim": ("--optimizer",),
    "--gpu": ("--device",),
    "--topk": ("--top",),
    "--top-k": ("--top",),
    "--topK": ("--top",),
    "--save": ("--output",),
    "--out": ("--output",),
    "--project": ("--output",),
    "--save-txt": ("--predictions", "--csv"),
    "--save-json": ("--predictions", "--json"),
    "--video": ("--source",),
    "--input": ("--source",),
    "--camera": ("--source",),
    "--classes": ("--labels",),
    "--names": ("--labels",),
    "--class-names": ("--labels",),
    "--exist-ok": ("--overwrite",),
    "--color": ("--colour",),
    "--pretrained": ("--weights",),
    "--run-name": ("--name",),
}
_VALUES = {
    ("--half", "--precision"): "--precision fp16",
    ("--fp16", "--precision"): "--precision fp16",
    ("--int8", "--precision"): "--precision int8 --calibrate DATA",
    ("--gpu", "--device"): "--device cuda",
}
_IN_THE_MODEL = {
    "--size": "the model file says the input size",
    "--precision": "edgecat export --precision sets it, in the model file",
    "--labels": "the model file says the classes",
}
_ARGUMENTS = ("--source", "--data", "--input", "--images", "--image", "--dataset")


def in_edgecat(option: str, known: Collection[str]) -> str:
    """What an unknown option is called here; empty if it is called nothing.

    Args:
        option: as given, such as `--imgsz`.
        known: the command's own options.
    """
    wanted = _OTHERS.get(option, ())
    for name in wanted:
        if name in known:
            return f"in edgecat this is {_VALUES.get((option, name), name)}"
    for name in (*wanted, option):
        if name in _IN_THE_MODEL:
            return _IN_THE_MODEL[name]
    if option in _ARGUMENTS:
        return "in edgecat these are arguments, without an option"
    return ""


def keep_shipped_files(arguments: Iterable[str]) -> list[str]:
    """Make `./shipped` absolute: as a path it would be the same as the name `shipped`."""
    return [_kept(one) for one in arguments]


def _kept(argument: str) -> str:
    option, sign, value = argument.rpartition("=")
    if value in ("./shipped", f".{os.sep}shipped"):
        return f"{option}{sign}{os.path.abspath(value)}"  # noqa: PTH100
    return argument
