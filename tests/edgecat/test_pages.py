"""Every page in a real Chromium: nothing is wider than a phone, axe-core finds nothing serious.

axe-core (https://github.com/dequelabs/axe-core) is found by EDGECAT_AXE, the path of its
`axe.min.js`, or in `node_modules`: `npm install --no-save axe-core`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat.curation.check_report import write_report as write_check
from edgecat.curation.checks import check
from edgecat.data.folder import scan
from edgecat.deepvis.live.panel import deepvis_panel
from edgecat.deepvis.live.session import open_live
from edgecat.deepvis.probe import open_probe
from edgecat.deepvis.results import Results
from edgecat.demo import DemoConfig, run_demo
from edgecat.pets.synthetic import write_pets
from edgecat.study import find_study
from edgecat.study.report import save_outcome
from edgecat_runtime import Camera, Classifier, Pipeline
from edgecat_runtime.web import WebPage, panels, register_panel

pytest.importorskip("aiohttp", reason="the camera's page needs aiohttp")

_SMALL: dict[str, Any] = {"seeds": 1, "pictures": 40, "size": 16}
_PLAIN = {**_SMALL, "validation": 8, "epochs": 1, "batch": 16}
STUDIES: dict[str, dict[str, Any]] = {
    "activations": {**_PLAIN, "depths": (4, 7), "trained": (4,), "width": 8, "climb": 16,
                    "trial": 1},
    "batch": {**_SMALL, "batches": (8, 16), "depth": 4, "width": 8, "epochs": 1, "full_epochs": 2,
              "climb": 24, "trial": 1, "full_trial": 1},
    "learning-rate": {**_PLAIN, "shares": (0.1, 1.0, 10.0), "depth": 4, "width": 8, "climb": 16,
                      "trial": 1},
    "optimizers": {**_PLAIN, "depth": 4, "width": 8, "climb": 24, "ways": 8, "trial": 1},
    "dropout": {**_PLAIN, "widths": (8, 8), "dense": 16},
    "convolution": {"seeds": 1, "pictures": 16, "size": 40},
    "architectures": {"names": ("alexnet", "resnet18"), "seeds": 1, "pictures": 32,
                      "validation": 8, "epochs": 1, "seconds": 0.05},
    "sequence": {"seeds": 1, "size": 64, "pictures": 32, "filmed": 12, "validation": 12,
                 "frames": 16, "epochs": 1, "readings": 2},
}  # fmt: skip
REPORTS = ("demo", "evaluate", "verify", "check", "explain")
LIVE = ("camera", "cameras", "deepvis")
SIZES = {390: 844, 1280: 800}
SCHEMES = {390: "dark", 1280: "light"}  # that axe-core sees; the other two are looked at
_SECONDS = 30


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn pets in class folders, one of them twice."""
    folder = write_pets(tmp_path_factory.mktemp("pages") / "pets", 12, 0, 160)
    first = next(Path(folder).rglob("*.*"))
    image = cv2.imread(str(first))
    assert image is not None
    cv2.imwrite(str(first.with_name("again.jpg")), image)
    return Path(folder)


Report = Callable[[str], Path]


