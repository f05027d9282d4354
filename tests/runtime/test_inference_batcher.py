"""Dynamic batching: who is answered together, who is refused, and that nobody is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgecat_runtime.errors import DeviceError
from edgecat_runtime.web.inference.batcher import Batcher, Overloaded


class Network:
    """Sums each frame; remembers the size of every batch."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.sizes: list[int] = []
        self.seconds = seconds
        self.fails = False

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        self.sizes.append(len(frames))
        time.sleep(self.seconds)
        if self.fails:
            raise DeviceError("the device failed")
        return frames.reshape(len(frames), -1).sum(1, dtype=np.float32)[:, None]


def frames(*values: int) -> np.ndarray:
    return np.stack([np.full((2, 2, 3), value, np.uint8) for value in values])


def run(
    network: Network,
    body: Callable[[Batcher], Awaitable[object]],
    *,
    most: int = 4,
    delay: float = 0.02,
    places: int = 100,
    instances: int = 1,
) -> object:
    async def main() -> object:
        with ThreadPoolExecutor(instances) as executor:
            batcher = Batcher(
                [network] * instances, executor, most=most, delay=delay, places=places
            )
            batcher.start()
            found = await body(batcher)
            await batcher.close()
            return found

    return asyncio.run(main())


def test_concurrent_requests_share_batches_and_get_their_own_answers() -> None:
    network = Network()

    async def body(batcher: Batcher) -> list[np.ndarray]:
        return await asyncio.gather(*(batcher.infer(frames(n)) for n in range(10)))

    found = run(network, body)
    assert [row[0, 0] for row in found] == [12.0 * n for n in range(10)]
    assert network.sizes == [4, 4, 2]


def test_what_waits_while_the_network_works_is_taken_together() -> None:
    network = Network(0.1)

    async def body(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.infer(frames(1)))
        await asyncio.sleep(0.05)
        await asyncio.gather(first, *(batcher.infer(frames(n)) for n in range(3)))

    run(network, body, delay=0.0)
    assert network.sizes == [1, 3]


def test_a_batch_that_fills_up_does_not_wait_for_the_delay() -> None:
    network = Network()

    async def body(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.infer(frames(0)))
        await asyncio.sleep(0.05)
        others = (batcher.infer(frames(n)) for n in range(1, 4))
        await asyncio.wait_for(asyncio.gather(first, *others), 60)

    run(network, body, delay=3600.0)
    assert network.sizes == [4]


def test_instances_work_at_the_same_time() -> None:
    class Together(Network):
        """Waits in each batch until another instance is in one, too."""

        def __init__(self) -> None:
            super().__init__()
            self.both = threading.Barrier(2)

        def __call__(self, batch: np.ndarray) -> np.ndarray:
            self.both.wait(60)
            return super().__call__(batch)

    network = Together()

    async def body(batcher: Batcher) -> list[np.ndarray]:
        return await asyncio.gather(*(batcher.infer(frames(n)) for n in range(8)))

    found = run(network, body, instances=2)
    assert [row[0, 0] for row in found] == [12.0 * n for n in range(8)]
    assert network.sizes == [4, 4]


def test_idle_instances_do_not_split_what_could_be_one_batch() -> None:
    network = Network()

    async def body(batcher: Batcher) -> None:
        await asyncio.sleep(0.01)  # until both instances wait
        await asyncio.gather(*(batcher.infer(frames(n)) for n in range(4)))

    run(network, body, delay=3600.0, instances=2)
    assert network.sizes == [4]


def test_a_free_instance_takes_the_next_batch_while_the_event_loop_is_busy() -> None:
    network = Network(0.05)

    async def body(batcher: Batcher) -> list[np.ndarray]:
        asked = [asyncio.create_task(batcher.infer(frames(n))) for n in range(8)]
        await asyncio.sleep(0.01)  # until the first four are in the network
        end = time.monotonic() + 60
        while len(network.sizes) < 2 and time.monotonic() < end:
            time.sleep(0.01)  # the event loop answers nobody
        assert network.sizes == [4, 4]
        return await asyncio.gather(*asked)

    assert [row[0, 0] for row in run(network, body)] == [12.0 * n for n in range(8)]


