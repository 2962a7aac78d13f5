"""One process of the benchmark's mesh, as `mesh.py` sees it, and what the kernel says of several of them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = Path(__file__).with_name("mesh_process.py")
PATIENCE = 30.0


class Member:
    """A process of the mesh, with all that it said."""

    def __init__(
        self, number: int, address: str, seeds: Sequence[str], *, log: BinaryIO, prefix: Sequence[str] = ()
    ) -> None:
        self.number, self.address, self.seeds = number, address, seeds
        self.prefix = prefix
        """Of its command: where it runs."""
        self.log = log
        self.news = asyncio.Event()
        self.said: list[tuple[float, str, str]] = []

    async def spawn(self) -> None:
        program = [sys.executable, str(PROGRAM), str(self.number), self.address, *self.seeds]
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *self.prefix, *program, stdin=pipe, stdout=pipe, stderr=self.log
        )
        self.said.clear()
        self._reading = asyncio.create_task(self._read())
        await self.when("ready")

    async def _read(self) -> None:
        async for line in self.process.stdout:
            at, what, subject = json.loads(line)
            self.said.append((at, what, subject))
            self.news.set()

    def do(self, verb: str, subject: str = "") -> None:
        self.process.stdin.write(f"{verb} {subject}\n".encode())

    async def when(self, what: str, subject: str | None = None, since: float = 0.0) -> float:
        """When it said so first, at or after `since`."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    for at, said, about in self.said:
                        if said == what and at >= since and subject in (None, about):
                            return at
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"{self.number} did not say {what} {subject or ''} in {PATIENCE:g} s") from None

    async def answer(self, verb: str) -> str:
        """What it says to that command."""
        begin = time.monotonic()
        self.do(verb)
        await self.when(verb, since=begin)
        return next(subject for at, said, subject in reversed(self.said) if said == verb and at >= begin)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process.returncode is None:
            self.process.send_signal(number)
        await self.process.wait()
        await self._reading


def free_addresses(hosts: Sequence[str]) -> list[str]:
    """Nobody else takes them meanwhile: they are all held until the last is known."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in hosts]
    addresses = [f"{host}:{each.getsockname()[1]}" for host, each in zip(hosts, sockets, strict=True)]
    for each in sockets:
        each.close()
    return addresses


def cpu_seconds(pids: list[int]) -> float:
    """Of all their threads, to the nanosecond; `stat` counts in hundredths of a second."""
    threads = (path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


def bytes_sent(pids: list[int]) -> dict[tuple[str, str], int]:
    """What they wrote into each of their TCP connections, headers not counted."""
    listing = subprocess.run(["ss", "-tinpOH"], check=True, capture_output=True, text=True).stdout
    ours = {f"pid={pid}," for pid in pids}
    of_ours = (line for line in listing.splitlines() if ours.intersection(re.findall(r"pid=\d+,", line)))
    found = (re.search(r"(\S+)\s+(\S+)\s+users:.*bytes_sent:(\d+)", line) for line in of_ours)
    return {(match[1], match[2]): int(match[3]) for match in found if match}


def more_bytes(before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]) -> int:
    """Over the connections that stood all the time."""
    return sum(after[connection] - before[connection] for connection in before.keys() & after.keys())


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
