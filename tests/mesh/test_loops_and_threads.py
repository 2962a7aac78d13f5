"""The same client from every kind of loop and from plain threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from typing import TYPE_CHECKING

import pytest
import uvloop

import mpreg
from mpreg.testing import LocalMesh, local_node, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from ways import Way

LOOPS = {
    "asyncio": lambda main: asyncio.run(main()),
    "debug": lambda main: asyncio.run(main(), debug=True),
    "uvloop": lambda main: uvloop.run(main()),
}


async def double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


async def fail(x: int) -> int:
    raise ValueError(x)


@contextlib.asynccontextmanager
async def meshed() -> AsyncIterator[tuple[LocalMesh, mpreg.Client]]:
    async with LocalMesh(nodes=2) as mesh:
        for function in (double, fail):
            mesh.nodes[1].function(function.__name__)(function)
        await mesh.nodes[0].wait_for("fail")
        await mesh.nodes[0].wait_for("double")
        async with mesh.connect() as client:
            yield mesh, client


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable:
    """Runs a coroutine function on a loop of its own."""
    return LOOPS[request.param]


def test_every_way_to_wait(run: Callable) -> None:
    async def main() -> None:
        async with meshed() as (mesh, client):
            for caller in (mesh.nodes[1], mesh.nodes[0], client):
                assert await caller.call("double", 1) == 2
                assert await asyncio.gather(*(caller.call("double", x) for x in range(50))) == list(range(0, 100, 2))
                assert await asyncio.wait_for(caller.call("double", 2), 5) == 4
                assert await asyncio.create_task(caller.call("double", 3)) == 6
                assert await asyncio.shield(caller.call("double", 4)) == 8
                assert sorted([await each for each in asyncio.as_completed([caller.call("double", 5)])]) == [10]
                async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                    tasks = [group.create_task(caller.call("double", x)) for x in range(10)]
                assert [task.result() for task in tasks] == list(range(0, 20, 2))
                done, _ = await asyncio.wait([asyncio.ensure_future(caller.call("double", 7))])
                assert [task.result() for task in done] == [14]
                results = await asyncio.gather(caller.call("fail", 1), caller.call("double", 1), return_exceptions=True)
                assert isinstance(results[0], ValueError)
                assert results[1] == 2

    run(main)


def test_a_failing_call_ends_its_task_group(run: Callable) -> None:
    async def main() -> None:
        async with meshed() as (mesh, client):
            hung = asyncio.Event()
            gone = asyncio.Event()

            @mesh.nodes[1].function
            async def hang() -> None:
                hung.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    gone.set()

            async def late() -> None:
                await hung.wait()
                await client.call("fail", 3)

            async def together() -> None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(client.call("hang"))
                    group.create_task(late())

            with pytest.raises(ExceptionGroup) as told:
                await together()
            assert [str(error) for error in told.value.exceptions] == ["3"]
            await asyncio.wait_for(gone.wait(), 5)

    run(main)


def test_wait_for_in_vain_cancels(run: Callable) -> None:
    async def main() -> None:
        async with meshed() as (mesh, client):
            gone = asyncio.Event()

            @mesh.nodes[1].function
            async def hang() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    gone.set()

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.call("hang"), 0.1)
            await asyncio.wait_for(gone.wait(), 5)

    run(main)


def test_a_node_may_be_started_again_on_another_loop(run: Callable) -> None:
    node = mpreg.Node("again")
    node.function(double)

    async def main() -> None:
        async with LocalMesh([node, mpreg.Node("caller")]) as mesh:
            assert await mesh.nodes[1].call(double, 4) == 8
            assert await node.call(double, 4) == 8

    for _ in range(3):
        run(main)


async def test_one_client_serves_several_loops(far: Way) -> None:
    far.function(double)
    await far.caller.wait_for("double")

    def in_a_thread(start: int) -> list[int]:
        async def main() -> list[int]:
            calls = (far.caller.call("double", x) for x in range(start, start + 20))
            one = await far.caller.call("double", start)
            return [one, *await asyncio.gather(*calls)]

        return (uvloop.run if start % 2 else asyncio.run)(main())

    loop = asyncio.get_running_loop()
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        results = await asyncio.gather(*(loop.run_in_executor(threads, in_a_thread, x) for x in range(4)))
    assert results == [[2 * x, *(2 * y for y in range(x, x + 20))] for x in range(4)]


async def test_many_calls_and_big_ones_do_not_block_each_other(far: Way) -> None:
    far.function(double)
    far.server.function("size", inline=True)(len)
    await far.caller.wait_for("size")
    big = far.caller.call("size", bytes(8_000_000))
    small = await asyncio.gather(*(far.caller.call("double", x) for x in range(2_000)))
    assert small == [2 * x for x in range(2_000)]
    assert await big == 8_000_000


@pytest.fixture
def served() -> Iterator[mpreg.Node]:
    """A node in a thread of its own, on TCP."""
    from mpreg.testing import child_environment

    config = mpreg.Config(secret_file=child_environment()["MPREG_SECRET_FILE"])
    node = mpreg.Node("served", instance="a", config=config)
    node.function(double)
    node.function(fail)
    with node.running():
        yield node


def sync_client(node: mpreg.Node) -> mpreg.SyncClient:
    return mpreg.SyncClient(node.address, config=node._config)


def test_a_blocking_client_has_the_same_verbs(served: mpreg.Node) -> None:
    with sync_client(served) as client:
        assert client.entry == "default/served/a"
        assert client.call(double, 2) == 4
        assert client.call("double", 2) == 4
        assert client.remote(double, timeout=5.0)(3) == 6
        assert list(client.map(double, range(100), concurrency=8)) == [2 * x for x in range(100)]
        assert sorted(client.map("double", range(100), ordered=False)) == [2 * x for x in range(100)]
        assert [o.ok for o in client.map(fail, [1], errors="yield")] == [False]
        outcomes = client.map(double, [1, 2], errors="yield")
        assert [(o.value, o.node) for o in outcomes] == [(2, client.entry), (4, client.entry)]
        assert [o.value for o in client.remote(double).call_all(5)] == [10]
        assert client.submit(double, 6).result() == 12
        with pytest.raises(ValueError, match="7"):
            client.call(fail, 7)
        with pytest.raises(ValueError, match="8"):
            client.submit(fail, 8).result()
        assert [entry.name for entry in client.catalog()] == ["double", "fail"]
        assert client.describe("double").versions == ("1.0.0",)
        assert client.explain("double").chosen == "default/served/a"
        assert [member.id for member in client.members()] == ["served/a"]
        client.wait_for("double")
        with client.watch("d*", existing=True) as changes:
            assert next(changes).entry.name == "double"
        with pytest.raises(mpreg.FunctionNotFoundError, match="double"):
            client.remote("duoble", wait=0)()
    with pytest.raises(mpreg.ConnectionLostError, match="closed"):
        client.call(double, 1)
    client.close()


def test_a_blocking_client_serves_many_threads(served: mpreg.Node) -> None:
    with sync_client(served) as client, concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda x: client.call("double", x), range(200))) == [2 * x for x in range(200)]


def test_a_blocking_call_keeps_its_deadline_and_cancelling_its_future_cancels(served: mpreg.Node) -> None:
    started, gone = threading.Event(), threading.Event()

    @served.function
    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    with sync_client(served) as client:
        with pytest.raises(mpreg.DeadlineExceededError):
            client.remote(hang, timeout=0.1)()
        assert gone.wait(5)
        started.clear()
        gone.clear()
        future = client.submit(hang)
        assert started.wait(5)
        future.cancel()
        assert gone.wait(5)


async def test_a_blocking_client_is_refused_where_it_would_stop_the_node(far: Way) -> None:
    @far.function
    async def wrong() -> str:
        with pytest.raises(mpreg.ConfigError, match="block the event loop"):
            mpreg.SyncClient(far.server.address, config=far.mesh.config)
        return "refused"

    assert await far.caller.call(wrong) == "refused"


async def test_a_loop_whose_nodes_have_stopped_may_wait_again(served: mpreg.Node) -> None:
    """A notebook's loop outlives its nodes."""
    async with local_node("cell") as first:
        async with local_node("another"):
            pass
        with pytest.raises(mpreg.ConfigError, match=r"node.running\(\) would block .*use `await`"), first.running():
            pass
    async with LocalMesh(1) as mesh:
        await mesh.kill(0)
    with sync_client(served) as client:
        assert client.call("double", 4) == 8
        assert list(client.map("double", [1, 2])) == [2, 4]


