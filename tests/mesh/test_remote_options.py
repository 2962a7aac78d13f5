"""The keywords of `remote(...)`, deadlines, cancelling, and what calls inside a function inherit."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from ways import Way

    from mpreg.testing import LocalMesh


@dataclasses.dataclass
class Point:
    x: int
    name: str


class Hanging:
    """A function that hangs until it is cancelled, and what became of its calls."""

    def __init__(self, way: Way, **options: object) -> None:
        self.started, self.cancelled = 0, 0

        @way.server.function("hang", **options)
        async def hang() -> None:
            self.started += 1
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise


async def test_a_timeout_ends_the_call_and_cancels_the_function(way: Way) -> None:
    hanging = Hanging(way)
    started = time.monotonic()
    with pytest.raises(mpreg.DeadlineExceededError) as told:
        await way.caller.remote("hang", timeout=0.2)()
    assert 0.15 < time.monotonic() - started < 2.0
    assert isinstance(told.value, TimeoutError)
    assert (told.value.code, told.value.executed, told.value.attempts) == ("deadline_exceeded", "yes", 1)
    await wait_for(lambda: hanging.cancelled == 1)
    assert hanging.started == 1


async def test_the_timeout_of_the_function_cuts_the_callers(way: Way) -> None:
    Hanging(way, timeout=0.1)
    started = time.monotonic()
    with pytest.raises(mpreg.DeadlineExceededError):
        await way.caller.remote("hang", timeout=20.0)()
    assert time.monotonic() - started < 2.0


async def test_cancelling_the_awaiting_task_cancels_the_function(way: Way) -> None:
    hanging = Hanging(way)

    async def outer() -> None:
        await way.caller.call("hang")

    task = asyncio.create_task(outer())
    await wait_for(lambda: hanging.started == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_for(lambda: hanging.cancelled == 1)


async def test_a_thread_sees_that_its_call_was_cancelled(way: Way) -> None:
    seen, started = threading.Event(), threading.Event()

    @way.function
    def busy(ctx: mpreg.Context) -> None:
        started.set()
        end = time.monotonic() + 10
        while not ctx.cancelled and time.monotonic() < end:
            threading.Event().wait(0.002)
        with pytest.raises(mpreg.CancelledByPeerError):
            ctx.check()
        seen.set()

    task = asyncio.ensure_future(way.caller.call(busy))
    await wait_for(started.is_set)
    task.cancel()
    await wait_for(seen.is_set)


async def test_a_client_that_goes_away_cancels_its_calls(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    from ways import opened

    async with mpreg_mesh(nodes=3) as mesh:
        for name in ("client of the callee", "client of another node"):
            async with opened(mesh, name) as way:
                hanging = Hanging(way)
                task = asyncio.ensure_future(way.caller.call("hang"))
                await wait_for(lambda hanging=hanging: hanging.started == 1)
            with pytest.raises(mpreg.ConnectionLostError, match="closed"):
                await task
            await wait_for(lambda hanging=hanging: hanging.cancelled == 1)
            mesh.nodes[1].remove("hang")


async def test_a_member_that_dies_cancels_its_calls(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    from ways import opened

    async with mpreg_mesh(nodes=3) as mesh, opened(mesh, "member") as way:
        hanging = Hanging(way)
        task = asyncio.ensure_future(way.caller.call("hang"))
        await wait_for(lambda: hanging.started == 1)
        await mesh.kill(2)
        await wait_for(lambda: hanging.cancelled == 1)
        with pytest.raises(mpreg.ConnectionLostError):
            await task


async def test_wait_covers_a_function_that_comes_soon_and_is_kept_short_when_asked(way: Way) -> None:
    call = asyncio.ensure_future(way.caller.remote("late", wait=5.0)())
    with pytest.raises(mpreg.FunctionNotFoundError, match="late"):
        await way.caller.remote("late", wait=0)()
    assert not call.done()
    way.server.function("late")(lambda: 1)
    assert await call == 1


async def test_a_wait_ends_with_the_deadline(far: Way) -> None:
    started = time.monotonic()
    with pytest.raises((mpreg.FunctionNotFoundError, mpreg.DeadlineExceededError)) as told:
        await far.caller.remote("never", wait=20.0, timeout=0.1)()
    assert time.monotonic() - started < 2.0
    assert told.value.executed == "no"


async def test_sticky_calls_stay_with_one_node(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=4) as mesh:
        for node in mesh.nodes[:3]:
            node.function("who")(lambda node=node: node.id)
        caller = mesh.nodes[3]
        await caller.wait_for("who", nodes=3)
        async with mesh.connect(caller) as client:
            homes = set()
            for key in range(30):
                home = await caller.remote("who", sticky=key)()
                homes.add(home)
                assert {await caller.remote("who", sticky=key)() for _ in range(3)} == {home}
                assert await client.remote("who", sticky=str(key))() == home
            assert len(homes) == 3
            explained = await client.explain("who", sticky=7)
            assert explained.chosen == f"default/{await client.remote('who', sticky=7)()}"


async def test_returns_rebuilds_a_result_called_by_name(far: Way) -> None:
    far.server.function("point")(lambda: Point(1, "a"))
    assert await far.caller.call("point") == {"x": 1, "name": "a"}
    assert await far.caller.remote("point", returns=Point)() == Point(1, "a")
    with pytest.raises(mpreg.DecodeError, match="expected list") as told:
        await far.caller.remote("point", returns=list[int])()
    assert told.value.executed == "yes"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"timeout": 0}, "timeout"), ({"timeout": float("inf")}, "timeout"), ({"timeout": "1"}, "timeout"),
        ({"retries": -1}, "retries"), ({"wait": -1}, "wait"), ({"version": "1.x"}, "1.x"),
        ({"version": ">>1"}, ">>1"), ({"resources": "gpu"}, "one string"), ({"resources": {"G P U"}}, "G P U"),
        ({"cluster": "No Such"}, "No Such"), ({"max_hops": 99}, "max_hops"), ({"sticky": 1.5}, "sticky"),
        ({"metadata": {1: 2}}, "metadata"), ({"timout": 1}, "did you mean timeout"),
    ],
)  # fmt: skip
async def test_a_bad_option_is_named_before_any_io(options: dict, told: str) -> None:
    with pytest.raises(mpreg.ConfigError, match=told):
        mpreg.Node("a").remote("f", **options)


@pytest.mark.parametrize("name", ["", "a b", "a..b", "mpreg.", "x" * 300, "ä"])
async def test_a_bad_function_name_is_named_before_any_io(name: str) -> None:
    node = mpreg.Node("a")
    with pytest.raises(mpreg.ConfigError):
        node.call(name)
    with pytest.raises(mpreg.ConfigError):
        node.function(name)(lambda: 1)


async def test_metadata_too_large_is_refused(far: Way) -> None:
    far.server.function("f")(lambda: 1)
    with pytest.raises(mpreg.MpregError, match="metadata"):
        await far.caller.remote("f", metadata={"a": "x" * 100_000})()
    assert await far.caller.call("f") == 1


async def test_a_call_inside_a_function_inherits_deadline_and_metadata(way: Way) -> None:
    async def told(ctx: mpreg.Context) -> tuple[float, dict]:
        return ctx.remaining, dict(ctx.metadata)

    way.mesh.nodes[0].function("inner")(told)
    await way.server.wait_for("inner")

    @way.function
    async def outer(ctx: mpreg.Context) -> list:
        first = await ctx.node.call("inner")
        second = await ctx.node.remote("inner", timeout=1.0)()
        with mpreg.detached():
            third = await ctx.node.call("inner")
        return [first, second, third]

    first, second, third = await way.caller.remote(outer, timeout=5.0, metadata={"tenant": "a"})()
    assert 1.0 < first[0] <= 5.0
    assert second[0] <= 1.0
    assert third[0] > 10.0
    assert [first[1], second[1], third[1]] == [{"tenant": "a"}, {"tenant": "a"}, {}]


async def test_a_call_from_a_worker_thread_inherits_too(far: Way) -> None:
    async def told(ctx: mpreg.Context) -> tuple[float, dict]:
        return ctx.remaining, dict(ctx.metadata)

    far.mesh.nodes[0].function("inner")(told)
    await far.server.wait_for("inner")

    @far.function
    def outer(ctx: mpreg.Context) -> list:
        called = ctx.sync.call("inner")
        mapped = list(ctx.sync.map("inner", []))
        submitted = ctx.sync.submit("inner").result()
        return [called, submitted, mapped]

    called, submitted, mapped = await far.caller.remote(outer, timeout=5.0, metadata={"tenant": "a"})()
    assert called[0] <= 5.0
    assert submitted[0] <= 5.0
    assert called[1] == submitted[1] == {"tenant": "a"}
    assert mapped == []


async def test_a_detached_call_outlives_its_handler(far: Way) -> None:
    release, done = asyncio.Event(), asyncio.Event()

    @far.function
    async def slow() -> None:
        await release.wait()
        done.set()

    tasks = []

    @far.function
    async def outer(ctx: mpreg.Context) -> None:
        with mpreg.detached():
            tasks.append(asyncio.ensure_future(ctx.node.call(slow)))

    await far.caller.call(outer)
    release.set()
    await wait_for(done.is_set)
    await tasks[0]


async def test_a_deadline_cancels_the_whole_chain(far: Way) -> None:
    hanging = Hanging(far)

    @far.mesh.nodes[0].function
    async def outer(ctx: mpreg.Context) -> None:
        await ctx.node.call("hang")

    await far.mesh.nodes[0].wait_for("hang")
    with pytest.raises(mpreg.DeadlineExceededError):
        await far.caller.remote(outer, timeout=0.3)()
    await wait_for(lambda: hanging.cancelled == 1)


async def test_concurrency_of_a_function_is_kept(way: Way) -> None:
    running, most, go = 0, 0, asyncio.Event()

    @way.server.function("two", concurrency=2)
    async def two() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1

    calls = [way.caller.call("two") for _ in range(6)]
    await wait_for(lambda: running == 2)
    go.set()
    await asyncio.gather(*calls)
    assert most == 2


async def test_too_many_waiting_calls_are_overload(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    config = mpreg.Config(concurrency=1, waiting=2)
    server, caller = mpreg.Node("server", config=config), mpreg.Node("caller")
    running, go = 0, asyncio.Event()

    @server.function
    async def one() -> int:
        nonlocal running
        running += 1
        await go.wait()
        return 1

    async with mpreg_mesh([server, caller]) as mesh:
        await mesh.converged()
        handle = caller.remote("one", retries=0)
        calls = [asyncio.ensure_future(handle()) for _ in range(20)]
        await wait_for(lambda: sum(call.done() for call in calls) == 17)
        go.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [each for each in results if each != 1]
    assert len(refused) == 17
    assert all(isinstance(each, mpreg.OverloadedError) for each in refused)
    assert {(each.code, each.executed, each.retryable) for each in refused} == {("overloaded", "no", True)}


async def test_a_function_that_ignores_its_cancelling_answers_nobody_and_harms_nothing(way: Way) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    @way.function
    async def stubborn() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        ended.set()
        return "too late"

    task = asyncio.ensure_future(way.caller.call(stubborn))
    await started.wait()
    task.cancel()
    await asyncio.wait_for(ended.wait(), 5)
    way.server.function("fine")(lambda: 1)
    assert await way.caller.call("fine") == 1


async def test_threads_that_all_wait_for_their_own_node_end_instead_of_hanging(
    mpreg_mesh: Callable[..., LocalMesh],
) -> None:
    server, caller = mpreg.Node("server", config=mpreg.Config(threads=2, waiting=4)), mpreg.Node("caller")

    @server.function
    def down(ctx: mpreg.Context, n: int):
        return n if n == 0 else ctx.sync.call("down", n - 1)

    async with mpreg_mesh([server, caller]) as mesh:
        await mesh.converged()
        assert await caller.call("down", 1) == 0
        with pytest.raises((mpreg.OverloadedError, mpreg.DeadlineExceededError)):
            await caller.remote("down", timeout=1.0)(5)
        assert await caller.call("down", 1) == 0


async def test_work_whose_deadline_passed_while_it_waited_is_never_started(
    mpreg_mesh: Callable[..., LocalMesh],
) -> None:
    server, caller = mpreg.Node("server"), mpreg.Node("caller")
    started, go = [], asyncio.Event()

    @server.function("one", concurrency=1)
    async def one(x: int) -> None:
        started.append(x)
        await go.wait()

    async with mpreg_mesh([server, caller]) as mesh:
        await mesh.converged()
        first = asyncio.ensure_future(caller.call("one", 1))
        await wait_for(lambda: started)
        with pytest.raises(mpreg.DeadlineExceededError) as told:
            await caller.remote("one", timeout=0.1)(2)
        assert told.value.executed == "no"
        go.set()
        await first
        await caller.call("one", 3)
    assert started == [1, 3]
