"""What a mesh of real processes needs to form, to hear of changes, deaths and leaves, and to idle; beside the design's goals.

`python benchmarks/mesh.py [--nodes 3,10] [--shapes star,chain] [--rounds 8] [--idle 30] [--write]`, or `--large` for 30 and 50
nodes in four shapes with churn and, for root, a partition: five minutes.

Every node is a process of its own on loopback TCP. What changes is seen inside the processes, by `watch` (functions
appear, and vanish with their node) and by `members()` every 10 ms (suspicion), and carries CLOCK_MONOTONIC, which all
processes of a machine share. A figure of "everywhere" is that of the last node to see it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import BinaryIO

import mesh_split
from mesh_member import PATIENCE, Member, bytes_sent, cpu_seconds, free_addresses, more_bytes, resident_mib
from results import machine, write_section

FUNCTIONS_ADDED = 30
HUBS = 4
"""Of the shape multi-hub: in a ring, each with its share of the others."""
SEEDS = {
    "star": lambda number, _: [0] if number else [],
    "chain": lambda number, _: [number - 1] if number else [],
    "ring": lambda number, count: [(number - 1) % count],
    "multi-hub": lambda number, _: [(number + 1) % HUBS] if number < HUBS else [number % HUBS],
}
LARGE = {
    "nodes": "30,50",
    "shapes": "star,ring,chain,multi-hub",
    "rounds": 3,
    "pauses": 1,
    "settle": 3.0,
    "idle": 8.0,
    "churn": 24,
}


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
    "churn: calls that failed": Goal(p99=0),
    "churn: living nodes held for dead": Goal(p99=0),
    "churn: every view right after the last step": NOTHING,
    "partition healed: every function visible everywhere": Goal(p99=6000),
    "idle: CPU of all nodes, % of one core": Goal(p99=1),
    "idle: sent per node, bytes/s": Goal(p99=2000),
    "memory per node (RSS), MiB": NOTHING,
}


def goal_of(figure: str, count: int) -> Goal:
    """50 nodes may take 5 % of a core together; that all of them start at once is of no concern to the design."""
    if figure.startswith("idle: CPU"):
        return Goal(p99=max(1, count / 10))
    return NOTHING if count > 10 and figure.startswith("all start") else GOALS[figure]


@dataclass
class Mesh:
    """All processes of one mesh, and what was measured of it."""

    shape: str
    count: int
    log: BinaryIO
    """Where its processes log."""
    figures: dict[str, list[float]] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    harmed: set[str] = field(default_factory=set)
    """Killed, or stopped for long: others held them for dead, rightly."""

    def note(self, figure: str, *, since: float, until: float) -> None:
        self.figures.setdefault(figure, []).append((until - since) * 1000)

    @property
    def last(self) -> Member:
        return self.members[-1]

    async def everywhere(self, what: str, subject: str, since: float, at: list[Member]) -> float:
        """When the last of `at` had seen it."""
        return max(await asyncio.gather(*(member.when(what, subject, since) for member in at)))

    async def form(self, networks: mesh_split.Networks | None = None) -> None:
        """Starts all: at once, but a chain one after the other. In two networks, if there are any: every second node in each."""
        sides = [networks and number % 2 for number in range(self.count)]
        addresses = free_addresses([mesh_split.HOSTS[side] if networks else "127.0.0.1" for side in sides])
        for number, address in enumerate(addresses):
            seeds = [addresses[seed] for seed in SEEDS[self.shape](number, self.count)]
            prefix = networks.prefix(sides[number]) if networks else ()
            self.members.append(Member(number, address, seeds, log=self.log, prefix=prefix))
        await asyncio.gather(*(member.spawn() for member in self.members))
        for member in self.members:
            member.do("start")
            member.do("watch")
            if self.shape == "chain" or (member is self.members[0] and self.shape == "star"):
                await member.when("started")
        begin = min([await member.when("starting") for member in self.members[1:]])
        visible = await self.all_visible(since=0.0)
        how = "one after the other" if self.shape == "chain" else "all start at once"
        self.note(f"{how}: every function visible everywhere", since=begin, until=visible)

    async def all_visible(self, since: float) -> float:
        """When the last one had seen the last function appear."""
        names = [f"f.{member.number}" for member in self.members]
        return max(await asyncio.gather(*(self.everywhere("added", name, since, self.members) for name in names)))

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
        self.harmed.add(f"node-{self.last.number}")
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
        self.harmed.add(f"node-{self.last.number}")
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

    async def churn(self, steps: int) -> None:
        """Under calls from five of them, nodes join, leave, are killed, stand still for a second and go on, by a fixed seed."""
        await self.quiet()
        chance = random.Random(steps)
        callers, victims = self.members[:5], self.members[5:]
        verbs = (["join", "join", "leave", "kill", "stop"] * steps)[:steps]
        chance.shuffle(verbs)
        for caller in callers:
            caller.do("load")
        for verb in verbs:
            await self.step(verb, chance, victims)
        begin = time.monotonic()
        self.members = callers + victims
        async with asyncio.timeout(PATIENCE):
            while any([await member.answer("view") != str(len(self.members)) for member in self.members]):  # noqa: ASYNC110 - they are asked
                await asyncio.sleep(0.01)
        self.note("churn: every view right after the last step", since=begin, until=time.monotonic())
        lost = [json.loads(await caller.answer("calls")) for caller in callers]
        assert all(calls["done"] for calls in lost), lost
        self.figures["churn: calls that failed"] = [sum(calls["lost"] for calls in lost)]
        self.log.seek(0)
        accused = re.findall(r"down: it is called no more .* member=([^/\s]+)", self.log.read().decode())
        self.figures["churn: living nodes held for dead"] = [len(set(accused) - self.harmed)]
        await self.quiet()
        for member in self.members:
            member.do("watch")

    async def step(self, verb: str, chance: random.Random, victims: list[Member]) -> None:
        if verb == "join":
            seeds = [member.address for member in chance.sample(victims, 2)]
            (address,) = free_addresses(["127.0.0.1"])
            self.members.append(Member(len(self.members), address, seeds, log=self.log))
            await self.last.spawn()
            victims.append(self.last)
            self.last.do("start")
            await self.last.when("started")
            return
        one = victims.pop(chance.randrange(len(victims)))
        if verb == "leave":
            one.do("leave")
            await one.when("stopped")
            await one.end()
        elif verb == "kill":
            self.harmed.add(f"node-{one.number}")
            await one.end()
        else:
            one.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1.0)
            one.process.send_signal(signal.SIGCONT)
            victims.append(one)

    async def split(self, networks: mesh_split.Networks) -> None:
        """The cable is pulled until each half holds the other for dead, and put back."""
        halves = [self.members[side::2] for side in range(2)]
        begin = time.monotonic()
        networks.cut()
        for side, half in enumerate(halves):
            for gone in halves[1 - side]:
                await self.everywhere("removed", f"f.{gone.number}", begin, half)
        begin = time.monotonic()
        networks.connect()
        crossing = [(f"f.{member.number}", halves[1 - side]) for side, half in enumerate(halves) for member in half]
        seen = await asyncio.gather(*(self.everywhere("added", name, begin, half) for name, half in crossing))
        self.note("partition healed: every function visible everywhere", since=begin, until=max(seen))

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


async def measure(shape: str, count: int, options: argparse.Namespace) -> dict[str, list[float]]:
    with tempfile.TemporaryFile() as log:
        mesh = Mesh(shape, count, log)
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
            if options.churn:
                await mesh.churn(options.churn)
        finally:
            await mesh.end()
        figures = mesh.figures
    if options.churn and shape == "star" and mesh_split.is_possible():
        figures |= await heal(shape, count)
    return figures


async def heal(shape: str, count: int) -> dict[str, list[float]]:
    """A mesh of its own, for its network is another one."""
    figure = "partition healed: every function visible everywhere"
    with mesh_split.networks() as networks, tempfile.TemporaryFile() as log:
        mesh = Mesh(shape, count, log)
        try:
            await mesh.form(networks)
            await mesh.split(networks)
        finally:
            await mesh.end()
    return {figure: mesh.figures[figure]}


def rows(measured: dict[tuple[str, int], dict[str, list[float]]]) -> list[str]:
    """One for each figure of each mesh."""
    lines = []
    for (shape, count), figures in measured.items():
        for name in GOALS:
            if values := figures.get(name):
                goal, p50, worst = goal_of(name, count), statistics.median(values), max(values)
                lines.append(
                    f"| {shape} of {count} | {name} | {p50:.4g} | {worst:.4g} | {len(values)} | {goal} "
                    f"| {goal.verdict(p50, worst)} |"
                )
    return lines


def columns(measured: dict[tuple[str, int], dict[str, list[float]]]) -> list[str]:
    """One row for each figure, one column for each mesh: p50 / worst."""
    lines = []
    for name in GOALS:
        cells, missed = [], False
        for (_, count), figures in measured.items():
            values, goal = figures.get(name), goal_of(name, count)
            if not values:
                cells.append("")
                continue
            p50, worst = statistics.median(values), max(values)
            miss = goal.verdict(p50, worst) == "MISSED"
            missed = missed or miss
            cells.append((f"{p50:.3g} / {worst:.3g}" if len(values) > 1 else f"{worst:.3g}") + (" (!)" if miss else ""))
        if any(cells):
            goals = " or ".join(sorted({str(goal_of(name, count)) for _, count in measured}, key=len))
            lines.append(f"| {name} | {goals} | {' | '.join(cells)} | {'MISSED' if missed else ''} |")
    return lines


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="3,10")
    parser.add_argument("--shapes", default="star,chain", help=f"of {', '.join(SEEDS)}")
    parser.add_argument("--rounds", type=int, default=8, help="joins, leaves, kills and restarts")
    parser.add_argument("--pauses", type=int, default=3)
    parser.add_argument("--settle", type=float, default=30.0, help="seconds without change before idling is measured")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of idling")
    parser.add_argument("--churn", type=int, default=0, help="steps of nodes that come and go under calls")
    parser.add_argument("--large", action="store_true", help="30 and 50 nodes in all shapes, with churn")
    parser.add_argument("--write", action="store_true", help="write the section of benchmarks/RESULTS.md")
    if "--large" in sys.argv:
        parser.set_defaults(**LARGE)
    options = parser.parse_args()
    measured: dict[tuple[str, int], dict[str, list[float]]] = {}
    for count in map(int, options.nodes.split(",")):
        for shape in options.shapes.split(","):
            figures = await measure(shape, count, options)
            measured[shape, count] = figures
            print("\n".join(rows({(shape, count): figures})), flush=True)
    if options.write:
        title = "Mesh of 30 and 50" if options.large else "Mesh"
        write_section(title, table(measured, options))


ABOUT = "Real processes on loopback TCP without TLS; ms unless said otherwise; the worst of n stands for p99"


def table(measured: dict[tuple[str, int], dict[str, list[float]]], options: argparse.Namespace) -> str:
    if options.large:
        head = f"`python benchmarks/mesh.py --large --write` on {machine()}. {ABOUT}. p50 / worst, (!): over the goal."
        meshes = " | ".join(f"{shape} of {count}" for shape, count in measured)
        lines = [f"| what | goal | {meshes} | |", f"|---|---|{'---|' * len(measured)}---|", *columns(measured)]
    else:
        command = f"--nodes {options.nodes} --shapes {options.shapes} --rounds {options.rounds}"
        head = f"`python benchmarks/mesh.py {command} --write` on {machine()}. {ABOUT}."
        lines = ["| mesh | what | p50 | worst | n | goal | |", "|---|---|---|---|---|---|---|", *rows(measured)]
    return "\n".join([head, "", *lines])


if __name__ == "__main__":
    asyncio.run(main())
