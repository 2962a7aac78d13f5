"""Runs of call graphs that are watched: what is told, in which order, and how it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import mpreg
from mpreg import RunFinished, StepFailed, StepFinished, StepStarted
from mpreg.testing import wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from graph_shop import Shop
    from ways import Way


async def all_of(events: AsyncIterator[mpreg.RunEvent]) -> list[Any]:
    return [event async for event in events]


async def until_it_fails(events: AsyncIterator[mpreg.RunEvent]) -> tuple[list[Any], BaseException]:
    told: list[Any] = []
    try:
        async for event in events:
            told.append(event)  # noqa: PERF401 - what came before an error counts
    except mpreg.GraphError as error:
        return told, error
    pytest.fail(f"it did not fail: {told}")


async def test_the_steps_of_one_chain_from_every_place(way: Way) -> None:
    @way.function
    def double(x: int) -> int:
        return 2 * x

    await way.mesh.converged()
    node = f"default/{way.server.id}"
    inner = way.caller.step(double, 3)
    last = way.caller.step(double, inner)
    events = await all_of(way.caller.run_events(last))
    report = events[-1].report
    seconds = [step.seconds for step in report.steps]
    assert events == [
        StepStarted("double", node),
        StepFinished("double", node, seconds[0], None),
        StepStarted("double", node),
        StepFinished("double", node, seconds[1], 12),
        RunFinished(report),
    ]
    assert report.value(last) == 12
    assert report.critical_path == ("double", "double")


async def test_one_leaf_several_or_a_list(shop: Shop) -> None:
    raw = shop.step(shop.ingest, 1)
    clean = shop.step(shop.clean, raw)
    for asked in ((clean, raw), ([clean, raw],), ((clean, raw, clean["n"], raw),)):
        events = await all_of(shop.caller.run_events(*asked))
        report = events[-1].report
        assert report.value(raw) == b"\x01\x02\x03"
        assert report.value(clean).n == 3
        assert [(type(event), event.name) for event in events[:-1]] == [
            (StepStarted, "ingest"), (StepFinished, "ingest"), (StepStarted, "clean"), (StepFinished, "clean"),
        ]  # fmt: skip
        assert [event.value for event in events if isinstance(event, StepFinished)] == [
            report.value(raw), report.value(clean),
        ]  # fmt: skip
    (only,) = await all_of(shop.caller.run_events([]))
    assert (only.report.steps, only.report.critical_path) == ((), ())


async def test_values_are_there_for_small_results_that_were_asked_for_as_a_whole(shop: Shop) -> None:
    @shop.mesh.nodes[1].function
    def again(value: float) -> float:
        return value

    await shop.mesh.converged()
    small = shop.step(shop.give, b"x" * (60 << 10))
    large = shop.step("any", b"x" * (65 << 10))
    part = shop.step("clean", b"\x01")["n"]
    unasked = shop.step("score", [1], limit=1)
    last = shop.step("again", unasked)
    events = await all_of(shop.caller.run_events(small, large, part, last))
    values = {event.name: event.value for event in events if isinstance(event, StepFinished)}
    assert values == {"give": b"x" * (60 << 10), "any": None, "clean": None, "score": None, "again": 1.0}
    assert events[-1].report.value(large) == [b"x" * (65 << 10), {}]
    assert events[-1].report.value(part) == 1


async def test_events_come_while_the_run_goes_on(shop: Shop) -> None:
    go_on = asyncio.Event()

    @shop.mesh.nodes[2].function
    async def hold(value: int) -> int:
        await go_on.wait()
        return value

    await shop.mesh.converged()
    events = shop.caller.run_events(shop.step(hold, shop.step("add", 1, 2)))
    assert [(await anext(events)).name for _ in range(2)] == ["add", "add"]
    assert await anext(events) == StepStarted("hold", f"default/{shop.mesh.nodes[2].id}")
    go_on.set()
    assert [type(event) async for event in events] == [StepFinished, RunFinished]
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_a_run_that_fails_says_which_step_and_raises_what_run_raises(shop: Shop) -> None:
    @shop.mesh.nodes[2].function
    def fails(_after: int) -> int:
        raise ValueError("no value")

    await shop.mesh.converged()
    step = shop.step("add", shop.step(fails, shop.step("add", 1)))
    events, error = await until_it_fails(shop.caller.run_events(step))
    assert [type(event) for event in events] == [StepStarted, StepFinished, StepStarted, StepFailed]
    failed = events[-1]
    assert failed.name == "fails"
    assert isinstance(failed.error, ValueError)
    assert error.__cause__ is failed.error
    assert "step fails failed: no value" in str(error)
    with pytest.raises(mpreg.GraphError) as plain:
        await shop.run(step)
    assert str(plain.value) == str(error)
    for name in ("step", "node", "executed", "attempts", "code"):
        assert getattr(plain.value, name) == getattr(error, name)


async def test_a_step_that_nobody_offers_fails_without_a_start(shop: Shop) -> None:
    step = shop.caller.remote("nowhere", wait=0).step()
    stream = shop.caller.run_events(step)
    failed = await anext(stream)
    assert isinstance(failed, StepFailed)
    assert isinstance(failed.error, mpreg.FunctionNotFoundError)
    with pytest.raises(mpreg.GraphError, match="nowhere"):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@pytest.mark.parametrize("how", ["break", "aclose", "cancelled", "deadline", "dropped"])
async def test_leaving_the_loop_cancels_the_run(shop: Shop, how: str) -> None:
    started, cancelled, ran = asyncio.Event(), asyncio.Event(), []

    @shop.mesh.nodes[2].function
    async def hang(_value: bytes) -> bytes:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return b""

    @shop.mesh.nodes[1].function
    async def after(_value: bytes) -> None:
        ran.append(1)

    await shop.mesh.converged()
    # A large result that is held when the run ends.
    step = shop.step(after, shop.step(hang, shop.step(shop.give, bytes(1 << 20))))

    async def until_it_hangs(events: mpreg.Stream[mpreg.RunEvent]) -> None:
        async for event in events:
            if isinstance(event, StepStarted) and event.name == "hang":
                break

    events = shop.caller.run_events(step, timeout=1.0 if how == "deadline" else 60.0)
    await until_it_hangs(events)
    # It was sent, and fetches what it needs.
    await asyncio.wait_for(started.wait(), 10)
    if how == "aclose":
        await events.aclose()
        assert await all_of(events) == []
    elif how == "cancelled":
        task = asyncio.ensure_future(all_of(events))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    elif how == "deadline":
        with pytest.raises(mpreg.GraphError, match="deadline") as told:
            await all_of(events)
        assert isinstance(told.value.__cause__, mpreg.DeadlineExceededError)
    del events
    await asyncio.wait_for(cancelled.wait(), 10)
    assert ran == []


async def test_a_reader_that_is_late_loses_nothing(shop: Shop) -> None:
    """The events have more bytes than the window of a stream; the run does not wait for them."""
    ran = []

    @shop.mesh.nodes[2].function
    async def one(number: int) -> bytes:
        ran.append(number)
        return number.to_bytes(1024, "big")

    await shop.mesh.converged()
    steps = [shop.step(one, number) for number in range(600)]
    events = shop.caller.run_events(steps)
    await wait_for(lambda: len(ran) == 600)
    told = await all_of(events)
    started = [event for event in told if isinstance(event, StepStarted)]
    finished = [event for event in told if isinstance(event, StepFinished)]
    assert (len(started), len(finished), len(told)) == (600, 600, 1201)
    assert {event.value for event in finished} == {number.to_bytes(1024, "big") for number in range(600)}
    assert [told[-1].report.value(step)[-1] for step in steps] == [number % 256 for number in range(600)]


async def test_a_late_reader_of_a_run_that_fails_loses_nothing_but_values(shop: Shop) -> None:
    ran = []

    @shop.mesh.nodes[2].function
    async def one(number: int) -> bytes:
        ran.append(number)
        return bytes(2048)

    @shop.mesh.nodes[2].function
    async def fail(*_after: bytes) -> None:
        ran.append(-1)
        raise ValueError("at last")

    await shop.mesh.converged()
    steps = [shop.step(one, number) for number in range(300)]
    events = shop.caller.run_events(shop.step(fail, *steps), *steps)
    await wait_for(lambda: -1 in ran)
    told, error = await until_it_fails(events)
    assert "at last" in str(error)
    assert [sum(isinstance(event, kind) for event in told) for kind in (StepStarted, StepFinished, StepFailed)] == [
        301, 300, 1,
    ]  # fmt: skip


async def test_what_cannot_be_run_is_refused_at_once(shop: Shop) -> None:
    with pytest.raises(mpreg.ConfigError, match=r"run_events\(\) needs the steps"):
        shop.caller.run_events()
    with pytest.raises(mpreg.ConfigError, match=r"run_events\(\) cannot run 7: write run_events\(step\)"):
        shop.caller.run_events(7)  # type: ignore[arg-type]
    with pytest.raises(mpreg.ConfigError, match="timeout"):
        shop.caller.run_events(shop.step("add", 1), timeout=-1)


async def test_it_is_cancelled_with_a_warning_if_nobody_reads(shop: Shop) -> None:
    events = shop.caller.run_events(shop.step("add", 1))
    with pytest.warns(RuntimeWarning, match="never iterated"):
        del events


def with_client(address: str, config: mpreg.Config) -> None:
    with mpreg.SyncClient(address, config=config) as client:
        step = client.step("add", client.step("add", 1, 2), 4)
        events = list(client.run_events(step, timeout=20.0))
        assert [type(event) for event in events] == [
            StepStarted, StepFinished, StepStarted, StepFinished, RunFinished,
        ]  # fmt: skip
        assert events[-2].value == events[-1].report.value(step) == 7
        failing = client.run_events(client.step("add", "x", 1))
        assert [type(next(failing)) for _ in range(2)] == [StepStarted, StepFailed]
        with pytest.raises(mpreg.GraphError):
            next(failing)
        assert list(failing) == []
        with client.run_events(step) as watched:
            next(watched)
        assert list(watched) == []


async def test_threads_watch_too(shop: Shop) -> None:
    @shop.mesh.nodes[1].function
    def outer(ctx: mpreg.Context) -> list[str]:
        step = ctx.sync.step("add", 1)
        return [type(event).__name__ for event in ctx.sync.run_events(step)]

    @shop.mesh.nodes[1].function
    async def outer_async(ctx: mpreg.Context) -> list[str]:
        return [type(event).__name__ async for event in ctx.node.run_events(ctx.node.step("add", 1))]

    await shop.mesh.converged()
    await asyncio.to_thread(with_client, shop.mesh.nodes[1].address, shop.mesh.config)
    expected = ["StepStarted", "StepFinished", "RunFinished"]
    assert await shop.caller.call(outer) == expected
    assert await shop.caller.call(outer_async) == expected
    blocking = shop.mesh.nodes[0].blocking
    with pytest.raises(mpreg.ConfigError, match="run_events"):
        blocking.run_events(blocking.step("add", 1))


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_over_sockets(kind: str, tmp_path: Path) -> None:
    node = mpreg.Node("one", listen=f"unix:{tmp_path}/one" if kind == "unix" else "127.0.0.1:0")

    @node.function
    def double(x: int) -> int:
        return 2 * x

    async with node, mpreg.connect(node.address) as client:
        events = await all_of(client.run_events([client.step(double, number) for number in range(3)]))
    assert sorted(event.value for event in events if isinstance(event, StepFinished)) == [0, 2, 4]
