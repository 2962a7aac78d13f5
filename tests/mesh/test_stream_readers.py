"""Streams read by threads, and inside functions."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - hints of functions
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import wait_for

if TYPE_CHECKING:
    from ways import Way

ENDLESS = 1 << 40


@dataclasses.dataclass
class Line:
    number: int
    text: str


def offer_count(way: Way) -> list[str]:
    """Offers `count`; how each of its generators ended."""
    ended: list[str] = []

    @way.function
    async def count(to: int) -> AsyncIterator[int]:
        try:
            for number in range(to):
                yield number
        except BaseException as error:
            ended.append(type(error).__name__)
            raise
        else:
            ended.append("over")

    return ended


async def test_blocking_streams(far: Way) -> None:
    ended = offer_count(far)

    @far.function
    async def lines(count: int) -> AsyncIterator[Line]:
        for number in range(count):
            yield Line(number, "x")

    @far.function
    async def fails() -> AsyncIterator[int]:
        yield 1
        raise KeyError("two")

    def read(address: str, config: mpreg.Config) -> None:
        with mpreg.SyncClient(address, config=config) as client:
            assert list(client.stream("count", 5000)) == list(range(5000))
            assert list(client.stream(lines, 2)) == [Line(0, "x"), Line(1, "x")]
            assert list(client.remote(lines).stream(1)) == [Line(0, "x")]
            endless = client.stream("count", ENDLESS)
            assert list(itertools.islice(endless, 20_000)) == list(range(20_000))
            # Calls of the same thread meanwhile.
            assert list(client.stream("count", 3)) == [0, 1, 2]
            endless.close()
            assert list(endless) == []
            with client.stream("count", ENDLESS) as items:
                assert next(items) == 0
            failing = client.stream(fails)
            assert next(failing) == 1
            with pytest.raises(KeyError, match="two"):
                next(failing)
            with pytest.raises(StopIteration):
                next(failing)
            with pytest.raises(mpreg.ConfigError, match=r"use stream\("):
                client.call("count", 1)

    await asyncio.to_thread(read, far.mesh.nodes[2].address, far.mesh.config)
    await wait_for(lambda: ended.count("over") == 2 and len(ended) == 4)


async def test_streams_inside_functions(far: Way) -> None:
    ended = offer_count(far)

    @far.function
    async def evens(ctx: mpreg.Context, to: int) -> AsyncIterator[int]:
        async for x in ctx.node.stream("count", to):
            if x % 2 == 0:
                yield x

    @far.function("odds")
    def odds(ctx: mpreg.Context, to: int) -> Iterator[int]:
        for x in ctx.sync.stream("count", to):
            if x % 2:
                yield x

    assert [x async for x in far.caller.stream(evens, 1000)] == list(range(0, 1000, 2))
    assert [x async for x in far.caller.stream(odds, 1000)] == list(range(1, 1000, 2))
    # Leaving the outer one leaves the inner one.
    async for _ in far.caller.stream(evens, ENDLESS):
        break
    await wait_for(lambda: len(ended) == 3)
