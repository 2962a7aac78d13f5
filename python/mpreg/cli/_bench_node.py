"""A node process of `mpreg bench`: `python -m mpreg.cli._bench_node NAME [--serves] [--seed ADDRESS]`.

Says its address in one line on stdout, then serves until its standard input ends, which it does when the command has.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

import mpreg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def echo(value: Any) -> Any:
    """What is measured: the least that a Python function can do."""
    return value


async def items(size: int) -> AsyncIterator[bytes]:
    """A stream without an end."""
    item = bytes(size)
    while True:
        yield item


async def serve(node: mpreg.Node) -> None:
    """Until nobody wants it any more."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    loop.add_reader(sys.stdin.fileno(), asked.set)
    async with node:
        print(node.address, flush=True)  # noqa: T201 - what the starter waits for
        await asked.wait()
        loop.remove_reader(sys.stdin.fileno())


def main() -> None:
    """The command line of one process."""
    parser = argparse.ArgumentParser(prog="python -m mpreg.cli._bench_node")
    parser.add_argument("name")
    parser.add_argument("--serves", action="store_true", help="offer the functions that are measured")
    parser.add_argument("--seed", action="append", default=[], metavar="ADDRESS")
    given = parser.parse_args()
    node = mpreg.Node(given.name, cluster="bench", listen="127.0.0.1:0", seeds=given.seed)
    if given.serves:
        node.function("bench.echo")(echo)
        node.function("bench.items")(items)
    try:
        asyncio.run(serve(node))
    except mpreg.MpregError as error:
        sys.exit(f"{given.name}: {error}")


if __name__ == "__main__":
    main()
