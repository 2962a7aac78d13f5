"""Call graphs that fail, end early, or lose a node."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from graph_shop import VALUE

import mpreg
from mpreg.testing import LocalMesh, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from children import Children
    from graph_shop import Shop


class OutOfStock(Exception):
    pass


@pytest.mark.parametrize(
    ("pick", "error", "says"),
    [
        (lambda step: step["none"], KeyError, "none"),
        (lambda step: step["list"][3], IndexError, "3"),
        (lambda step: step["list"][-4], IndexError, "-4"),
        (lambda step: step["list"]["name"], TypeError, "name"),
        (lambda step: step["nothing"][0], TypeError, "None"),
        (lambda step: step["field"]["size"], KeyError, "size"),
    ],
)
@pytest.mark.parametrize("wanted", [True, False])
async def test_a_part_that_is_not_there_names_step_and_part(
    shop: Shop, pick: Callable[[Any], Any], error: type[Exception], says: str, *, wanted: bool
) -> None:
    part = pick(shop.step(shop.give, VALUE))
    with pytest.raises(mpreg.GraphError, match=rf"give.*{says}") as told:
        await shop.run(part if wanted else shop.step("any", part))
    assert isinstance(told.value.__cause__, error)


async def test_a_step_that_fails_is_the_cause(shop: Shop) -> None:
    @shop.mesh.nodes[1].function("fails", raises=[OutOfStock])
    def fails(kind: str) -> None:
        raise {"value": ValueError("no value"), "stock": OutOfStock("A1", 3)}[kind]

    await shop.mesh.converged()
    last = shop.step("any", shop.step("fails", shop.step(shop.give, "value")))
    with pytest.raises(mpreg.GraphError, match="step fails failed: no value") as told:
        await shop.run(last)
    error, cause = told.value, told.value.__cause__
    assert (error.step, error.executed, error.attempts, error.code) == ("fails", "yes", 1, "graph")
    assert error.node == f"default/{shop.mesh.nodes[1].id}"
    assert isinstance(cause, ValueError)
    assert isinstance(cause, mpreg.RemoteError)
    assert (str(cause), cause.executed, cause.node, cause.data) == ("no value", "yes", error.node, ("no value",))
    assert cause.traceback is not None
    assert "no value" in cause.traceback
    with pytest.raises(mpreg.GraphError) as told:
        await shop.run(shop.step(fails, "stock"))
    assert isinstance(told.value.__cause__, OutOfStock)
    assert told.value.__cause__.args == ("A1", 3)


async def test_a_step_that_nobody_offers_or_whose_arguments_do_not_fit(shop: Shop) -> None:
    step = shop.caller.remote("nowhere", wait=0).step()
    with pytest.raises(mpreg.GraphError, match="nowhere") as told:
        await shop.run(step)
    assert isinstance(told.value.__cause__, mpreg.FunctionNotFoundError)
    assert (told.value.step, told.value.executed) == ("nowhere", "no")
    with pytest.raises(mpreg.GraphError, match="score") as told:
        await shop.run(shop.step("score", 1, 2, 3))
    assert isinstance(told.value.__cause__, TypeError)
    assert told.value.executed == "no"
    with pytest.raises(mpreg.GraphError, match="score") as told:
        await shop.run(shop.step("score", shop.step(shop.give, ["x"]), limit=1))
    assert isinstance(told.value.__cause__, mpreg.DecodeError)
    assert told.value.executed == "no"


async def test_a_failure_cancels_what_runs_and_starts_nothing_more(shop: Shop) -> None:
    started, cancelled, ran = asyncio.Event(), asyncio.Event(), []

    @shop.mesh.nodes[2].function
    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    @shop.mesh.nodes[1].function
    async def fail_once_it_hangs() -> None:
        await started.wait()
        raise RuntimeError("now")

    @shop.mesh.nodes[1].function
    async def after(*_: object) -> None:
        ran.append(1)

    await shop.mesh.converged()
    hanging, failing = shop.step(hang), shop.step(fail_once_it_hangs)
    with pytest.raises(mpreg.GraphError, match="now"):
        await shop.run(shop.step(after, hanging, failing), shop.step(after, failing))
    await asyncio.wait_for(cancelled.wait(), 10)
    assert ran == []


@pytest.mark.parametrize("how", ["deadline", "cancelled", "dropped"])
async def test_a_run_that_ends_early_cancels_its_steps(shop: Shop, how: str) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    @shop.mesh.nodes[2].function
    async def hang(_value: object) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await shop.mesh.converged()
    step = shop.step("any", shop.step(hang, shop.step(shop.give, 1)))
    if how == "deadline":
        with pytest.raises(mpreg.GraphError, match="deadline") as told:
            await shop.run(step, timeout=0.5)
        assert isinstance(told.value.__cause__, mpreg.DeadlineExceededError)
        assert isinstance(told.value.__cause__, TimeoutError)
    elif how == "cancelled":
        task = asyncio.ensure_future(shop.run(step))
        await asyncio.wait_for(started.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        run = shop.run(step)
        await asyncio.wait_for(started.wait(), 10)
        run.close()
    await asyncio.wait_for(cancelled.wait(), 10)


async def test_a_step_has_a_timeout_of_its_own(shop: Shop) -> None:
    @shop.mesh.nodes[2].function
    async def hang() -> None:
        await asyncio.Event().wait()

    await shop.mesh.converged()
    with pytest.raises(mpreg.GraphError, match="hang") as told:
        await shop.run(shop.caller.remote(hang, timeout=0.05).step())
    assert told.value.step == "hang"
    assert isinstance(told.value.__cause__, mpreg.DeadlineExceededError)


async def test_steps_go_elsewhere_when_a_node_has_died(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        for node in mesh.nodes[1:]:

            @node.function(idempotent=True)
            async def twin(value: int) -> int:
                return value + 1

        await mesh.converged()
        # Few enough for the retry budget.
        run = mesh.nodes[0].run([mesh.nodes[0].step("twin", number) for number in range(8)])
        await mesh.kill(2)
        assert await run == list(range(1, 9))


async def test_a_large_result_that_is_lost_is_made_again_if_its_step_is_idempotent(
    mpreg_mesh: Callable[..., LocalMesh],
) -> None:
    async with mpreg_mesh(nodes=4) as mesh:
        made, go_on = [], asyncio.Event()
        for number in (2, 3):

            @mesh.nodes[number].function(idempotent=True)
            def large(*, _number: int = number) -> bytes:
                made.append(_number)
                return bytes(1 << 20)

        @mesh.nodes[1].function
        async def pause(_after: int) -> None:
            await go_on.wait()

        @mesh.nodes[1].function
        def size(value: bytes, _after: object) -> int:
            return len(value)

        await mesh.converged()
        coordinator = mesh.nodes[0]
        result = coordinator.step("large")
        run = coordinator.run(coordinator.step("size", result, coordinator.step("pause", 1)))
        await wait_for(lambda: made)
        await mesh.kill(made[0])
        go_on.set()
        assert await run == 1 << 20
        assert sorted(made) == [2, 3]


async def test_when_the_coordinator_dies_its_client_is_told_and_the_steps_are_cancelled(children: Children) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()
    async with LocalMesh([mpreg.Node("hub")], transport="tcp") as mesh:
        hub = mesh.nodes[0]

        @hub.function("wait_here")
        async def wait_here() -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        child = children.node("entry", hub.address)
        await hub.wait_for("where")
        (entry,) = [member for member in await hub.members() if member.name == "entry"]
        async with mpreg.connect(entry.address, config=mesh.config) as client:
            await client.wait_for("wait_here")
            run = client.run(client.step("wait_here"), timeout=20.0)
            await asyncio.wait_for(started.wait(), 10)
            child.signal(signal.SIGKILL)
            with pytest.raises(mpreg.ConnectionLostError) as told:
                await run
            assert told.value.executed == "unknown"
            await asyncio.wait_for(cancelled.wait(), 10)
