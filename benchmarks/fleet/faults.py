"""What happens to a fleet, one fault after the other, while its cameras run."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgecat.workflows.fleet.change import return_to, roll_out
from edgecat.workflows.fleet.publish import ReleaseOptions, publish
from edgecat.workflows.fleet.writing import Publication
from edgecat_runtime.model.channel import rollout_position, sealed_manifest
from edgecat_runtime.model.signing import new_key, read_key, sign_model
from edgecat_runtime.system.atomic import atomic_write
from fleet.boards import Board, until
from fleet.models import model_bytes
from fleet.server import Server

GOOD = (0.90, 0.94, 0.88, 0.92, 0.86, 0.96)
"""Probabilities of the versions, in turn: less apart than the canary's limit."""

SLOW = 150_000
CANARY = ("--canary", "0.05", "--canary-frames", "6", "--canary-limit", "0.15")


class Fleet:
    """Boards, a channel and its server.

    Args:
        folder: for everything.
        boards: their number.
        fps: of their cameras.
        seed: of the moments of the kills.

    Attributes:
        control: a camera that follows nothing: what it loses, no update has cost.
        published: hash and probability of each version that may answer.
    """

    def __init__(self, folder: Path, boards: int, *, fps: float, seed: int = 0) -> None:
        self.folder = folder
        self.channel = folder / "yard"
        self.channel.mkdir(parents=True)
        self.published: dict[int, tuple[str, float]] = {}
        self._random = random.Random(seed)
        for name in ("ours", "theirs"):
            new_key(folder / name, name)
        self._key = read_key(folder / "ours")
        self.server = Server(self.channel)
        keys = folder / "ours.pub"
        self.boards = [
            Board(
                f"board-{number}",
                folder / f"board-{number}",
                self.server.url,
                keys,
                fps=fps,
                more=CANARY,
            )
            for number in range(boards)
        ]
        self.control = Board("control", folder / "control", "", keys, fps=fps, more=())

    @property
    def newest(self) -> int:
        """The highest version published."""
        return max(self.published, default=0)

    def close(self) -> None:
        """Stop what still runs."""
        for board in (*self.boards, self.control):
            board.kill()
        self.server.kill()

    def first(self) -> None:
        """Every board starts without a model and fetches version 1."""
        self._publish(GOOD[0])
        for board in (*self.boards, self.control):
            board.start()
        self._all_serve(1, "the first model")

    # Each returns once every board has been through it.

    def published_model(self) -> None:
        """A new version: every board takes it."""
        version = self._publish_good()
        self._all_serve(version, "a new version")

    def broken_model(self) -> None:
        """A model whose answers are not those in its card: none takes it."""
        before = self.newest
        version = self._publish(0.3, broken=True)
        self._all(lambda board: board.refused("self-test", version), "a broken model")
        self._all_serve(before, "after a broken model")

    def broken_signature(self) -> None:
        """A manifest changed by one digit, then one signed by a stranger: none is taken."""
        place = self.channel / "manifest.json"
        whole = place.read_bytes()
        content = json.loads(whole)
        content["manifest"]["sequence"] += 1
        atomic_write(place, json.dumps(content))
        self._all(lambda board: board.refused("signature"), "a changed manifest")
        manifest = replace(self._last.manifest, sequence=self._last.manifest.sequence + 1)
        theirs = read_key(self.folder / "theirs")
        atomic_write(place, sealed_manifest(manifest, theirs))
        self._all(lambda board: board.refusals("signature") == 2, "a stranger's manifest")
        atomic_write(place, whole)

    def wrong_bytes(self) -> None:
        """A model file that was damaged on the server: none takes it, nor half of it."""
        before = self.newest

        def damage(file: Path) -> None:
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)

        version = self._publish(0.35, damaged=damage)
        self._all(lambda board: board.refused("hash", version), "a damaged file")
        self._all_serve(before, "after a damaged file")

    def replayed(self) -> None:
        """The manifest of an older version, well signed, is served again: none goes back."""
        place = self.channel / "manifest.json"
        whole = place.read_bytes()
        oldest = sorted((self.channel / "manifests").iterdir())[0]
        atomic_write(place, oldest.read_bytes())
        self._all(lambda board: board.refused("replayed"), "an old manifest")
        atomic_write(place, whole)

    def server_killed(self) -> None:
        """The server ends while every board is downloading: each resumes where it was."""
        self.server.rate = SLOW
        sent = self.server.sent
        version = self._publish_good()
        wanted = len(self.boards) * 40_000
        until(lambda: self.server.sent - sent > wanted, "downloads begin", self.boards)
        self.server.kill()
        time.sleep(1.0)
        self.server.rate = 0
        self.server.start()
        self._all_serve(version, "after the server was killed")
        resumed = [path for path, status in self.server.asked if status == 206]
        assert resumed, "no download was resumed"

    def boards_killed(self, *, seconds: float = 7.0) -> None:
        """`kill -9` at another moment of the update for each board, then a start: each takes it."""
        self.server.rate = SLOW
        version = self._publish_good()
        moments = {board.name: self._random.uniform(0.5, seconds) for board in self.boards}
        began = time.monotonic()
        for board in sorted(self.boards, key=lambda board: moments[board.name]):
            time.sleep(max(0.0, began + moments[board.name] - time.monotonic()))
            board.kill()
            board.start()
        self._all_serve(version, "after kill -9")
        self.server.rate = 0

    def server_away(self) -> None:
        """`kill -9` and a start while the server is away: each serves from its disk."""
        version = self.newest
        self.server.kill()
        for board in self.boards:
            board.kill()
            board.start()
        self._all_serve(version, "without a server")
        self.server.start()

    def canary(self) -> None:
        """A model that is right by its card and unsure of everything: each board goes back."""
        before = self.newest
        self._all(lambda board: board.settled, "settling")
        version = self._publish(0.55)
        self._all(lambda board: board.refused("canary", version), "the canary")
        self._all_serve(before, "after the canary")
        self._publish_good()
        self._all_serve(self.newest, "after the canary, a good version")

    def shares(self) -> None:
        """A roll-out to half of the boards, then to all: those take it, then all do."""
        before = self.newest
        done = self._publish_good(percent=50)
        (release, *_) = self._last.manifest.releases
        inside = [b for b in self.boards if rollout_position(release.salt, b.name) < 50]
        until(lambda: all(b.version == done for b in inside), "half of the boards", self.boards)
        outside = [board for board in self.boards if board not in inside]
        assert all(board.version == before for board in outside), "more than half"
        roll_out(100, str(self.channel), self._key)
        self._all_serve(done, "all of the boards")

    def returned(self) -> None:
        """A signed return: every board goes back to the version before."""
        before = sorted(self.published)[-2]
        return_to(before, str(self.channel), self._key)
        self._all_serve(before, "a signed return")

    def _publish_good(self, *, percent: int = 100) -> int:
        return self._publish(GOOD[len(self.published) % len(GOOD)], percent=percent)

    def _publish(
        self,
        probability: float,
        *,
        broken: bool = False,
        percent: int = 100,
        damaged: Callable[[Path], None] | None = None,
    ) -> int:
        path = self.folder / "model.onnx"
        seed = self._random.randrange(1 << 30)
        path.write_bytes(model_bytes(probability, seed=seed, broken=broken))
        sign_model(path, self._key)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        options = ReleaseOptions(percent=percent)
        if damaged is not None:
            self.server.kill()
        self._last: Publication = publish(
            [path], str(self.channel), self._key, options=options, verify=not broken
        )
        if damaged is not None:
            damaged(self.channel / "models" / f"{digest}.onnx")
            self.server.start()
        version = self._last.manifest.releases[0].version
        if not broken and damaged is None:
            self.published[version] = (digest, probability)
        return version

    def _all(self, condition: Callable[[Board], bool], what: str) -> None:
        until(lambda: all(map(condition, self.boards)), what, self.boards)

    def _all_serve(self, version: int, what: str) -> None:
        """Wait until every board answers with a version."""
        self._all(lambda board: board.version == version, what)
