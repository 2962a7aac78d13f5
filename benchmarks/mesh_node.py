"""A node of the benchmark's mesh: `python mesh_node.py NAME SEED|- [functions]`; prints its address."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import mpreg

name, seed, owns = sys.argv[1], sys.argv[2], sys.argv[3:] == ["functions"]
node = mpreg.Node(name, seeds=[] if seed == "-" else [seed])


def add_inline(a: int, b: int) -> int:
    return a + b


async def add_async(a: int, b: int) -> int:
    return a + b


def add_thread(a: int, b: int) -> int:
    return a + b


async def echo(value: Any) -> Any:
    return value


async def items_async(size: int) -> AsyncIterator[bytes]:
    item = bytes(size)
    while True:
        yield item


def items_thread(size: int) -> Iterator[bytes]:
    item = bytes(size)
    while True:
        yield item


if owns:
    node.function("add.inline", inline=True)(add_inline)
    node.function("add.async")(add_async)
    node.function("add.thread")(add_thread)
    node.function("echo")(echo)
    node.function("items.async")(items_async)
    node.function("items.thread")(items_thread)
else:
    # A catalog as a real mesh has one: 1,000 entries in all beside the benchmark's own.
    for index in range(500):
        node.function(f"filler.{name}.f{index}")(echo)


async def main() -> None:
    async with node:
        print(node.address, flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
