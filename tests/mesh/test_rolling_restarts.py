"""Replicas are restarted one after the other while everybody calls: no call fails, and none runs twice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import threading
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import LocalMesh, child_environment, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from children import Child, Children

REPLICA = """
import asyncio, os, sys
import mpreg

node = mpreg.Node(sys.argv[1])
done = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

@node.function
async def book(order: str) -> str:
    # Neither is to be repeated: twice is one order too many.
    os.write(done, f"{order}\\n".encode())
    await asyncio.sleep(0)
    return order

@node.function
def book_in_thread(order: str) -> str:
    os.write(done, f"{order}\\n".encode())
    return order

if __name__ == "__main__":
    node.serve()
"""

REPLICAS = 3


@pytest.fixture
async def hub() -> AsyncIterator[mpreg.Node]:
    """A node of this process that the replicas join, and that calls them."""
    async with LocalMesh([mpreg.Node("hub")], transport="tcp") as mesh:
        yield mesh.nodes[0]


class Orders:
    """Calls without retries, again and again, until told to stop; what was asked for, and what went wrong."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.asked: list[str] = []
        self.errors: list[BaseException] = []
        self._numbers = itertools.count()

    def next(self, who: str) -> tuple[str, str]:
        number = next(self._numbers)
        order = f"{who}-{number}"
        self.asked.append(order)
        return ("book_in_thread" if number % 5 == 0 else "book"), order

    async def by(self, who: str, caller: mpreg.Node | mpreg.Client) -> None:
        while not self.stopped.is_set():
            function, order = self.next(who)
            try:
                assert await caller.remote(function, retries=0)(order) == order
            except mpreg.MpregError as error:
                self.errors.append(error)

    def blocking(self, who: str, *addresses: str, config: mpreg.Config) -> None:
        with mpreg.SyncClient(*addresses, config=config) as client:
            while not self.stopped.is_set():
                function, order = self.next(who)
                try:
                    assert client.remote(function, retries=0)(order) == order
                except mpreg.MpregError as error:
                    self.errors.append(error)


async def address_of(hub: mpreg.Node, name: str) -> str:
    return next(member.address for member in await hub.members() if member.name == name and member.state == "alive")


async def test_a_rolling_restart_under_load_fails_no_call_and_repeats_none(
    hub: mpreg.Node, children: Children, tmp_path: Path
) -> None:
    done = tmp_path / "done"

    def start(name: str, **settings: str) -> Child:
        return children.run(REPLICA, name, str(done), seeds=hub.address, **settings)

    names = [f"replica-{number}" for number in range(REPLICAS)]
    running = {name: start(name) for name in names}
    await hub.wait_for("book", nodes=REPLICAS)
    addresses = {name: await address_of(hub, name) for name in names}
    orders = Orders()
    async with contextlib.AsyncExitStack() as stack:
        # Their entry nodes are restarted under them.
        ways, config = [*addresses.values()], mpreg.Config(secret_file=child_environment()["MPREG_SECRET_FILE"])
        clients = [
            await stack.enter_async_context(mpreg.connect(*ways[first:], *ways[:first], config=config))
            for first in range(REPLICAS)
        ]
        thread = threading.Thread(target=orders.blocking, args=("thread", *ways), kwargs={"config": config})
        thread.start()
        callers = {"hub": hub, **{f"client-{number}": client for number, client in enumerate(clients)}}
        tasks = [
            asyncio.create_task(orders.by(f"{who}-{lane}", caller))
            for who, caller in callers.items()
            for lane in range(8)
        ]
        try:
            for name in names * 2:
                answered = len(orders.asked)
                await wait_for(lambda answered=answered: len(orders.asked) > answered + 300, what="calls go on")
                running[name].signal(signal.SIGTERM)
                assert await running[name].exit_code() == 0, running[name].err
                assert "Traceback" not in running[name].err
                running[name] = start(name, listen=addresses[name])
                await hub.wait_for("book", nodes=REPLICAS, timeout=30)
        finally:
            orders.stopped.set()
            await asyncio.gather(*tasks)
            await asyncio.to_thread(thread.join)
    assert [f"{error!r} {error.executed}" for error in orders.errors] == []
    booked = done.read_text().split()
    assert len(booked) == len(set(booked)), "one ran twice"
    assert sorted(booked) == sorted(orders.asked)
