"""The state of the live look and its table of actions."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from edgecat.deepvis.actions import ACTIONS, BY_KEY, BY_NAME, help_lines, key_name
from edgecat.deepvis.desk import Desk
from edgecat.deepvis.state import LEAST_BOOST, MOST_BOOST, Scene, State, Unit
from edgecat_runtime.errors import UserError

SCENE = Scene(layers=(10, 4, 2), pictures=3, columns=4)
START = State()
DEEP = State(unit=Unit(1, 3))


@pytest.mark.parametrize(
    ("keys", "start", "expected"),
    [
        ("ArrowRight", START, {"unit": Unit(0, 1)}),
        ("ArrowLeft", START, {}),
        ("ArrowDown", START, {"unit": Unit(0, 4)}),
        ("ArrowDown ArrowDown ArrowDown", START, {"unit": Unit(0, 8)}),
        ("ArrowRight ArrowRight ArrowRight ArrowDown ArrowDown", START, {"unit": Unit(0, 9)}),
        ("ArrowDown ArrowRight ArrowUp", START, {"unit": Unit(0, 1)}),
        ("l k j i", START, {}),
        ("L L", START, {"unit": Unit(0, 9)}),
        ("L J", START, {}),
        ("o", START, {"unit": Unit(1, 0)}),
        ("o o o", DEEP, {"unit": Unit(2, 1)}),
        ("u u", DEEP, {"unit": Unit(0, 3)}),
        ("f", START, {"frozen": True}),
        ("f f", START, {}),
        ("c", START, {"still": True}),
        ("c c", START, {}),
        ("f c", START, {"still": True}),
        ("e", START, {"still": True}),
        ("e e e", START, {"still": True, "picture": 2}),
        ("e w", START, {"still": True, "picture": 2}),
        ("x", START, {"fit": "stretch"}),
        ("x x", START, {}),
        ("b", START, {"back": "gradient"}),
        ("b b", START, {"back": "guided"}),
        ("b b b", START, {"back": "deconv"}),
        ("b b b b", START, {}),
        ("n", START, {"look": "grey"}),
        ("n n n", START, {"look": "blurred"}),
        ("n n n n", START, {}),
        ("d", DEEP, {"held": Unit(1, 3)}),
        ("d u", DEEP, {"held": Unit(1, 3), "unit": Unit(0, 3)}),
        ("d d", DEEP, {}),
        ("a", START, {"derivatives": True}),
        ("m", START, {"heat": True}),
        ("z", START, {"zoom": "unit"}),
        ("z z", START, {}),
        ("b z z", START, {"back": "gradient", "zoom": "back"}),
        ("b z z z", START, {"back": "gradient"}),
        ("9", START, {"about": False}),
        ("1", START, {"filters": True}),
        ("5", START, {"top": False}),
        ("+ +", START, {"boost": 2}),
        ("-", START, {"boost": -1}),
        (" ".join("+" * 20), START, {"boost": MOST_BOOST}),
        (" ".join("-" * 20), START, {"boost": LEAST_BOOST}),
        ("h", START, {"help": True}),
        ("h Escape", DEEP, {}),
        ("f b n d a m z 9 1 5 + Escape", DEEP, {}),
        ("q", START, {"quit": True}),
        ("y", START, {}),
    ],
)
def test_keys_change_the_state(keys: str, start: State, expected: dict[str, object]) -> None:
    desk = Desk(SCENE, start)
    for key in keys.split():
        desk.press(key)
    assert desk.state == replace(start, **expected)


@pytest.mark.parametrize("key", ["c", "e", "w"])
def test_without_pictures_the_camera_stays(key: str) -> None:
    desk = Desk(replace(SCENE, pictures=0))
    desk.press(key)
    assert desk.state == START


def test_without_a_camera_the_pictures_stay() -> None:
    desk = Desk(replace(SCENE, camera=False), State(still=True))
    desk.press("c")
    assert desk.state.still


def test_gamma_raises_small_values_when_brighter() -> None:
    assert State(boost=2).gamma < State().gamma == 1 < State(boost=-1).gamma


def test_every_action_has_keys_of_its_own_and_an_address() -> None:
    keys = [key for action in ACTIONS for key in action.keys]
    assert len(keys) == len(set(keys)) == len(BY_KEY)
    assert len(BY_NAME) == len(ACTIONS)
    for action in ACTIONS:
        assert re.fullmatch("[a-z][a-z0-9-]*", action.name)
        assert action.keys
        assert action.label
        assert action.description


def test_the_help_names_every_key() -> None:
    lines = [line for _, group in help_lines() for line in group]
    assert len(lines) == len(ACTIONS)
    for action, (keys, description) in zip(ACTIONS, lines, strict=True):
        assert keys.split(", ") == [key_name(key) for key in action.keys]
        assert description == action.description


def test_a_desk_tells_of_changes_only_and_refuses_what_is_not_there() -> None:
    desk = Desk(SCENE)
    told: list[State] = []
    desk.listen(told.append)
    desk.press("ArrowLeft")
    desk.select(Unit(1, 99))
    assert desk.press("y") is False
    assert told == [State(unit=Unit(1, 3))]
    with pytest.raises(UserError, match="unknown action 'jump'"):
        desk.act("jump")


def test_the_page_of_the_documentation_lists_the_same_keys() -> None:
    text = (Path(__file__).parents[2] / "docs" / "deepvis.md").read_text(encoding="utf-8")
    rows = [f"| {keys} | {what} |" for _, group in help_lines() for keys, what in group]
    start = text.index("| key | |")
    listed = [line for line in text[start:].split("\n\n")[0].splitlines() if "**" not in line]
    assert listed[2:] == rows