def test_a_large_request_is_answered_whole_over_several_batches() -> None:
    network = Network()

    async def body(batcher: Batcher) -> np.ndarray:
        return await batcher.infer(frames(*range(11)))

    found = run(network, body, places=2)
    assert found[:, 0].tolist() == [12.0 * n for n in range(11)]
    assert sum(network.sizes) == 11
    assert max(network.sizes) == 4


def test_beyond_the_places_requests_are_refused_at_once_and_the_others_answered() -> None:
    network = Network(0.05)

    async def body(batcher: Batcher) -> list[object]:
        asked = [batcher.infer(frames(n)) for n in range(30)]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = run(network, body, places=8)
    refused = [answer for answer in found if isinstance(answer, Overloaded)]
    assert len(refused) == 22
    assert [answer[0, 0] for answer in found[:8]] == [12.0 * n for n in range(8)]


def test_a_cancelled_request_is_not_computed() -> None:
    network = Network(0.05)

    async def body(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.infer(frames(1, 2, 3, 4)))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(batcher.infer(frames(5)))
        await asyncio.sleep(0)
        second.cancel()
        await first
        assert batcher.waiting in (0, 1)

    run(network, body)
    assert network.sizes == [4]


def test_a_failure_reaches_those_of_its_batch_and_the_next_is_answered() -> None:
    network = Network()
    network.fails = True

    async def body(batcher: Batcher) -> np.ndarray:
        with pytest.raises(DeviceError, match="the device failed"):
            await batcher.infer(frames(1))
        network.fails = False
        return await batcher.infer(frames(2))

    assert run(network, body)[0, 0] == 24.0


def test_a_network_that_returns_nothing_fails_its_batch_alone() -> None:
    class Silent(Network):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            answer = super().__call__(batch)
            return None if len(self.sizes) == 1 else answer  # type: ignore[return-value]

    network = Silent()

    async def body(batcher: Batcher) -> np.ndarray:
        with pytest.raises(TypeError):
            await batcher.infer(frames(1))
        return await batcher.infer(frames(2))

    assert run(network, body)[0, 0] == 24.0


@pytest.mark.parametrize("instances", [1, 3])
def test_closing_answers_what_was_accepted_and_refuses_the_rest(instances: int) -> None:
    network = Network(0.05)

    async def body(batcher: Batcher) -> None:
        asked = [asyncio.create_task(batcher.infer(frames(n))) for n in range(9)]
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0.01)
        with pytest.raises(Overloaded):
            await batcher.infer(frames(1))
        found = await asyncio.gather(*asked)
        assert [row[0, 0] for row in found] == [12.0 * n for n in range(9)]
        await closing

    run(network, body, instances=instances)


def test_closing_does_not_wait_for_more_frames() -> None:
    network = Network()

    async def body(batcher: Batcher) -> np.ndarray:
        asked = asyncio.create_task(batcher.infer(frames(1)))
        await asyncio.sleep(0.01)
        await asyncio.wait_for(batcher.close(), 60)
        return await asked

    assert run(network, body, delay=3600.0)[0, 0] == 12.0


def test_closing_answers_a_request_that_is_just_being_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look = Batcher._left

    def slow_look(batcher: Batcher) -> float | None:
        found = look(batcher)
        time.sleep(0.05)
        return found

    monkeypatch.setattr(Batcher, "_left", slow_look)

    async def body(batcher: Batcher) -> np.ndarray:
        await asyncio.sleep(0.1)  # until the instance waits
        asked = asyncio.create_task(batcher.infer(frames(1)))
        await asyncio.sleep(0.01)
        await batcher.close()
        return await asyncio.wait_for(asked, 20)

    assert run(Network(), body, delay=3600.0)[0, 0] == 12.0
