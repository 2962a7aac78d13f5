"""Who an error names, and the way its call went: with processes over TCP, for a node that calls and for a client of it."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import LocalMesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from children import Children

CROWDED = """
import asyncio, sys
import mpreg

node = mpreg.Node(sys.argv[1], config=mpreg.Config(concurrency=1, waiting=0))

@node.function
async def hold() -> None:
    print("held", flush=True)
    await asyncio.Event().wait()

@node.function
async def fail() -> None:
    raise KeyError("k")

node.serve()
"""


class From:
    """A caller, and what its calls walk before they come to the node that runs them."""

    def __init__(self, mesh: LocalMesh, caller: mpreg.Node | mpreg.Client) -> None:
        self.mesh = mesh
        self.hub = mesh.nodes[0]
        self.caller = caller
        self.entry = () if caller is self.hub else (f"default/{self.hub.id}",)


@pytest.fixture(params=["member", "client"])
async def where(request: pytest.FixtureRequest) -> AsyncIterator[From]:
    """A node of this process that the children join; it or a client of it calls."""
    async with LocalMesh([mpreg.Node("hub")], transport="tcp") as mesh:
        if request.param == "member":
            yield From(mesh, mesh.nodes[0])
        else:
            async with mesh.connect(0) as client:
                yield From(mesh, client)


async def error_of(call: Awaitable[object]) -> mpreg.MpregError:
    with pytest.raises(mpreg.MpregError) as told:
        await call
    return told.value


async def label_of(where: From, name: str, function: str) -> str:
    """The child of that name, as errors name it, once it is called from here."""
    await where.hub.wait_for(function)
    (member,) = [member for member in await where.hub.members() if member.name == name]
    return f"default/{member.id}"


async def test_what_a_function_raises_names_its_node_and_the_way(where: From, children: Children) -> None:
    children.node("worker", where.hub.address, script=CROWDED)
    worker = await label_of(where, "worker", "fail")
    error = await error_of(where.caller.call("fail"))
    assert isinstance(error, KeyError)
    assert (error.node, error.path) == (worker, (*where.entry, worker))


async def test_a_blocking_client_is_told_the_same(where: From, children: Children) -> None:
    children.node("worker", where.hub.address, script=CROWDED)
    worker = await label_of(where, "worker", "fail")

    def call() -> None:
        with mpreg.SyncClient(where.hub.address, config=where.mesh.config) as client:
            client.call("fail")

    error = await error_of(asyncio.to_thread(call))
    assert (error.node, error.path) == (worker, (f"default/{where.hub.id}", worker))


async def test_nobody_to_call_is_told_by_the_node_that_looked(where: From) -> None:
    error = await error_of(where.caller.remote("nobody", wait=0)())
    # A call that never left has no way, and nobody but the own node looked.
    assert (error.code, error.path, error.node) == ("function_not_found", where.entry, (*where.entry, None)[0])


async def test_a_deadline_names_the_node_that_has_the_call_and_never_another(where: From, children: Children) -> None:
    children.node("worker", where.hub.address)
    worker = await label_of(where, "worker", "hang")
    named = []
    # Whether the word of the node comes before its caller gives up is a matter of time; what it says is not.
    while worker not in named:
        for timeout in (0.01, 0.1):
            error = await error_of(where.caller.remote("hang", timeout=timeout)())
            assert (error.code, error.node) in {("deadline_exceeded", worker), ("deadline_exceeded", None)}
            assert error.path == (*where.entry, worker)[: len(error.path)]
            assert (error.node in error.path) == (error.node is not None)
            named.append(error.node)


async def test_a_node_that_stands_still_is_named_at_the_deadline_or_nobody_is(where: From, children: Children) -> None:
    child = children.node("worker", where.hub.address)
    worker = await label_of(where, "worker", "hang")
    child.signal(signal.SIGSTOP)
    error = await error_of(where.caller.remote("hang", timeout=0.1)())
    assert (error.code, error.node) in {("deadline_exceeded", worker), ("deadline_exceeded", None)}


async def test_overload_names_every_node_that_was_tried(where: From, children: Children) -> None:
    crowded = [children.node(name, where.hub.address, script=CROWDED) for name in ("one", "two")]
    await where.hub.wait_for("hold", nodes=2)
    workers = {f"default/{member.id}" for member in await where.hub.members() if member.name != "hub"}
    held = asyncio.ensure_future(where.hub.remote("hold").call_all())
    for child in crowded:
        await child.says("held")
    error = await error_of(where.caller.remote("fail", retries=1)())
    assert (error.code, error.executed, error.attempts) == ("overloaded", "no", 2)
    *entered, first, second = error.path
    assert (tuple(entered), {first, second}, error.node) == (where.entry, workers, second)
    held.cancel()


async def test_a_node_that_dies_is_the_one_that_is_named(where: From, children: Children) -> None:
    children.node("worker", where.hub.address)
    worker = await label_of(where, "worker", "die")
    error = await error_of(where.caller.call("die"))
    assert isinstance(error, mpreg.ConnectionLostError)
    assert (error.node, error.path) == (worker, (*where.entry, worker))


async def test_an_entry_node_that_dies_is_the_one_that_is_named() -> None:
    async with LocalMesh([mpreg.Node("a"), mpreg.Node("b")], transport="tcp") as mesh:
        started, label = asyncio.Event(), f"default/{mesh.nodes[1].id}"

        @mesh.nodes[1].function
        async def hang() -> None:
            started.set()
            await asyncio.Event().wait()

        async with mesh.connect(1) as client:
            call = asyncio.ensure_future(client.call("hang"))
            await started.wait()
            await mesh.kill(1)
            error = await error_of(call)
    assert isinstance(error, mpreg.ConnectionLostError)
    assert (error.node, error.path) == (label, (label,))
