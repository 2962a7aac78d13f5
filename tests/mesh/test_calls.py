"""Calling through a real mesh: the verbs, from every place a caller can stand at."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ways import Way

    from mpreg.testing import LocalMesh


async def test_every_kind_of_function_by_object_and_by_name(way: Way) -> None:
    threads = set()

    @way.function
    async def on_the_loop(a: int, b: int = 2, *, c: int = 3) -> tuple[int, ...]:
        threads.add(threading.current_thread())
        return a, b, c

    @way.function
    def in_a_thread(a: int, b: int = 2, *, c: int = 3) -> tuple[int, ...]:
        threads.add(threading.current_thread())
        return a, b, c

    @way.function(inline=True)
    def inline(a: int, b: int = 2, *, c: int = 3) -> tuple[int, ...]:
        threads.add(threading.current_thread())
        return a, b, c

    for function, own_thread in ((on_the_loop, False), (in_a_thread, True), (inline, False)):
        threads.clear()
        assert await way.caller.call(function, 1) == (1, 2, 3)
        assert await way.caller.call(function, 1, b=5, c=6) == (1, 5, 6)
        assert await way.caller.call(function.__name__, 1, 4) == (1, 4, 3)
        assert (threading.main_thread() not in threads) == own_thread


async def test_every_shape_of_parameters(way: Way) -> None:
    @way.function
    def everything(first, /, second=2, *rest, third, fourth=4, **more):
        return [first, second, list(rest), third, fourth, more]

    @way.function
    def nothing():
        return None

    call = way.caller.call
    assert await call(everything, 1, third=3) == [1, 2, [], 3, 4, {}]
    assert await call(everything, 1, 2, 3, 4, third=5, fourth=6, first=7) == [1, 2, [3, 4], 5, 6, {"first": 7}]
    assert await call("nothing") is None


async def test_a_keyword_of_the_call_goes_to_the_function_whatever_it_is_called(way: Way) -> None:
    @way.function
    async def options(**given: int) -> dict[str, int]:
        return given

    given = {"timeout": 1, "retries": 2, "version": 3, "self": 4, "fn": 5, "target": 6, "name": 7}
    assert await way.caller.call(options, **given) == given
    assert await way.caller.remote(options)(**given) == given


async def test_a_function_learns_about_its_call(way: Way) -> None:
    @way.function
    async def who(ctx: mpreg.Context, more: int) -> dict:
        return {
            "call_id": ctx.call_id, "function": ctx.function, "caller": ctx.caller, "cluster": ctx.cluster,
            "path": list(ctx.path), "metadata": dict(ctx.metadata), "remaining": ctx.remaining, "node": ctx.node.id,
            "cancelled": ctx.cancelled, "more": more,
        }  # fmt: skip

    told = await way.caller.remote(who, timeout=5.0, metadata={"tenant": "a"})(3)
    assert 0 < told.pop("remaining") <= 5.0
    assert told.pop("call_id")
    caller = told.pop("caller")
    if isinstance(way.caller, mpreg.Node):
        assert caller == f"default/{way.caller.id}"
    else:
        assert caller.startswith("default/")
    assert told == {
        "function": "who", "cluster": "default", "path": [], "metadata": {"tenant": "a"}, "node": way.server.id,
        "cancelled": False, "more": 3,
    }  # fmt: skip


async def test_a_thread_has_a_context_too_and_two_calls_have_two_ids(far: Way) -> None:
    @far.function
    def who(ctx: mpreg.Context) -> str:
        return ctx.call_id

    assert len({await far.caller.call(who) for _ in range(3)}) == 3


async def test_lifespan_state_reaches_the_function(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    trail = []

    @contextlib.asynccontextmanager
    async def open_pool() -> AsyncIterator[str]:
        trail.append("entered")
        yield "pool"
        trail.append("left")

    node = mpreg.Node("a", lifespan=open_pool)

    @node.function
    async def state(ctx: mpreg.Context) -> str:
        trail.append("called")
        return ctx.state

    async with mpreg_mesh([node, mpreg.Node("b")]) as mesh:
        assert await mesh.nodes[1].call(state) == "pool"
    assert trail == ["entered", "called", "left"]


async def test_versions_choose(way: Way) -> None:
    for version in ("1.0.0", "1.4.0", "2.0.0", "3.0.0-rc.1"):
        way.server.function("f", version=version)(lambda version=version: version)

    @way.function("g", version="1.2.0")
    def g() -> str:
        return "1.2.0"

    @way.function("g", version="2.0.0")
    def g_later() -> str:
        return "2.0.0"

    async def asked(version: str) -> str:
        return await way.caller.remote("f", version=version)()

    # Versions leave their node one after the other.
    await way.caller.wait_for("f", version=">=3.0.0-rc.1")
    await way.caller.wait_for("g", version=">=2")
    assert await way.caller.call("f") == "2.0.0"
    assert await asked("*") == "2.0.0"
    assert await asked("^1") == "1.4.0"
    assert await asked(">=1.0, <1.4") == "1.0.0"
    assert await asked("1.0") == "1.0.0"
    assert await asked("==1.4.0") == "1.4.0"
    assert await asked("~=1.0") == "1.4.0"
    assert await asked("!=2.0.0") == "1.4.0"
    assert await asked(">=3.0.0-rc.1") == "3.0.0-rc.1"
    assert await way.caller.call(g) == "1.2.0"
    assert await way.caller.call("g") == "2.0.0"


async def test_resources_choose(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    nodes = [mpreg.Node(name, resources={name}) for name in ("cpu", "gpu")]
    for node in nodes:
        node.function("where", resources={"data"})(lambda node=node: node.name)
    async with mpreg_mesh([*nodes, mpreg.Node("caller")]) as mesh:
        caller = mesh.nodes[2]
        await caller.wait_for("where", nodes=2)
        for name in ("cpu", "gpu"):
            assert {await caller.remote("where", resources={name, "data"})() for _ in range(8)} == {name}
        assert {await caller.call("where") for _ in range(64)} == {"cpu", "gpu"}
        with pytest.raises(mpreg.FunctionNotFoundError, match="tpu"):
            await caller.remote("where", resources={"tpu"}, wait=0)()


async def test_a_declaration_is_called_without_its_implementation(far: Way) -> None:
    api = mpreg.Functions(prefix="shop.")

    @api.function
    async def score(rows: list[float]) -> float:
        raise NotImplementedError

    @far.function(implements=score)
    async def anything(rows: list[float]) -> float:
        return sum(rows)

    assert await far.caller.call(score, [1.0, 2.0]) == 3.0
    with pytest.raises(mpreg.ConfigError, match="does not implement"):

        @far.function(implements=score)
        async def other(rows: list[int]) -> float:
            return 0.0


async def test_call_all_answers_for_each_node(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=4) as mesh:
        for number, node in enumerate(mesh.nodes[:3]):

            @node.function("clear")
            async def clear(what: str, number: int = number) -> str:
                if number == 2:
                    raise LookupError(what)
                return what.upper()

        caller = mesh.nodes[3]
        await caller.wait_for("clear", nodes=3)
        async with mesh.connect(caller) as client:
            for each in (caller, client):
                outcomes = {outcome.node: outcome for outcome in await each.remote("clear").call_all("all")}
                assert set(outcomes) == {f"default/{node.id}" for node in mesh.nodes[:3]}
                failed = outcomes.pop(f"default/{mesh.nodes[2].id}")
                assert isinstance(failed.error, LookupError)
                assert isinstance(failed.error, mpreg.RemoteError)
                assert [outcome.value for outcome in outcomes.values()] == ["ALL", "ALL"]
                with pytest.raises(LookupError):
                    _ = failed.value
        with pytest.raises(mpreg.FunctionNotFoundError):
            await caller.remote("nobody.offers", wait=0).call_all()


async def test_calls_that_end_as_they_begin_each_end(mpreg_node: Callable) -> None:
    async with mpreg_node() as node:
        # Each gets the place that the one before it had, whose error nobody has fetched yet.
        calls = [node.remote("nobody.offers", wait=0)(number) for number in range(5)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [mpreg.FunctionNotFoundError] * 5


async def test_map_in_order_as_done_and_with_kwargs(way: Way) -> None:
    @way.function
    async def double(x: int, *, plus: int = 0) -> int:
        return 2 * x + plus

    items = range(300)
    expected = [2 * x for x in items]
    assert [r async for r in way.caller.map(double, items, concurrency=16)] == expected
    assert sorted([r async for r in way.caller.map("double", items, ordered=False)]) == expected
    assert [r async for r in way.caller.map(double, [1, 2], kwargs={"plus": 1})] == [3, 5]
    assert [r async for r in way.caller.map(way.caller.remote(double, timeout=5.0), [1])] == [2]

    async def source() -> AsyncIterator[int]:
        for x in items:
            yield x

    mapped = way.caller.map(double, source())
    assert (mapped.done, mapped.total) == (0, None)
    assert [r async for r in mapped] == expected
    assert mapped.done == 300
    assert way.caller.map(double, items).total == 300


async def test_a_map_yields_or_raises_errors(way: Way) -> None:
    @way.function
    async def odd(x: int) -> int:
        if x % 2 == 0:
            raise ValueError(x)
        return x

    outcomes = [o async for o in way.caller.map(odd, range(6), errors="yield")]
    assert [o.ok for o in outcomes] == [False, True] * 3
    assert all(isinstance(o.error, ValueError) for o in outcomes[::2])
    assert {o.node for o in outcomes} == {f"default/{way.server.id}"}
    unordered = [o async for o in way.caller.map(odd, [1, 2], errors="yield", ordered=False)]
    assert {o.node for o in unordered} == {f"default/{way.server.id}"}
    assert {o.node for o in await way.caller.remote(odd).call_all(1)} == {f"default/{way.server.id}"}
    results = way.caller.map(odd, [1, 3, 4, 5])
    assert [await anext(results), await anext(results)] == [1, 3]
    with pytest.raises(ValueError, match="4") as told:
        await anext(results)
    assert str(told.value) == "4"


async def test_leaving_a_map_cancels_what_is_under_way(far: Way) -> None:
    running, cancelled = set(), set()

    @far.function
    async def hang(x: int) -> int:
        if x == 0:
            return x
        running.add(x)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.add(x)
            raise

    async with far.caller.map(hang, range(100), concurrency=8) as results:
        async for r in results:
            assert r == 0
            await wait_for(lambda: len(running) >= 7, timeout=2.0)
            break
    await wait_for(lambda: running and cancelled == running)
    assert len(running) <= 9


async def test_a_map_reads_only_as_fast_as_results_leave(far: Way) -> None:
    read = 0

    @far.function
    async def same(x: int) -> int:
        return x

    def endless():
        nonlocal read
        while True:
            read += 1
            yield read

    async with far.caller.map(same, endless(), concurrency=4) as results:
        async for r in results:
            assert read <= r + 8
            if r == 100:
                break


async def test_async_handlers_run_side_by_side(way: Way) -> None:
    running, go = set(), asyncio.Event()

    @way.function
    async def wait(x: int) -> int:
        running.add(x)
        await go.wait()
        return x

    calls = [way.caller.call(wait, x) for x in range(20)]
    try:
        await wait_for(lambda: len(running) == 20, timeout=2.0)
    finally:
        go.set()
    assert await asyncio.gather(*calls) == list(range(20))


async def test_a_call_dropped_unawaited_warns_and_is_cancelled(way: Way) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    @way.function
    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    calls = [way.caller.call(hang)]
    await started.wait()
    with pytest.warns(RuntimeWarning, match="never awaited"):
        calls.clear()
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_call_of_a_function_that_was_removed_meanwhile_is_cancelled(way: Way) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    @way.function
    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    call = asyncio.ensure_future(way.caller.call(hang))
    await started.wait()
    way.server.remove("hang")
    call.cancel()
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_call_is_awaited_once(far: Way) -> None:
    far.server.function("f")(lambda: 1)
    call = far.caller.call("f")
    assert await call == 1
    with pytest.raises(RuntimeError, match="await"):
        await call


async def test_function_objects_that_stand_for_nothing_are_refused_before_any_io(far: Way) -> None:
    def plain() -> int:
        return 1

    with pytest.raises(mpreg.ConfigError, match="mark it with"):
        far.caller.call(plain)
    far.server.function("one.name")(plain)
    far.server.function("another.name")(plain)
    with pytest.raises(mpreg.ConfigError, match=r"another\.name, one\.name"):
        far.caller.call(plain)
    with pytest.raises(mpreg.ConfigError, match="cannot be called"):
        far.caller.call(3)
    assert await far.caller.call("one.name") == 1


async def test_bound_methods_and_callable_objects_are_functions(far: Way) -> None:
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def add(self, by: int) -> int:
            self.n += by
            return self.n

    counter = Counter()
    far.server.function(counter.add)
    assert await far.caller.call(counter.add, 2) == 2
    assert await far.caller.call("add", 3) == 5


async def test_functions_with_scope_local_are_called_by_their_own_node_only(way: Way) -> None:
    way.server.function("mine", scope="local")(lambda: 1)
    way.server.function("ours", scope="cluster")(lambda: 2)
    assert await way.caller.call("ours") == 2
    assert await way.server.call("mine") == 1
    if way.caller is not way.server:
        with pytest.raises(mpreg.FunctionNotFoundError):
            await way.caller.remote("mine", wait=0)()
