"""A node of the benchmark's mesh: `python mesh_node.py NAME SEED|- functions|steps|ENTRIES`; prints its address."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import mpreg


def add_inline(a: int, b: int) -> int:
    return a + b


async def add_async(a: int, b: int) -> int:
    return a + b


def add_thread(a: int, b: int) -> int:
    return a + b


async def echo(value: Any) -> Any:
    return value


def resident() -> int:
    """Bytes of this process in memory."""
    with Path("/proc/self/statm").open(encoding="ascii") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def items_async(size: int) -> AsyncIterator[bytes]:
    item = bytes(size)
    while True:
        yield item


def items_thread(size: int) -> Iterator[bytes]:
    item = bytes(size)
    while True:
        yield item


def made(name: str, seed: str, offers: str) -> mpreg.Node:
    node = mpreg.Node(name, seeds=[] if seed == "-" else [seed])
    if offers == "functions":
        node.function("add.inline", inline=True)(add_inline)
        node.function("add.async")(add_async)
        node.function("add.thread")(add_thread)
        node.function("echo")(echo)
        node.function("resident")(resident)
        node.function("items.async")(items_async)
        node.function("items.thread")(items_thread)
    elif offers == "steps":
        node.function(f"{name}.inline", inline=True)(add_inline)
        node.function(f"{name}.async")(add_async)
    else:
        # A catalog as a real mesh has one: entries beside the benchmark's own.
        for index in range(int(offers)):
            node.function(f"filler.{name}.f{index}")(echo)
    return node


async def serve(node: mpreg.Node) -> None:
    async with node:
        print(node.address, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(made(*sys.argv[1:])))
