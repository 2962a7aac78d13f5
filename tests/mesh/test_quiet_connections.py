"""A loop reads a quiet connection itself; whatever it does next, what comes over that connection is read."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import mpreg

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpreg.testing import LocalMesh

# More than it takes for both sides to find a connection quiet.
CALLS = 64


async def test_calls_one_after_another_and_many_at_once_take_turns(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=1, transport="tcp") as mesh:

        @mesh.nodes[0].function
        async def echo(value: object) -> object:
            return value

        async with mesh.connect() as client:
            for turn in range(6):
                for number in range(CALLS):
                    assert await client.call("echo", [turn, number]) == [turn, number]
                # A value that no lane carries, then more calls than a quiet connection has.
                large = bytes([turn]) * 300_000
                assert await client.call("echo", large) == large
                assert [x async for x in client.map("echo", range(CALLS))] == list(range(CALLS))


def test_a_loop_that_stands_still_delays_nobody_on_its_connection() -> None:
    node = mpreg.Node("server", listen="127.0.0.1:0")
    started, go = threading.Event(), threading.Event()

    @node.function
    async def on_the_loop(number: int) -> int:
        return number

    @node.function
    async def stands_still() -> bool:
        started.set()
        return go.wait(20)

    @node.function
    def in_a_thread() -> str:
        return "here"

    async def main() -> None:
        async with mpreg.connect(node.address) as client:
            for number in range(CALLS):
                assert await client.call("on_the_loop", number) == number
            still = asyncio.ensure_future(client.call(stands_still))
            assert await asyncio.to_thread(started.wait, 20)
            # Over the same connection, which the loop read itself a moment ago.
            assert await client.call(in_a_thread) == "here"
            go.set()
            assert await still

    with node.running():
        asyncio.run(main())
