"""One measurement in a process of its own: `python client.py SYSTEM ADDRESS WORK SECONDS`; prints one JSON line."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from typing import TYPE_CHECKING, Any

from chains import chain
from load import closed_loop, echo, receive, steady

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/floors")


async def measure(call: Any, functions: dict[str, Any], work: str, seconds: float) -> dict[str, float]:
    kind, _, amount = work.partition(":")
    if kind == "echo":
        return await echo(call, functions["echo"], bytes(int(amount)), seconds)
    if kind == "array":
        import numpy as np

        return await echo(call, functions["echo"], np.zeros(int(amount), dtype=np.uint8), seconds)
    kind, _, way = kind.partition(".")
    if way == "steady":
        return await steady(call, functions[kind], int(amount), seconds)
    await closed_loop(call, functions[kind], int(amount), 0.2)
    return await closed_loop(call, functions[kind], int(amount), seconds)


async def in_turn(connecting: list[Any], function: str, seconds: float) -> dict[str, float]:
    """As many calls in flight as clients, which take turns."""
    async with contextlib.AsyncExitStack() as stack:
        turn = itertools.cycle([await stack.enter_async_context(one) for one in connecting])

        def call(*args: Any) -> Any:
            return next(turn).call(*args)

        await closed_loop(call, function, len(connecting), 0.2)
        return await closed_loop(call, function, len(connecting), seconds)


async def mpreg_client(address: str, work: str, seconds: float) -> dict[str, float]:
    import mpreg

    names = {"inline": "add.inline", "async": "add.async", "thread": "add.thread", "echo": "echo", "spin": "spin"}
    kind, _, size = work.partition(":")
    kind, _, way = kind.partition(".")
    if way == "clients":
        return await in_turn([mpreg.connect(address) for _ in range(int(size))], names[kind], seconds)
    async with mpreg.connect(address) as client:
        if kind == "chain":
            return await chain(client, way, size.split(","), seconds)
        await client.wait_for(names.get(kind, work.partition(":")[0]))
        if kind == "items":
            return await receive(client.stream(f"items.{way}", int(size)), seconds)
        return await measure(client.call, names, work, seconds)


async def mpreg_own(address: str, work: str, seconds: float) -> dict[str, float]:
    import mpreg

    node = mpreg.Node("own", seeds=[address])

    @node.function("own.add", inline=True)
    def add(a: int, b: int) -> int:
        return a + b

    async with node:
        return await measure(node.call, {"inline": "own.add", "async": "own.add"}, work, seconds)


@contextlib.asynccontextmanager
async def opened(client: Any, address: str) -> AsyncIterator[Any]:
    await client.connect(int(address))
    try:
        yield client
    finally:
        await client.close()


async def floor(make: Callable[[], Any], address: str, work: str, seconds: float) -> dict[str, float]:
    functions = {"inline": "add", "async": "add", "thread": "add", "echo": "echo"}
    kind, _, amount = work.partition(":")
    if kind.endswith(".clients"):
        return await in_turn([opened(make(), address) for _ in range(int(amount))], "add", seconds)
    async with opened(make(), address) as client:
        if kind.startswith("items."):
            return await receive(client.items(int(amount)), seconds)
        return await measure(client.call, functions, work, seconds)


def main() -> None:
    system, address, work, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
    run = asyncio.run
    if system == "streams":
        from streams_client import StreamsClient

        coroutine = floor(StreamsClient, address, work, seconds)
    elif system == "uvloop":
        import uvloop
        from protocol_client import ProtocolClient

        run = uvloop.run
        coroutine = floor(ProtocolClient, address, work, seconds)
    elif system == "mpreg-own":
        coroutine = mpreg_own(address, work, seconds)
    else:
        if system == "mpreg-uvloop":
            import uvloop

            run = uvloop.run
        coroutine = mpreg_client(address, work, seconds)
    print(json.dumps(run(coroutine)))


main()
