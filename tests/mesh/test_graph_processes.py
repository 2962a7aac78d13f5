"""Call graphs over processes: which way large results go, and what a kill -9 does."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import LocalMesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from children import Child, Children

    Part = Callable[[str], Child]

LARGE = 8 << 20

PART = """
import asyncio, os, sys
import mpreg
from test_graph_processes import LARGE, received

name, flag = sys.argv[1], sys.argv[2]
node = mpreg.Node(name)

@node.function(f"{name}.make")
async def make() -> dict[str, object]:
    return {"n": 7, "rows": os.urandom(LARGE)}

@node.function(f"{name}.make_again", idempotent=True)
async def make_again() -> bytes:
    return b"x" * LARGE

@node.function(f"{name}.length")
def length(rows: bytes, also: int = 0) -> int:
    return len(rows) + also

@node.function(f"{name}.received")
async def count() -> int:
    return received()

@node.function(f"{name}.hang", idempotent=False)
async def hang(after: object) -> None:
    open(f"{flag}-hangs", "w").close()
    await asyncio.Event().wait()

if __name__ == "__main__":
    node.serve()
"""


def received() -> int:
    """Bytes that the TCP connections of this process have received (`tcpi_bytes_received` of Linux's `tcp_info`)."""
    total = 0
    for entry in os.scandir("/proc/self/fd"):
        try:
            if not str(Path(entry.path).readlink()).startswith("socket:"):
                continue
            duplicate = socket.socket(fileno=os.dup(int(entry.name)))
        except OSError:
            continue
        with duplicate:
            if duplicate.family == socket.AF_INET and duplicate.type == socket.SOCK_STREAM:
                facts = duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
                total += struct.unpack_from("Q", facts, 128)[0] if len(facts) == 136 else 0
    return total


@pytest.fixture
async def hub() -> AsyncIterator[mpreg.Node]:
    """A node of this process that the others join."""
    async with LocalMesh([mpreg.Node("hub")], transport="tcp") as mesh:
        yield mesh.nodes[0]


@pytest.fixture
def part(children: Children, hub: mpreg.Node) -> Callable[[str], Child]:
    """Starts a node with the functions of `PART` under its name."""
    here = Path(__file__).parent
    script = f"import sys\nsys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]\n{PART}"
    return lambda name: children.node(name, hub.address, script=script)


async def test_large_results_pass_neither_the_caller_nor_the_coordinator(hub: mpreg.Node, part: Part) -> None:
    part("maker")
    part("user")
    await hub.wait_for("maker.make")
    await hub.wait_for("user.received")
    # This process is caller and coordinator.
    at_hub, at_user = received(), await hub.call("user.received")
    made = hub.step("maker.make")
    assert await hub.run(hub.step("user.length", made["rows"], also=made["n"])) == LARGE + 7
    assert received() - at_hub < 64 << 10
    assert LARGE < await hub.call("user.received") - at_user < LARGE + (64 << 10)


async def test_a_part_of_a_large_result_moves_alone(hub: mpreg.Node, part: Part) -> None:
    part("maker")
    await hub.wait_for("maker.received")
    before = received()
    made = hub.step("maker.make")
    whole = hub.step("maker.length", made["rows"])
    assert await hub.run(whole, made["n"]) == (LARGE, 7)
    assert received() - before < 64 << 10


async def test_the_maker_of_a_result_is_killed_before_it_was_used(hub: mpreg.Node, part: Part) -> None:
    first = part("maker")
    part("user")
    await hub.wait_for("maker.make_again")
    await hub.wait_for("user.length")
    gate = asyncio.Event()
    kept = asyncio.Event()

    @hub.function
    async def wait_here(rows: int) -> int:
        kept.set()
        await gate.wait()
        return rows

    made = hub.step("maker.make_again")
    held_up = hub.step(wait_here, hub.step("user.length", made))
    run = asyncio.ensure_future(hub.run(hub.step("user.length", made, also=held_up), timeout=60.0))
    await kept.wait()
    part("maker")
    await hub.wait_for("maker.make_again", nodes=2)
    first.signal(signal.SIGKILL)
    await first.exit_code()
    gate.set()
    assert await run == 2 * LARGE
