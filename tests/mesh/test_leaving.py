"""Leaving politely: no call fails, everybody is told why, and what runs too long is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import LocalMesh, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


async def everyone_sees(nodes: list[mpreg.Node], condition: Callable) -> None:
    """`condition(node)` is true on each of `nodes`, soon."""
    for node in nodes:
        await wait_for(lambda node=node: condition(node), what=f"seen by {node.name}")


async def test_leaving_politely_fails_no_call_and_is_seen_at_once(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=4) as mesh:
        *_, leaving, caller = mesh.nodes
        stopping = None
        for node in mesh.nodes[:3]:

            @node.function("work")
            async def work(x: int) -> int:
                await asyncio.sleep(0)  # under way for at least one pass of the loop
                return x

        await caller.wait_for("work", nodes=3)
        async with mesh.connect(0) as client:
            for each in (caller, client):
                results = []
                async for x in each.map("work", range(400), concurrency=16):
                    results.append(x)
                    if x == 50 and stopping is None:
                        stopping = asyncio.create_task(leaving.stop(reason="maintenance"))
                assert results == list(range(400))
        await stopping
        mesh._running.remove(leaving)
        await everyone_sees([mesh.nodes[0], mesh.nodes[1], caller], lambda node: _has_left(node, leaving.name))
        assert {entry.node.split("/")[1] for entry in await caller.catalog(function="work")} == {"node-0", "node-1"}


async def _has_left(seen_by: mpreg.Node, name: str) -> bool:
    (member,) = [member for member in await seen_by.members() if member.name == name]
    return (member.state, member.reason) == ("left", "maintenance")


@pytest.mark.parametrize("reason", ["graceful_shutdown", "maintenance", "cluster_rebalance", "manual_removal"])
async def test_every_reason_reaches_the_others(mpreg_mesh: Callable[..., LocalMesh], reason: str) -> None:
    async with mpreg_mesh(nodes=2) as mesh:
        await mesh.converged()
        await mesh.nodes[1].stop(reason=reason)
        mesh._running.remove(mesh.nodes[1])
        await wait_for(lambda: _reason(mesh.nodes[0], reason))


async def _reason(node: mpreg.Node, reason: str) -> bool:
    return reason in [member.reason for member in await node.members()]


async def test_a_running_call_ends_before_the_node_leaves(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    # Longer than any test: the node leaves because the call has ended.
    async with mpreg_mesh(nodes=2, config=mpreg.Config(drain_timeout=3600.0)) as mesh:
        started, go = asyncio.Event(), asyncio.Event()

        @mesh.nodes[1].function
        async def slow() -> int:
            started.set()
            await go.wait()
            return 1

        call = asyncio.ensure_future(mesh.nodes[0].call("slow"))
        await started.wait()
        stopping = asyncio.create_task(mesh.nodes[1].stop())
        await wait_for(lambda: _is_draining(mesh.nodes[0]))
        go.set()
        assert await call == 1
        await stopping
        mesh._running.remove(mesh.nodes[1])


async def test_a_call_of_the_node_to_itself_ends_before_the_node_leaves(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=2, config=mpreg.Config(drain_timeout=3600.0)) as mesh:
        other, node = mesh.nodes
        started, go = asyncio.Event(), asyncio.Event()

        @node.function
        async def slow() -> int:
            started.set()
            await go.wait()
            return 1

        call = asyncio.ensure_future(node.call("slow"))
        await started.wait()
        stopping = asyncio.create_task(node.stop())
        await wait_for(lambda: _is_draining(other))
        go.set()
        assert await call == 1
        await stopping
        mesh._running.remove(node)


async def test_a_call_of_the_node_to_itself_that_outlasts_the_drain_is_cancelled() -> None:
    trail: list[str] = []
    started = asyncio.Event()
    server = hanging(started, trail)
    async with LocalMesh([server]) as mesh:
        call = asyncio.ensure_future(server.call("hang"))
        await started.wait()
        await server.stop()
        mesh._running.remove(server)
        (told,) = await asyncio.gather(call, return_exceptions=True)
        assert isinstance(told, mpreg.ConnectionLostError)
        assert trail == ["handler", "lifespan"]


async def _is_draining(node: mpreg.Node) -> bool:
    try:
        await node.remote("slow", wait=0, retries=0, timeout=0.05)()
    except (mpreg.FunctionNotFoundError, mpreg.OverloadedError):
        return True
    except mpreg.DeadlineExceededError:
        return False
    raise AssertionError("it cannot have ended")


def hanging(started: asyncio.Event, trail: list[str]) -> mpreg.Node:
    """A node whose drain is short, whose function never ends by itself, and whose lifespan is watched."""

    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        yield
        trail.append("lifespan")

    server = mpreg.Node("server", config=mpreg.Config(drain_timeout=0.1), lifespan=lifespan)

    @server.function
    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            trail.append("handler")

    return server


async def stopped_with_a_call_under_way(make: Callable[..., LocalMesh], trail: list[str]) -> BaseException:
    started = asyncio.Event()
    server = hanging(started, trail)
    async with make([mpreg.Node("caller"), server]) as mesh:
        call = asyncio.ensure_future(mesh.nodes[0].call("hang"))
        await started.wait()
        await server.stop()
        mesh._running.remove(server)
        (told,) = await asyncio.gather(call, return_exceptions=True)
        await wait_for(lambda: len(trail) == 2)
        return told


async def test_a_call_that_outlasts_the_drain_is_cancelled(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    trail: list[str] = []
    told = await stopped_with_a_call_under_way(mpreg_mesh, trail)
    assert isinstance(told, mpreg.MpregError)
    assert told.executed in ("yes", "unknown")
    assert sorted(trail) == ["handler", "lifespan"]


async def test_handlers_cancelled_by_the_drain_end_before_the_lifespan(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    trail: list[str] = []
    await stopped_with_a_call_under_way(mpreg_mesh, trail)
    assert trail == ["handler", "lifespan"]