@pytest.fixture(scope="module")
def report(
    pets: Path, checkpoint: Path, exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> Report:
    """`report(name)`: the page of that name, made once."""
    folder = tmp_path_factory.mktemp("reports")
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = _written(name, folder, pets, checkpoint, exported)
        return made[name]

    return make


def _written(name: str, folder: Path, pets: Path, checkpoint: Path, exported: Path) -> Path:
    import edgecat

    page = folder / f"{name}.html"
    if name in STUDIES:
        study = find_study(name)(**STUDIES[name])
        return save_outcome(name, study, study.run(), folder)[0]
    if name == "demo":
        return run_demo(
            DemoConfig(
                output=folder / "demo", pictures=60, test_pictures=48, size=32, width=0.1, epochs=2,
                scenes=2, scene_frames=12, seconds=0.1,
            ),
            lambda line: None,
        )  # fmt: skip
    if name == "check":
        write_check(page, check(scan([pets])))
    elif name == "evaluate":
        edgecat.evaluate(checkpoint, pets, page=page)
    elif name == "verify":
        edgecat.verify(checkpoint, exported, data=pets, layers=True).write_page(page)
    else:
        explained(checkpoint, next(pets.rglob("*.jpg")), page)
    return page


def explained(checkpoint: Path, image: Path, page: Path) -> None:
    from edgecat.cli import main  # noqa: F401
    from edgecat.deepvis.explain import explain
    from edgecat.deepvis.explain_report import write_explanation

    probe = open_probe(checkpoint)
    picture = cv2.imread(str(image))
    assert picture is not None
    found = explain(probe, np.asarray(picture, np.uint8))
    write_explanation(found, probe.card, Results(checkpoint, probe.card), "pet.jpg", page)


@contextmanager
def served(name: str, checkpoint: Path, exported: Path, pets: Path) -> Iterator[str]:
    """Serve a camera's page, or that of `edgecat deepvis`; yield its address."""
    import edgecat.pets.camera  # noqa: F401  (registers synthetic://)

    with ExitStack() as stack:
        page = WebPage("0")
        stop = threading.Event()
        if name == "deepvis":
            probe = open_probe(checkpoint)
            images = sorted(pets.rglob("*.jpg"))
            live = stack.enter_context(
                open_live(probe, Results(checkpoint, probe.card), "", images)
            )
            pipeline = live.pipeline([page], stop=stop)
            register_panel(deepvis_panel(live.show, live.desk, probe.layers))
        else:
            count = 2 if name == "cameras" else 1
            opened = [
                stack.enter_context(
                    Camera.open(f"synthetic://pets?fps=5&seed={n}", name=("yard", "door")[n])
                )
                for n in range(count)
            ]
            classifier = stack.enter_context(Classifier.open(exported))
            pipeline = Pipeline(opened, classifier, [page], stop=stop)
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        try:
            yield page.url
        finally:
            stop.set()
            pipeline.stop()
            thread.join(_SECONDS)
            assert not thread.is_alive()


@contextmanager
def opened(chromium: Any, url: str) -> Iterator[Any]:
    """Open a page; `bypass_csp` lets axe-core in."""
    context = chromium.new_context(bypass_csp=True)
    try:
        page = context.new_page()
        page.goto(url, wait_until="commit")
        page.wait_for_selector("main")
        yield page
    finally:
        context.close()


def shown_at(page: Any, width: int, scheme: str) -> None:
    """Show a page at a width and in a scheme."""
    page.set_viewport_size({"width": width, "height": SIZES[width]})
    page.emulate_media(color_scheme=scheme)
    page.evaluate("scrollTo(0, 0)")


def width_of(page: Any) -> int:
    """Pixels that the page is wide; it scrolls sideways if they are more than the window's."""
    found: int = page.evaluate("document.scrollingElement.scrollWidth")
    return found


def verdict_end(page: Any, selector: str) -> tuple[float, float]:
    """Right and lower end of the page's verdict."""
    box = page.locator(selector).first.bounding_box()
    return box["x"] + box["width"], box["y"] + box["height"]


def axe_source() -> str:
    """Return axe-core, or an empty string if it is not installed."""
    root = Path(__file__).parents[2]
    named = os.environ.get("EDGECAT_AXE", "")
    places = [Path(named)] if named else [root / "node_modules" / "axe-core" / "axe.min.js"]
    return next((place.read_text(encoding="utf-8") for place in places if place.is_file()), "")


def serious(page: Any, source: str) -> list[str]:
    """Return what axe-core finds serious or critical: the rule, and the elements."""
    page.evaluate(f"{source}; null")
    found = page.evaluate("axe.run(document).then(result => result.violations)")
    return [
        f"{one['id']}: {', '.join(str(node['target']) for node in one['nodes'][:4])}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def checked(page: Any, selector: str) -> None:
    """Fail if the page is too wide, hides its verdict or has serious faults at either width."""
    for width, height in SIZES.items():
        shown_at(page, width, SCHEMES[width])
        assert width_of(page) <= width, "the page scrolls sideways"
        right, lower = verdict_end(page, selector)
        assert right <= width
        assert lower <= height, "the verdict is below the first screen"
        if source := axe_source():
            assert serious(page, source) == []


@pytest.mark.parametrize("name", [*REPORTS, *STUDIES])
def test_a_report(name: str, report: Report, chromium: Any) -> None:
    with opened(chromium, report(name).as_uri()) as page:
        page.wait_for_load_state()
        checked(page, ".verdict")


@pytest.fixture(scope="module", params=LIVE)
def live(
    request: pytest.FixtureRequest, checkpoint: Path, exported: Path, pets: Path
) -> Iterator[tuple[str, str]]:
    """Name and address of a page that is being served."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panels, "_PANELS", {})
        with served(request.param, checkpoint, exported, pets) as url:
            yield request.param, url


def test_a_live_page(live: tuple[str, str], chromium: Any) -> None:
    name, url = live
    headline, images = {
        "camera": ("#label", "#picture"),
        "cameras": (".tile strong", "#grid img"),
        "deepvis": ("#state", "#picture"),
    }[name]
    with opened(chromium, url) as page:
        until(page, "document.querySelector('#state').dataset.state === 'live'")
        until(page, f"[...document.querySelectorAll('{images}')].every(i => i.naturalWidth > 0)")
        checked(page, headline)


def until(page: Any, expression: str) -> None:
    """Wait until a JavaScript expression is true."""
    end = time.monotonic() + _SECONDS
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"{expression} was never true"
        page.wait_for_timeout(50)


def test_axe_is_there() -> None:
    """A reason for what was not checked above."""
    if not axe_source():
        pytest.skip("axe-core is not installed: npm install --no-save axe-core, or EDGECAT_AXE")