async def test_ctx_sync_works_in_a_thread_and_is_refused_on_the_loop(far: Way) -> None:
    far.mesh.nodes[0].function(double)
    await far.server.wait_for("double")

    @far.function
    def in_a_thread(ctx: mpreg.Context, x: int) -> int:
        return ctx.sync.call("double", x) + ctx.sync.call(double, x)

    @far.function
    async def on_the_loop(ctx: mpreg.Context) -> str:
        with pytest.raises(mpreg.ConfigError, match=r"await ctx\.node"):
            _ = ctx.sync
        return "refused"

    assert await far.caller.call(in_a_thread, 5) == 20
    assert await far.caller.call(on_the_loop) == "refused"


async def test_a_thread_calls_its_own_node(far: Way) -> None:
    far.function(double)

    @far.function
    def twice(ctx: mpreg.Context, x: int) -> int:
        return ctx.sync.call("double", ctx.sync.call("double", x))

    assert await asyncio.gather(*(far.caller.call(twice, x) for x in range(100))) == [4 * x for x in range(100)]


async def test_a_handler_calls_itself_down_to_the_ground(far: Way) -> None:
    @far.function
    async def down(ctx: mpreg.Context, n: int) -> int:
        return n if n == 0 else 1 + await ctx.node.call(down, n - 1)

    assert await far.caller.call(down, 50) == 50


async def test_registering_from_a_thread(far: Way) -> None:
    await asyncio.to_thread(far.server.function("late"), double)
    assert await far.caller.call("late", 2) == 4
    await asyncio.to_thread(far.server.remove, "late")
    await wait_for(lambda: _is_gone(far.caller, "late"))


async def _is_gone(caller: mpreg.Client | mpreg.Node, name: str) -> bool:
    return not await caller.catalog(function=name)
