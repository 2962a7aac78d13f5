"""`stats()`: what the nodes of a real mesh have done, asked from every place."""

from __future__ import annotations

import asyncio

import pytest
from ways import Way

import mpreg
from mpreg.testing import LocalMesh, wait_for


async def of(way: Way, name: str) -> mpreg.FunctionStats:
    by_node = {stats.node: stats for stats in await way.caller.stats()}
    found = [each for each in by_node[f"default/{way.server.id}"].functions if each.name == name]
    return found[0] if found else mpreg.FunctionStats(name=name, version="1.0.0")


async def all_of(way: Way) -> list[mpreg.NodeStats]:
    """A node that has just joined is asked a few milliseconds later."""

    async def three() -> bool:
        return len(await way.caller.stats()) == 3

    await wait_for(three)
    return await way.caller.stats()


async def test_calls_and_errors_are_counted_where_they_ran(way: Way) -> None:
    @way.function("good")
    async def good(x: int) -> int:
        return x

    @way.function("bad")
    def bad(x: int) -> int:
        raise ValueError(x)

    await way.caller.wait_for("bad")
    for x in range(3):
        await way.caller.call("good", x)
        with pytest.raises(ValueError, match=str(x)):
            await way.caller.call("bad", x)
    with pytest.raises(TypeError):
        await way.caller.call("good", 1, 2, 3)
    seen = await of(way, "good")
    assert (seen.calls, seen.errors, seen.in_flight) == (4, 1, 0)
    assert sum(count for _, count in seen.times) == 4
    assert 0 < seen.quantile(0.5) <= seen.quantile(0.99)
    assert seen.seconds > 0
    assert ((await of(way, "bad")).calls, (await of(way, "bad")).errors) == (3, 3)
    others = [stats for stats in await all_of(way) if stats.node != f"default/{way.server.id}"]
    assert len(others) == 2
    assert all(stats.functions == () and stats.error is None for stats in others)


async def test_calls_that_run_and_those_that_wait_are_seen(way: Way) -> None:
    go, running = asyncio.Event(), asyncio.Event()

    @way.function("held", concurrency=1)
    async def held() -> None:
        running.set()
        await go.wait()

    await way.caller.wait_for("held")
    calls = [asyncio.ensure_future(way.caller.call("held")) for _ in range(3)]
    await running.wait()

    async def two_wait() -> bool:
        return [s.queued for s in await way.caller.stats() if s.node == f"default/{way.server.id}"] == [2]

    await wait_for(two_wait)
    seen = await of(way, "held")
    assert (seen.in_flight, seen.calls) == (1, 0)
    go.set()
    await asyncio.gather(*calls)
    assert (await of(way, "held")).calls == 3


async def test_a_cancelled_call_is_one_that_gave_no_value(far: Way) -> None:
    running, ended = asyncio.Event(), asyncio.Event()

    @far.function("held")
    async def held() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await far.caller.wait_for("held")
    call = asyncio.ensure_future(far.caller.call("held"))
    await running.wait()
    call.cancel()
    await ended.wait()

    async def counted() -> bool:
        seen = await of(far, "held")
        return (seen.calls, seen.errors, seen.in_flight) == (1, 1, 0)

    await wait_for(counted)


async def test_streams_and_steps_of_graphs_are_calls(way: Way) -> None:
    @way.function("items")
    async def items(stop: int):
        for number in range(stop):
            yield number

    @way.function("twice")
    async def twice(x: int) -> int:
        return 2 * x

    await way.caller.wait_for("twice")
    assert [item async for item in way.caller.stream("items", 3)] == [0, 1, 2]
    assert await way.caller.run(way.caller.step("twice", way.caller.step("twice", 1))) == 4
    assert (await of(way, "twice")).calls == 2

    async def counted() -> bool:
        return ((await of(way, "items")).calls, (await of(way, "items")).errors) == (1, 0)

    await wait_for(counted)


async def test_connections_are_told_with_their_round_trip(way: Way) -> None:
    await all_of(way)

    async def measured() -> bool:
        return all(link.round_trip for stats in await way.caller.stats() for link in stats.connections)

    await wait_for(measured)
    labels = {f"default/{node.id}" for node in way.mesh.nodes}
    for stats in await way.caller.stats():
        assert {link.node for link in stats.connections} == labels - {stats.node}
    clients = sum(stats.clients for stats in await way.caller.stats())
    assert clients == (1 if way.name.startswith("client") else 0)


async def test_a_node_that_does_not_answer_in_time_says_so() -> None:
    async with LocalMesh(nodes=3) as mesh, mesh.connect(0) as client:
        await mesh.converged()
        await all_of(Way(mesh, mesh.nodes[2], client, "client"))
        mesh.pause(2)
        try:
            seen = {stats.node: stats for stats in await client.stats(timeout=0.2)}
        finally:
            mesh.resume(2)
        silent = seen.pop(f"default/{mesh.nodes[2].id}")
        assert "200ms passed" in silent.error
        assert [stats.error for stats in seen.values()] == [None, None]


async def test_a_node_that_has_left_is_not_asked() -> None:
    async with LocalMesh(nodes=3) as mesh, mesh.connect(0) as client:
        await mesh.converged()
        await all_of(Way(mesh, mesh.nodes[2], client, "client"))
        await mesh.nodes[2].stop()

        async def gone() -> bool:
            return len(await client.stats()) == 2

        await wait_for(gone)


def test_the_blocking_surface_has_it_too() -> None:
    node = mpreg.Node("alone")
    node.function("f")(lambda: 1)
    with node.running() as mesh, mpreg.SyncClient(node.address) as client:
        assert client.call("f") == 1
        for caller in (mesh, client):
            (stats,) = caller.stats()
            assert [(each.name, each.calls) for each in stats.functions] == [("f", 1)]


async def test_a_timeout_that_is_none_is_refused() -> None:
    async with mpreg.Node("alone") as node:
        with pytest.raises(mpreg.ConfigError, match="timeout"):
            await node.stats(timeout=0)
