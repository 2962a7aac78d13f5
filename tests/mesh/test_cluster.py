"""Members come, leave, die, sleep and lose each other: the catalog converges, and calls go to living candidates only."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import LocalMesh, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable


async def states(seen_by: mpreg.Node) -> dict[str, str]:
    return {member.name: member.state for member in await seen_by.members()}


async def offered(seen_by: mpreg.Node) -> set[tuple[str, str]]:
    return {(entry.name, entry.node) for entry in await seen_by.catalog()}


def offer(node: mpreg.Node, *names: str) -> None:
    for name in names:
        # Idempotent, because a call may be sent just before its node is known to be dead.
        node.function(name, idempotent=True)(lambda node=node: node.name)


async def everyone_sees(nodes: list[mpreg.Node], condition: Callable) -> None:
    """`condition(node)` is true on each of `nodes`, soon."""
    for node in nodes:
        await wait_for(lambda node=node: condition(node), what=f"seen by {node.name}")


SHAPES = [(shape, count, "memory") for shape in ("star", "ring", "chain") for count in (3, 10)]


@pytest.mark.parametrize(("shape", "count", "transport"), [*SHAPES, ("star", 10, "tcp"), ("chain", 3, "tcp")])
async def test_every_function_is_seen_and_called_everywhere(
    mpreg_mesh: Callable[..., LocalMesh], shape: str, count: int, transport: str
) -> None:
    nodes = [mpreg.Node(f"node-{number}") for number in range(count)]
    for number, node in enumerate(nodes):
        offer(node, f"before-{number}", "everywhere")
    async with mpreg_mesh(nodes, shape=shape, transport=transport) as mesh:
        for number, node in enumerate(nodes):
            offer(node, f"after-{number}")
        expected = {
            (name, f"default/{node.id}")
            for number, node in enumerate(nodes)
            for name in (f"before-{number}", f"after-{number}", "everywhere")
        }
        await everyone_sees(nodes, lambda node: _offers(node, expected))
        await mesh.converged()
        for node in nodes:
            assert set((await states(node)).values()) == {"alive"}
            calls = [node.call(f"{when}-{number}") for when in ("before", "after") for number in range(count)]
            assert await asyncio.gather(*calls) == [f"node-{number}" for number in range(count)] * 2
        async with mesh.connect(count - 1) as client:
            everyone = await client.remote("everywhere").call_all()
        assert sorted(outcome.value for outcome in everyone) == sorted(node.name for node in nodes)


async def _offers(node: mpreg.Node, expected: set[tuple[str, str]]) -> bool:
    return await offered(node) == expected


async def test_converged_waits_for_what_was_just_registered(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        for number in range(20):
            offer(mesh.nodes[1], f"f{number}")
            await mesh.converged()
            assert len(await mesh.nodes[2].catalog()) == number + 1


@pytest.mark.parametrize("shape", ["star", "ring", "chain"])
async def test_join_to_first_call_is_quick_in_every_shape(mpreg_mesh: Callable[..., LocalMesh], shape: str) -> None:
    async with mpreg_mesh(nodes=5, shape=shape) as mesh:
        await mesh.converged()
        offer(mesh.nodes[4], "f")
        await mesh.nodes[0].wait_for("f")
        late = mpreg.Node("late")
        offer(late, "g")
        started = time.monotonic()
        await mesh.add(late)
        assert await late.call("f") == "node-4"
        assert await mesh.nodes[4].call("g") == "late"
        assert time.monotonic() - started < 2.0  # the promise is 0.5 s; benchmarks measure it


async def test_functions_removed_are_gone_everywhere_and_come_back(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=4, shape="chain") as mesh:
        first, *_, last = mesh.nodes
        for _ in range(3):
            offer(last, "f")
            await first.wait_for("f")
            assert await first.call("f") == "node-3"
            last.remove("f")
            await everyone_sees(mesh.nodes, lambda node: _without(node, "f"))
            with pytest.raises(mpreg.FunctionNotFoundError):
                await first.remote("f", wait=0)()
        await mesh.converged()


async def _without(node: mpreg.Node, name: str) -> bool:
    return not await node.catalog(function=name)


async def test_many_functions_long_after_joining(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        await mesh.converged()
        offer(mesh.nodes[2], *(f"f.{number}" for number in range(2_000)))
        await wait_for(lambda: _count(mesh.nodes[1], 2_000))
        await mesh.converged()
        assert await mesh.nodes[1].call("f.1999") == "node-2"


async def _count(node: mpreg.Node, count: int, pattern: str = "f.*") -> bool:
    return len(await node.catalog(function=pattern)) == count


async def test_a_killed_node_is_down_soon_and_no_candidate(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=4) as mesh:
        for node in mesh.nodes[1:3]:
            offer(node, "f")
        offer(mesh.nodes[1], "only")
        await mesh.nodes[3].wait_for("f", nodes=2)
        await mesh.nodes[3].wait_for("only")
        survivors = [mesh.nodes[0], mesh.nodes[2], mesh.nodes[3]]
        await mesh.converged()
        await mesh.kill(1)
        started = time.monotonic()
        assert {await mesh.nodes[3].call("f") for _ in range(20)} == {"node-2"}
        await everyone_sees(survivors, lambda node: _state(node, "node-1", "down"))
        assert time.monotonic() - started < 6
        with pytest.raises(mpreg.FunctionNotFoundError):
            await mesh.nodes[3].remote("only", wait=0)()
        assert await mesh.nodes[3].catalog(function="only") == []
        await mesh.converged(timeout=1)


async def _state(seen_by: mpreg.Node, name: str, state: str) -> bool:
    return (await states(seen_by)).get(name) == state


async def test_a_killed_node_starts_again_on_its_address(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        offer(mesh.nodes[1], "f")
        await mesh.converged()
        address = mesh.nodes[1].address
        for _ in range(2):
            await mesh.kill(1)
            await mesh.start(1)
            assert mesh.nodes[1].address == address
            await mesh.converged(timeout=5)
            assert await mesh.nodes[2].call("f") == "node-1"


async def test_a_stopped_node_starts_again_on_its_address(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        offer(mesh.nodes[1], "f")
        await mesh.converged()
        address = mesh.nodes[1].address
        for _ in range(3):
            await mesh.nodes[1].stop()
            mesh._running.remove(mesh.nodes[1])
            await wait_for(lambda: _without(mesh.nodes[2], "f"))
            await mesh.start(1)
            assert mesh.nodes[1].address == address
            await mesh.converged()
            assert await mesh.nodes[2].call("f") == "node-1"


async def test_the_seed_dies_and_the_others_go_on(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=4) as mesh:
        offer(mesh.nodes[3], "f")
        await mesh.converged()
        await mesh.kill(0)
        assert await mesh.nodes[1].call("f") == "node-3"
        await mesh.converged()
        offer(mesh.nodes[2], "g")
        assert await mesh.nodes[1].call("g") == "node-2"


async def test_all_spokes_leave_and_the_hub_goes_on(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=4) as mesh:
        hub, *spokes = mesh.nodes
        offer(hub, "f")
        await mesh.converged()
        await asyncio.gather(*(spoke.stop() for spoke in spokes))
        for spoke in spokes:
            mesh._running.remove(spoke)
        await wait_for(lambda: _all_left(hub))
        assert await hub.call("f") == "node-0"


async def _all_left(hub: mpreg.Node) -> bool:
    return sorted((await states(hub)).values()) == ["alive", "left", "left", "left"]


async def test_a_short_pause_is_no_death(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        offer(mesh.nodes[1], "f")
        await mesh.nodes[0].wait_for("f")
        await mesh.converged()
        mesh.pause(1)
        end = time.monotonic() + 2.0
        await wait_for(lambda: time.monotonic() > end)
        assert "down" not in (await states(mesh.nodes[0])).values()
        mesh.resume(1)
        await mesh.converged(timeout=3)
        assert await mesh.nodes[2].call("f") == "node-1"


async def test_a_long_pause_hides_a_node_until_it_resumes(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        offer(mesh.nodes[1], "f")
        offer(mesh.nodes[0], "f")
        await mesh.converged()
        mesh.pause(1)
        await everyone_sees([mesh.nodes[0], mesh.nodes[2]], lambda node: _state(node, "node-1", "down"))
        assert {await mesh.nodes[2].call("f") for _ in range(10)} == {"node-0"}
        mesh.resume(1)
        await mesh.converged(timeout=5)
        await wait_for(lambda: _answers(mesh.nodes[2], "node-1"))


async def _answers(caller: mpreg.Node, name: str) -> bool:
    return await caller.call("f") == name


async def test_a_call_to_a_node_that_went_silent_ends_by_its_deadline(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=2) as mesh:
        offer(mesh.nodes[1], "f")
        await mesh.nodes[0].wait_for("f")
        await mesh.converged()
        mesh.pause(1)
        started = time.monotonic()
        with pytest.raises(mpreg.DeadlineExceededError) as told:
            await mesh.nodes[0].remote("f", timeout=0.3)()
        assert time.monotonic() - started < 1.5
        assert told.value.executed == "unknown"
        mesh.resume(1)
        await mesh.converged()
        assert await mesh.nodes[0].call("f") == "node-1"


async def test_a_partition_heals_and_nothing_written_meanwhile_is_lost(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=4) as mesh:
        left, right = mesh.nodes[:2], mesh.nodes[2:]
        offer(left[0], "left.before")
        offer(right[0], "right.before", "right.gone")
        await everyone_sees(mesh.nodes, lambda node: _count(node, 3, "*"))
        mesh.partition(left, right)
        await everyone_sees(left, lambda node: _offers(node, {("left.before", f"default/{left[0].id}")}))
        await mesh.converged(timeout=15)
        offer(left[1], "left.after")
        offer(right[1], "right.after")
        right[0].remove("right.gone")
        with pytest.raises(mpreg.FunctionNotFoundError):
            await left[0].remote("right.before", wait=0)()
        assert await right[1].call("right.before") == "node-2"
        mesh.heal()
        names = ("left.before", "left.after", "right.before", "right.after")
        expected = {(name, f"default/{(left if 'left' in name else right)['after' in name].id}") for name in names}
        await everyone_sees(mesh.nodes, lambda node: _offers(node, expected))
        await mesh.converged()
        for node in mesh.nodes:
            assert await node.call("left.after") == "node-1"
            assert await node.call("right.after") == "node-3"


async def test_a_slow_way_is_slow_and_no_death(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=2) as mesh:
        offer(mesh.nodes[1], "f")
        await mesh.converged()
        mesh.slow(0, 1, 100)
        started = time.monotonic()
        assert await mesh.nodes[0].call("f") == "node-1"
        assert time.monotonic() - started >= 0.19
        mesh.heal()
        assert await mesh.nodes[0].call("f") == "node-1"
        # Answers came later than probes wait for: of two nodes that makes a suspect now and then.
        assert (await states(mesh.nodes[0]))["node-1"] in ("alive", "suspect")

        async def answers_again() -> bool:
            return (await states(mesh.nodes[0]))["node-1"] == "alive"

        await wait_for(answers_again, what="node-1 is alive")


class Counted:
    """A function on two nodes that counts where it started, and hangs."""

    def __init__(self, nodes: list[mpreg.Node], *, idempotent: bool) -> None:
        self.started: list[str] = []
        self.go = asyncio.Event()
        for node in nodes:

            @node.function("work", idempotent=idempotent)
            async def work(node: mpreg.Node = node) -> str:
                self.started.append(node.name)
                await self.go.wait()
                return node.name


async def test_a_call_under_way_on_a_killed_node_is_not_repeated(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        counted = Counted(mesh.nodes[1:], idempotent=False)
        await mesh.nodes[0].wait_for("work", nodes=2)
        call = asyncio.ensure_future(mesh.nodes[0].remote("work", retries=5)())
        await wait_for(lambda: counted.started)
        await mesh.kill(next(node for node in mesh.nodes if node.name == counted.started[0]))
        with pytest.raises(mpreg.ConnectionLostError) as told:
            await call
        assert (told.value.executed in ("unknown", "yes"), told.value.retryable) == (True, False)
        assert len(counted.started) == 1


async def test_an_idempotent_call_under_way_on_a_killed_node_is_repeated_elsewhere(
    mpreg_mesh: Callable[..., LocalMesh],
) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        counted = Counted(mesh.nodes[1:], idempotent=True)
        await mesh.nodes[0].wait_for("work", nodes=2)
        async with mesh.connect(0) as client:
            call = asyncio.ensure_future(client.call("work"))
            await wait_for(lambda: counted.started)
            counted.go.set()
            await mesh.kill(next(node for node in mesh.nodes if node.name == counted.started[0]))
            assert await call == counted.started[-1]


async def test_a_client_finds_another_entry_node(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        offer(mesh.nodes[2], "f")
        await mesh.converged()
        async with mesh.connect(0, 1) as client:
            before = client.entry
            assert await client.call("f") == "node-2"
            assert before == f"default/{mesh.nodes[0].id}"
            async with client.watch("*", existing=True) as watch:
                assert (await anext(watch)).entry.name == "f"
                await mesh.kill(0)
                await wait_for(lambda: client.entry not in (None, before))
                assert await client.call("f") == "node-2"
                assert client.entry == f"default/{mesh.nodes[1].id}"
                offer(mesh.nodes[1], "g")
                change = await anext(watch)
                assert (change.what, change.entry.name) == ("added", "g")


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_call_by_a_function_object_knows_whether_it_may_be_sent_again(
    mpreg_mesh: Callable[..., LocalMesh], *, idempotent: bool
) -> None:
    """When the entry node dies with the call, its client is all that is left to know."""
    started: list[str] = []

    async def work(ctx: mpreg.Context) -> str:
        started.append(ctx.node.name)
        if len(started) == 1:
            await asyncio.Event().wait()
        return ctx.node.name

    async with mpreg_mesh(nodes=2) as mesh:
        mesh.nodes[0].function(idempotent=idempotent)(work)
        await mesh.converged()
        async with mesh.connect(0, 1) as client:
            call = asyncio.ensure_future(client.call(work))
            await wait_for(lambda: started)
            mesh.nodes[1].function(idempotent=idempotent)(work)
            await mesh.kill(0)
            if idempotent:
                assert await call == "node-1"
            else:
                with pytest.raises(mpreg.ConnectionLostError):
                    await call
    assert started == ["node-0", "node-1"][: 1 + idempotent]


async def test_a_client_waits_for_its_entry_node_to_come_back(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=1) as mesh:
        offer(mesh.nodes[0], "f")
        async with mesh.connect(0) as client:
            await mesh.nodes[0].stop()
            mesh._running.clear()
            await wait_for(lambda: client.entry is None)
            with pytest.raises(mpreg.MpregError, check=lambda error: error.executed == "no"):
                await client.remote("f", timeout=0.2)()
            call = asyncio.ensure_future(client.call("f"))
            await mesh.start(0)
            assert await call == "node-0"


async def test_nodes_of_two_clusters_do_not_see_each_other(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=4, clusters=2) as mesh:
        for node in mesh.nodes:
            offer(node, "f")
        await everyone_sees(mesh.nodes, lambda node: _count(node, 2, "*"))
        await mesh.converged()
        for node in mesh.nodes:
            assert len(await node.members()) == 2
        with pytest.raises(mpreg.NoRouteError):
            await mesh.nodes[0].remote("f", cluster="cluster-1", wait=0)()


async def test_an_unfriendly_seed_leaves_the_node_alone_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    async with LocalMesh([mpreg.Node("a", cluster="us")]) as us:
        lonely = mpreg.Node("b", cluster="eu")
        from mpreg._node import start_in
        from mpreg.testing._surroundings import surroundings

        await start_in(lonely, surroundings(), {"listen": "memory:lonely", "seeds": [us.nodes[0].address]})
        try:
            assert [member.name for member in await lonely.members()] == ["b"]
            await wait_for(lambda: '"us"' in caplog.text or "us" in caplog.text)
        finally:
            await lonely.stop()


async def test_a_fixed_instance_that_lives_is_refused_and_unharmed(
    mpreg_mesh: Callable[..., LocalMesh], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="mpreg")
    async with mpreg_mesh(nodes=2) as mesh:
        offer(mesh.nodes[1], "f")
        await mesh.add(mpreg.Node("db", instance="one"))
        await mesh.converged()
        seed, holder = mesh.nodes[0], mesh.nodes[2]

        def seed_says() -> list[str]:
            lines = [record.getMessage() for record in caplog.records]
            return [line for line in lines if f"node=default/{seed.id}" in line and "db/one" in line]

        await wait_for(lambda: any("joined" in line for line in seed_says()))
        before = len(seed_says())
        again = mpreg.Node("db", instance="one")
        with pytest.raises(mpreg.ConfigError, match="db/one") as told:
            await mesh.add(again)
        assert holder.address in str(told.value)
        mesh.nodes.remove(again)
        # One line that says who was refused and why, and none that it had joined or left.
        await wait_for(lambda: len(seed_says()) > before)
        await mesh.converged()
        (line,) = seed_says()[before:]
        assert "a newcomer was refused" in line
        assert holder.address in line
        assert await holder.call("f") == "node-1"
