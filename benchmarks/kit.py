"""How long a test waits for its mesh: `python benchmarks/kit.py [NODES]`. Medians of 30 meshes in memory, after one.

Beside it the floor: as many asyncio servers on loopback, each connected to all before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import statistics
import sys
import time

from mpreg.testing import LocalMesh

ROUNDS = 30


async def mesh(nodes: int) -> list[float]:
    """Milliseconds to start, to agree, and to stop."""
    began = time.perf_counter()
    async with LocalMesh(nodes) as made:
        started = time.perf_counter()
        await made.converged()
        agreed = time.perf_counter()
    return [1e3 * (started - began), 1e3 * (agreed - started), 1e3 * (time.perf_counter() - agreed)]


async def floor(nodes: int) -> float:
    """Milliseconds to listen and connect without mpreg."""

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    began = time.perf_counter()
    async with contextlib.AsyncExitStack() as stack:
        addresses: list[tuple[str, int]] = []
        for _ in range(nodes):
            for address in addresses:
                _, writer = await asyncio.open_connection(*address)
                stack.callback(writer.close)
            server = await stack.enter_async_context(await asyncio.start_server(accept, "127.0.0.1", 0))
            addresses.append(server.sockets[0].getsockname())
        return 1e3 * (time.perf_counter() - began)


async def main(nodes: int) -> None:
    await mesh(nodes)
    rows = [await mesh(nodes) for _ in range(ROUNDS)]
    start, agree, stop = (statistics.median(column) for column in zip(*rows, strict=True))
    least = statistics.median([await floor(nodes) for _ in range(ROUNDS)])
    print(f"{platform.machine()}, Python {platform.python_version()}, {nodes} nodes, median of {ROUNDS}:")
    print(f"start {start:.1f} ms, converged {agree:.1f} ms, stop {stop:.1f} ms; floor {least:.1f} ms")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
