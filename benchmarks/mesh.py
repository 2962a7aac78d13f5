"""What a mesh of real processes needs to form, to hear of changes, deaths and leaves, and to idle; beside the design's goals.

`python benchmarks/mesh.py [--nodes 3,10] [--shapes star,chain] [--rounds 8] [--idle 30] [--write]`

Every node is a process of its own on loopback TCP. What changes is seen inside the processes, by `watch` (functions
appear, and vanish with their node) and by `members()` every 10 ms (suspicion), and carries CLOCK_MONOTONIC, which all
processes of a machine share. A figure of "everywhere" is that of the last node to see it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from results import machine, write_section

HERE = Path(__file__).parent
PATIENCE = 20.0
FUNCTIONS_ADDED = 30


@dataclass(frozen=True)
class Goal:
    """What the design asks of a figure: ms, unless its name says otherwise."""

    p50: float | None = None
    p99: float | None = None
    """Of few samples: the worst."""

    def __str__(self) -> str:
        parts = [f"{name} {goal:g}" for name, goal in (("p50", self.p50), ("worst", self.p99)) if goal is not None]
        return ", ".join(parts) or "-"

    def verdict(self, p50: float, worst: float) -> str:
        missed = (self.p50 is not None and p50 > self.p50) or (self.p99 is not None and worst > self.p99)
        return "" if self.p50 is self.p99 is None else "MISSED" if missed else "met"


NOTHING = Goal()
GOALS = {
    "all start at once: every function visible everywhere": Goal(p99=500),
    "one after the other: every function visible everywhere": NOTHING,
    "the last one joins: its first routed call": Goal(p99=500),
    "the last one joins: it sees all": NOTHING,
    "the last one joins: all see it": NOTHING,
    "a function added: visible everywhere": Goal(p99=1000),
    "GOODBYE: gone everywhere": Goal(p99=500),
    "kill -9: Down everywhere": Goal(p50=1000, p99=2000),
    "restart on the same address: its first routed call": Goal(p99=500),
    "restart on the same address: all see it": NOTHING,
    "SIGSTOP: avoided everywhere": Goal(p99=1500),
    "SIGSTOP: Down everywhere": Goal(p50=3000, p99=4000),
    "SIGCONT: Alive everywhere": Goal(p99=1000),
    "idle: CPU of all nodes, % of one core": Goal(p99=1),
    "idle: sent per node, bytes/s": Goal(p99=2000),
    "memory per node (RSS), MiB": NOTHING,
}


class Member:
    """A process of the mesh, with all that it said."""

    def __init__(self, number: int, address: str, seed: str) -> None:
        self.number, self.address, self.seed = number, address, seed
        self.news = asyncio.Event()
        self.said: list[tuple[float, str, str]] = []

    async def spawn(self) -> None:
        command = [sys.executable, str(HERE / "mesh_process.py"), str(self.number), self.address, self.seed]
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
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
        async with asyncio.timeout(PATIENCE):
            while True:
                for at, said, about in self.said:
                    if said == what and at >= since and subject in (None, about):
                        return at
                self.news.clear()
                await self.news.wait()

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process.returncode is None:
            self.process.send_signal(number)
        await self.process.wait()
        await self._reading


@dataclass
class Mesh:
    """All processes of one mesh, and what was measured of it."""

    shape: str
    count: int
    figures: dict[str, list[float]] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)

    def note(self, figure: str, *, since: float, until: float) -> None:
        self.figures.setdefault(figure, []).append((until - since) * 1000)

    @property
    def last(self) -> Member:
        return self.members[-1]

    async def everywhere(self, what: str, subject: str, since: float, at: list[Member]) -> float:
        """When the last of `at` had seen it."""
        return max(await asyncio.gather(*(member.when(what, subject, since) for member in at)))

    async def form(self) -> None:
        """Starts all; a star at once, a chain one after the other: nobody dials an address that is not there yet."""
        addresses = free_addresses(self.count)
        for number, address in enumerate(addresses):
            seed = addresses[0 if self.shape == "star" else number - 1] if number else "-"
            self.members.append(Member(number, address, seed))
        await asyncio.gather(*(member.spawn() for member in self.members))
        first, *others = self.members
        first.do("start")
        first.do("watch")
        await first.when("started")
        for member in others:
            member.do("start")
            member.do("watch")
            if self.shape != "star":
                await member.when("started")
        begin = min([await member.when("starting") for member in others])
        visible = await asyncio.gather(
            *(self.everywhere("added", f"f.{number}", 0.0, self.members) for number in range(self.count))
        )
        how = "all start at once" if self.shape == "star" else "one after the other"
        self.note(f"{how}: every function visible everywhere", since=begin, until=max(visible))

    async def join(self, label: str) -> None:
        """The last one comes, a new process on its address."""
        await self.last.spawn()
        self.last.do("start", "f.0")
        self.last.do("watch")
        others = self.members[:-1]
        begin = await self.last.when("starting")
        called = await self.last.when("called")
        seen = await self.everywhere("added", f"f.{self.last.number}", begin, others)
        sees = [await self.last.when("added", f"f.{member.number}") for member in others]
        self.note(f"{label}: its first routed call", since=begin, until=called)
        self.note(f"{label}: all see it", since=begin, until=seen)
        if label.startswith("the last"):
            self.note(f"{label}: it sees all", since=begin, until=max(sees))

    async def add(self, number: int) -> None:
        member = self.members[number % self.count]
        name = f"f.added.{number}"
        member.do("add", name)
        begin = await member.when("adding", name)
        seen = await self.everywhere("added", name, begin, self.members)
        self.note("a function added: visible everywhere", since=begin, until=seen)

    async def goodbye(self) -> None:
        self.last.do("leave")
        begin = await self.last.when("leaving")
        gone = await self.everywhere("removed", f"f.{self.last.number}", begin, self.members[:-1])
        self.note("GOODBYE: gone everywhere", since=begin, until=gone)
        await self.last.when("stopped")
        await self.last.end()

    async def kill(self) -> None:
        begin = time.monotonic()
        self.last.process.kill()
        down = await self.everywhere("removed", f"f.{self.last.number}", begin, self.members[:-1])
        self.note("kill -9: Down everywhere", since=begin, until=down)
        await self.last.end()

    async def pause(self) -> None:
        """Stopped until all hold it for dead; then it goes on."""
        _, _, name = next(said for said in self.last.said if said[1] == "started")
        others = self.members[:-1]
        begin = time.monotonic()
        for member in others:
            member.do("poll")
        await self.everywhere("alive", name, begin, others)
        begin = time.monotonic()
        self.last.process.send_signal(signal.SIGSTOP)
        avoided = await asyncio.gather(*(self.avoided(member, name, begin) for member in others))
        down = await self.everywhere("removed", f"f.{self.last.number}", begin, others)
        resumed = time.monotonic()
        self.last.process.send_signal(signal.SIGCONT)
        back = await self.everywhere("alive", name, resumed, others)
        self.note("SIGSTOP: avoided everywhere", since=begin, until=max(avoided))
        self.note("SIGSTOP: Down everywhere", since=begin, until=down)
        self.note("SIGCONT: Alive everywhere", since=resumed, until=back)
        await self.everywhere("added", f"f.{self.last.number}", resumed, others)
        await self.quiet()
        for member in self.members:
            member.do("watch")

    async def avoided(self, member: Member, name: str, since: float) -> float:
        """Suspect, or Down between two looks."""
        states = [asyncio.ensure_future(member.when(state, name, since)) for state in ("suspect", "down")]
        done, pending = await asyncio.wait(states, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return min(task.result() for task in done)

    async def quiet(self) -> None:
        begin = time.monotonic()
        for member in self.members:
            member.do("quiet")
        await asyncio.gather(*(member.when("quiet", since=begin) for member in self.members))

    async def idle(self, settle: float, seconds: float) -> None:
        """Nobody looks at anything."""
        await self.quiet()
        pids = [member.process.pid for member in self.members]
        await asyncio.sleep(settle)
        begin, cpu, sent = time.monotonic(), cpu_seconds(pids), bytes_sent(pids)
        await asyncio.sleep(seconds)
        elapsed, cpu, sent = time.monotonic() - begin, cpu_seconds(pids) - cpu, more_bytes(sent, bytes_sent(pids))
        self.figures["idle: CPU of all nodes, % of one core"] = [cpu / elapsed * 100]
        self.figures["idle: sent per node, bytes/s"] = [sent / elapsed / self.count]
        self.figures["memory per node (RSS), MiB"] = [resident_mib(pid) for pid in pids]
        for member in self.members:
            member.do("watch")

    async def end(self) -> None:
        await asyncio.gather(*(member.end() for member in self.members))


def free_addresses(count: int) -> list[str]:
    """Nobody else takes them meanwhile: they are all held until the last is known."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
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
    of_ours = (line for line in listing.splitlines() if any(f"pid={pid}," in line for pid in pids))
    found = (re.search(r"(\S+)\s+(\S+)\s+users:.*bytes_sent:(\d+)", line) for line in of_ours)
    return {(match[1], match[2]): int(match[3]) for match in found if match}


