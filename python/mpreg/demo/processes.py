"""Five node processes, started and ended together.

All know one seed, the first of them; none has a fixed port. Invariant: when the block is left, none is running. Should
this process be killed, their standard input ends and they leave by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Final

import mpreg
from mpreg.demo.sources import SHARDS

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator

SHELVES: Final = ("shelf-1", "shelf-2", "shelf-3")
DESKS: Final = ("desk-1", "desk-2")
NODES: Final = SHELVES + DESKS
_START_LIMIT: Final = 60.0
# A node drains for at most 10 s.
_STOP_LIMIT: Final = 20.0


class Processes:
    """The processes by the names of their nodes."""

    def __init__(self) -> None:
        self.address = ""
        """The seed: where clients may enter."""
        self.statuses: dict[str, int] = {}
        """How each process ended; 0 is politely."""
        self._running: dict[str, Process] = {}

    async def start(self) -> None:
        """Returns when all have joined."""
        first, *others = NODES
        self.address = await self._start(first)
        async with asyncio.TaskGroup() as group:
            for name in others:
                group.create_task(self._start(name))

    async def stop(self) -> None:
        """Tells all to leave and waits until they have ended."""
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for name, process in self._running.items():
            self.statuses[name] = await _ended(process)
        self._running.clear()

    async def _start(self, name: str) -> str:
        arguments = [name]
        if name in SHELVES:
            arguments += ["--shards", *map(str, range(SHELVES.index(name), SHARDS, len(SHELVES)))]
        else:
            arguments += ["--desk"]
        if self.address:
            arguments += ["--seed", self.address]
        pipe = asyncio.subprocess.PIPE
        # A process group of its own: Ctrl-C is for the one who started it.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mpreg.demo.node", *arguments, stdin=pipe, stdout=pipe, process_group=0
        )
        self._running[name] = process
        assert process.stdout is not None  # noqa: S101 - asked for above
        try:
            async with asyncio.timeout(_START_LIMIT):
                line = await process.stdout.readline()
        except TimeoutError:
            raise mpreg.MpregError(f"node {name} did not start within {_START_LIMIT:g} s") from None
        if not line:
            raise mpreg.MpregError(f"node {name} ended before it had started; it says why above")
        return line.decode().strip()


@contextlib.asynccontextmanager
async def five_nodes() -> AsyncGenerator[Processes]:
    """Started when the block begins, gone when it ends."""
    processes = Processes()
    try:
        await processes.start()
        yield processes
    except BaseExceptionGroup as errors:
        # The first that could not start says more than a group of the same.
        raise errors.exceptions[0] from None
    finally:
        await processes.stop()


async def _ended(process: Process) -> int:
    try:
        async with asyncio.timeout(_STOP_LIMIT):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()
