from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topcoat.usage.capture.served.door import Closed, Door, Upstream

A, B = Upstream("http://a", {}, "a"), Upstream("http://b", {}, "b")


class Guests:
    """Requests that entered, each with the server that it got."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.inside: list[tuple[Upstream, AsyncExitStack]] = []

    async def enter(self) -> None:
        expected, stack = self.door.upstream, AsyncExitStack()
        try:
            entered = await stack.enter_async_context(self.door.enter())
        except Closed:
            assert expected is None
            return
        assert entered is expected
        self.inside.append((entered, stack))

    async def leave(self) -> None:
        if self.inside:
            await self.inside.pop(0)[1].aclose()

    def are_known(self) -> bool:
        return all(self.door.running(one) == sum(one is other for other, _ in self.inside) for one in (A, B))


@given(st.lists(st.sampled_from(["enter", "leave", "open a", "open b", "close"]), max_size=40))
def test_a_request_stays_where_it_entered_and_the_door_knows_how_many_run(steps: list[str]) -> None:
    async def scene() -> None:
        door = Door(A, longest_wait=0)
        guests = Guests(door)
        for step in steps:
            if step == "enter":
                await guests.enter()
            elif step == "leave":
                await guests.leave()
            elif step == "close":
                door.close(1)
            else:
                door.open(A if step == "open a" else B)
            assert guests.are_known()
            assert door.waiting == 0
        while guests.inside:
            await guests.leave()
        door.close(1)
        await asyncio.wait_for(asyncio.gather(door.empty(A), door.empty(B)), 5)

    asyncio.run(scene())


def test_a_server_is_left_when_its_last_request_is_over_however_that_ends() -> None:
    async def scene() -> None:
        door = Door(A)
        entered = asyncio.Event()

        async def request() -> None:
            async with door.enter():
                entered.set()
                await asyncio.sleep(60)

        running = asyncio.create_task(request())
        await entered.wait()
        door.open(B)
        left = asyncio.create_task(door.empty(A))
        await asyncio.sleep(0)
        assert not left.done()
        running.cancel()  # the client went away
        await asyncio.wait_for(left, 5)
        assert door.running(A) == 0

    asyncio.run(scene())


def test_who_goes_away_while_waiting_waits_no_more() -> None:
    async def scene() -> None:
        door = Door()

        async def request() -> str:
            async with door.enter() as upstream:
                return upstream.model

        first, second = asyncio.create_task(request()), asyncio.create_task(request())
        await asyncio.sleep(0)
        assert door.waiting == 2
        first.cancel()
        await asyncio.wait({first})
        assert door.waiting == 1
        door.open(B)
        assert await second == "b"
        assert (door.waiting, door.waited, door.refused) == (0, 2, 0)

    asyncio.run(scene())


@pytest.mark.parametrize(("expected", "told"), [(-5, 1), (12.2, 13), (7200, 60)])
def test_when_to_come_back_is_when_the_model_is_expected_within_a_minute(expected: float, told: int) -> None:
    async def scene() -> None:
        door = Door(A, longest_wait=0)
        door.close(expected)
        with pytest.raises(Closed) as closed:
            async with door.enter():
                pass
        assert closed.value.seconds == told
        assert door.refused == 1

    asyncio.run(scene())