def more_bytes(before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]) -> int:
    """Over the connections that stood all the time."""
    return sum(after[connection] - before[connection] for connection in before.keys() & after.keys())


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(shape: str, count: int, options: argparse.Namespace) -> dict[str, list[float]]:
    mesh = Mesh(shape, count)
    try:
        await mesh.form()
        for number in range(FUNCTIONS_ADDED):
            await mesh.add(number)
        for _ in range(options.rounds):
            await mesh.goodbye()
            await mesh.join("the last one joins")
        for _ in range(options.rounds):
            await mesh.kill()
            await mesh.join("restart on the same address")
        for _ in range(options.pauses):
            await mesh.pause()
        await mesh.idle(options.settle, options.idle)
    finally:
        await mesh.end()
    return mesh.figures


def rows(shape: str, count: int, figures: dict[str, list[float]]) -> list[str]:
    lines = []
    for name, goal in GOALS.items():
        if values := figures.get(name):
            p50, worst = statistics.median(values), max(values)
            place = f"{shape} of {count}"
            lines.append(
                f"| {place} | {name} | {p50:.4g} | {worst:.4g} | {len(values)} | {goal} | {goal.verdict(p50, worst)} |"
            )
    return lines


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="3,10")
    parser.add_argument("--shapes", default="star,chain")
    parser.add_argument("--rounds", type=int, default=8, help="joins, leaves, kills and restarts")
    parser.add_argument("--pauses", type=int, default=3)
    parser.add_argument("--settle", type=float, default=30.0, help="seconds without change before idling is measured")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of idling")
    parser.add_argument("--write", action="store_true", help="write the section of benchmarks/RESULTS.md")
    options = parser.parse_args()
    lines: list[str] = []
    for count in map(int, options.nodes.split(",")):
        for shape in options.shapes.split(","):
            lines += rows(shape, count, await measure(shape, count, options))
            print("\n".join(line for line in lines if line.startswith(f"| {shape} of {count} ")), flush=True)
    if options.write:
        write_section("Mesh", table(lines, options))


def table(lines: list[str], options: argparse.Namespace) -> str:
    head = f"""`python benchmarks/mesh.py --nodes {options.nodes} --shapes {options.shapes} --rounds {options.rounds} --write` on \
{machine()}. Real processes on loopback TCP without TLS; ms unless said otherwise; the worst of n stands for p99.

| mesh | what | p50 | worst | n | goal | |
|---|---|---|---|---|---|---|
"""
    return head + "\n".join(lines)


if __name__ == "__main__":
    asyncio.run(main())
