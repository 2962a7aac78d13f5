"""One measurement in a process of its own: `python client.py SYSTEM ADDRESS WORK SECONDS`; prints one JSON line."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from load import closed_loop, echo, receive

sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/floors")


async def measure(call: Any, functions: dict[str, Any], work: str, seconds: float) -> dict[str, float]:
    kind, _, amount = work.partition(":")
    if kind == "echo":
        return await echo(call, functions["echo"], bytes(int(amount)), seconds)
    if kind == "array":
        import numpy as np

        return await echo(call, functions["echo"], np.zeros(int(amount), dtype=np.uint8), seconds)
    await closed_loop(call, functions[kind], int(amount), 0.2)
    return await closed_loop(call, functions[kind], int(amount), seconds)


async def mpreg_client(address: str, work: str, seconds: float) -> dict[str, float]:
    import mpreg

    names = {"inline": "add.inline", "async": "add.async", "thread": "add.thread", "echo": "echo"}
    async with mpreg.connect(address) as client:
        for name in names.values():
            await client.wait_for(name)
        kind, _, size = work.partition(":")
        if kind.startswith("items."):
            return await receive(client.stream(kind, int(size)), seconds)
        return await measure(client.call, names, work, seconds)


async def mpreg_own(address: str, work: str, seconds: float) -> dict[str, float]:
    import mpreg

    node = mpreg.Node("own", seeds=[address])

    @node.function("own.add", inline=True)
    def add(a: int, b: int) -> int:
        return a + b

    async with node:
        return await measure(node.call, {"inline": "own.add", "async": "own.add"}, work, seconds)


async def floor(client: Any, address: str, work: str, seconds: float) -> dict[str, float]:
    await client.connect(int(address))
    functions = {"inline": "add", "async": "add", "thread": "add", "echo": "echo"}
    try:
        if work.startswith("items."):
            return await receive(client.items(int(work.partition(":")[2])), seconds)
        return await measure(client.call, functions, work, seconds)
    finally:
        await client.close()


def main() -> None:
    system, address, work, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
    run = asyncio.run
    if system == "streams":
        from streams_client import StreamsClient

        coroutine = floor(StreamsClient(), address, work, seconds)
    elif system == "uvloop":
        import uvloop
        from protocol_client import ProtocolClient

        run = uvloop.run
        coroutine = floor(ProtocolClient(), address, work, seconds)
    elif system == "mpreg-own":
        coroutine = mpreg_own(address, work, seconds)
    else:
        if system == "mpreg-uvloop":
            import uvloop

            run = uvloop.run
        coroutine = mpreg_client(address, work, seconds)
    print(json.dumps(run(coroutine)))


main()
