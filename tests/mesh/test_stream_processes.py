"""Streams between processes: who is killed, stopped or gone takes the stream with it, and never silently."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator  # noqa: TC003 - hints of functions
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import LocalMesh, wait_for

if TYPE_CHECKING:
    from children import Children

SENDER = """
import asyncio, sys
from collections.abc import AsyncIterator
import mpreg

node = mpreg.Node("sender")

@node.function(idempotent=True)
async def count(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number
    await asyncio.Event().wait()

node.serve()
"""

READER = """
import asyncio, sys
import mpreg

async def main() -> None:
    async with mpreg.connect(sys.argv[1]) as client:
        async for item in client.stream("tail"):
            print(item, flush=True)

asyncio.run(main())
"""


@pytest.fixture
async def mesh() -> AsyncIterator[LocalMesh]:
    """A node of this process that the others join."""
    async with LocalMesh([mpreg.Node("hub")], transport="tcp") as mesh:
        yield mesh


@pytest.mark.parametrize("way", ["member", "client of another node"])
async def test_a_killed_sender_is_a_lost_connection_after_the_items_that_came(
    mesh: LocalMesh, children: Children, way: str
) -> None:
    hub = mesh.nodes[0]
    sender = children.node("sender", hub.address, script=SENDER)
    await hub.wait_for("count")
    async with mesh.connect(hub) as client:
        seen = []
        stream = (hub if way == "member" else client).stream("count", 1000)
        seen.extend([await anext(stream) for _ in range(1000)])
        sender.signal(signal.SIGKILL)
        with pytest.raises(mpreg.ConnectionLostError) as told:
            await anext(stream)
    assert seen == list(range(1000))
    assert (told.value.executed, told.value.attempts) == ("yes", 1)


async def test_a_killed_reader_ends_the_generator(mesh: LocalMesh, children: Children) -> None:
    hub, ended = mesh.nodes[0], []

    @hub.function
    async def tail() -> AsyncIterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            ended.append("ended")

    reader = children.run(READER, hub.address)
    await wait_for(lambda: reader.out.count("\n") > 3)
    reader.signal(signal.SIGKILL)
    await wait_for(lambda: ended == ["ended"], timeout=10.0)


async def test_a_stopped_reader_stops_its_sender_only(mesh: LocalMesh, children: Children) -> None:
    hub = mesh.nodes[0]

    @hub.function
    async def tail() -> AsyncIterator[str]:
        while True:
            yield "x" * 100

    reader = children.run(READER, hub.address)
    await wait_for(lambda: reader.out.count("\n") > 3)
    reader.signal(signal.SIGSTOP)
    async with mesh.connect(hub) as client:
        assert [len(x) async for x, _ in _zip(client.stream("tail"), 5000)] == [100] * 5000
    reader.signal(signal.SIGCONT)
    before = reader.out.count("\n")
    await wait_for(lambda: reader.out.count("\n") > before + 3)


async def _zip(stream: mpreg.Stream[str], count: int) -> AsyncIterator[tuple[str, int]]:
    number = 0
    async for item in stream:
        yield item, number
        number += 1
        if number == count:
            return
