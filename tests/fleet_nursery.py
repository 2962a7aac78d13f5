"""What `fleet.py` runs: one interpreter that has imported everything and forks a node for each line that it reads.

A fork costs milliseconds and shares memory, a new interpreter a tenth of a second of CPU and 29 MiB: so thirty real processes
fit a test. Lines in: JSON `[name, address, [seed, ...]]`. Lines out: JSON `[name, pid]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import mpreg


def serve(name: str, address: str, seeds: list[str]) -> None:
    """One node, until it is asked to leave."""
    node = mpreg.Node(name, listen=address, seeds=seeds)

    @node.function(f"view.{name}")
    async def view() -> dict[str, str]:
        """The others as this node sees them, by name."""
        return {member.name or member.id: member.state for member in await node.members() if member.id != node.id}

    @node.function(f"offer.{name}")
    async def offer(function: str) -> None:
        """A new function, while it runs."""

        @node.function(function)
        async def added() -> str:
            return name

    @node.function(f"reach.{name}")
    async def reach(functions: list[str]) -> list[str]:
        """What they answer when called from here."""
        return await asyncio.gather(*(node.call(function) for function in functions))

    @node.function(f"name.{name}")
    async def own_name() -> str:
        return name

    @node.function(idempotent=True)
    async def again(x: int) -> int:
        await asyncio.sleep(0)
        return x

    @node.function
    async def once(x: int) -> int:
        await asyncio.sleep(0)
        return x

    node.serve()


def main() -> None:
    # Nobody asks how they ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Imported at its first use otherwise, in each of them.
    import mpreg._mpreg
    import mpreg._node  # noqa: F401

    while line := sys.stdin.readline():
        name, address, seeds = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with open(os.devnull) as nothing:  # noqa: PTH123 - as cheap as it gets
                os.dup2(nothing.fileno(), 0)
            serve(name, address, seeds)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
        print(json.dumps([name, pid]), flush=True)  # noqa: T201 - that is how it answers


main()
