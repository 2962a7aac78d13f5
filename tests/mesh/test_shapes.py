"""Thirty real processes in every shape: all see all, what one offers is called from everywhere, and they come and go.

`pytest tests/mesh/test_shapes.py --processes 50` takes more of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from typing import TYPE_CHECKING

import pytest
from fleet import LONG, SEEDS, Fleet

import mpreg
from mpreg.testing import wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(150)  # a machine that does much else


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("--processes")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.end()


@contextlib.asynccontextmanager
async def looking(fleet: Fleet) -> AsyncIterator[mpreg.Node]:
    """A node of this process joins them, by the first."""
    from mpreg._node import start_in
    from mpreg.testing._surroundings import surroundings

    node = mpreg.Node("looker")
    await start_in(node, surroundings(), {"listen": fleet.address("looker"), "seeds": [fleet.address("n0")]})
    try:
        yield node
    finally:
        await node.stop()


@pytest.mark.parametrize("shape", SEEDS)
async def test_all_see_all_and_a_new_function_is_called_from_everywhere(fleet: Fleet, shape: str, count: int) -> None:
    await fleet.form(shape, count)
    async with looking(fleet) as looker:
        await fleet.views_are_complete(looker)
        owners = [f"n{number}" for number in (0, count // 2, count - 1)]
        for owner in owners:
            await looker.remote(f"offer.{owner}", wait=LONG)(f"late.{owner}")
        functions = [f"late.{owner}" for owner in owners] + [f"name.{name}" for name in fleet.running]
        for name in fleet.running:
            assert await looker.remote(f"reach.{name}", wait=LONG)(functions) == [*owners, *fleet.running]
    assert fleet.accused() == set()


class Load:
    """Calls without a pause from the looker, while processes come and go."""

    def __init__(self, caller: mpreg.Node) -> None:
        self._caller = caller
        self.done = 0
        self.failures: list[mpreg.MpregError] = []
        """Of calls that must not be repeated."""
        self._tasks = [asyncio.create_task(self._call(name)) for name in ("again", "again", "once", "once")]

    async def _call(self, name: str) -> None:
        number = 0
        while True:
            number += 1
            try:
                assert await self._caller.call(name, number) == number
            except mpreg.MpregError as error:
                if name == "again":
                    raise  # another one could have done it
                self.failures.append(error)
            self.done += 1
            # The processes need the machine as well.
            await asyncio.sleep(0.002)

    async def some(self, calls: int) -> None:
        """Waits for so many more."""
        target = self.done + calls

        def reached() -> bool:
            for task in self._tasks:
                assert not task.done() or task.result()
            return self.done >= target

        await wait_for(reached, timeout=LONG, what=f"{calls} more calls")

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Churn:
    """One node after the other comes, leaves, is killed, or stands still for a while; by a seed."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.fleet = fleet
        self.random = random.Random(seed)
        self.joined = 0
        self.harmed: set[str] = set()
        """Killed, or stopped at some time: their calls may end in errors, and others may hold them for dead."""
        self.stopped: list[str] = []

    async def step(self, verb: str) -> None:
        awake = sorted(self.fleet.running.keys() - set(self.stopped))
        one, *seeds = self.random.sample(awake, 4)
        if verb == "join":
            self.joined += 1
            await self.fleet.start(f"new{self.joined}", seeds)
        elif verb == "leave":
            await self.fleet.leave(one)
        elif verb == "kill":
            self.harmed.add(one)
            self.fleet.kill(one)
        elif verb == "stop":
            self.harmed.add(one)
            self.stopped.append(one)
            self.fleet.signal(one, signal.SIGSTOP)
        elif self.stopped:
            self.fleet.signal(self.stopped.pop(0), signal.SIGCONT)

    def verbs(self, rounds: int) -> list[str]:
        """As many come as go; who stands still goes on some steps later."""
        verbs = ["join", "join", "leave", "kill", "stop", "go on"] * rounds
        self.random.shuffle(verbs)
        return verbs


async def test_processes_come_and_go_under_calls(fleet: Fleet, count: int) -> None:
    seed = 20_261_124
    print(f"seed {seed}")  # noqa: T201 - shown if it fails
    await fleet.form("multi-hub", count)
    async with looking(fleet) as looker:
        await fleet.views_are_complete(looker)
        churn, load = Churn(fleet, seed), Load(looker)
        try:
            for verb in churn.verbs(rounds=5):
                await churn.step(verb)
                await load.some(40)
            while churn.stopped:
                await churn.step("go on")
            await load.some(200)
        finally:
            await load.end()
        await fleet.views_are_complete(looker)
    # Nobody was thought dead who was not; who left in order took no call with it.
    assert fleet.accused() <= churn.harmed
    told = [(error.node, error.executed, str(error)) for error in load.failures]
    assert all((node or "").split("/")[1] in churn.harmed and executed != "no" for node, executed, _ in told), told
