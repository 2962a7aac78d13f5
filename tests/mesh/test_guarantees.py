"""Promises of docs/guarantees.md that no other file is about."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import child_environment, wait_for

if TYPE_CHECKING:
    from ways import Way


async def hang() -> None:
    await asyncio.Event().wait()


async def test_a_call_that_names_no_time_has_its_callers(far: Way) -> None:
    far.function(hang)
    far.function("left")(_left)
    async with far.mesh.connect(far.mesh.nodes[2]) as client:
        assert 29 < await client.call("left") <= 30
    address, config = far.mesh.nodes[2].address, far.mesh.config
    async with mpreg.connect(address, timeout=0.05, config=config) as client:
        with pytest.raises(mpreg.DeadlineExceededError, match="50ms"):
            await client.call(hang)
        assert 4 < await client.remote("left", timeout=5.0)() <= 5
    async with mpreg.connect(address, config=config.replace(timeout=7.0)) as client:
        assert 6 < await client.call("left") <= 7


async def _left(ctx: mpreg.Context) -> float:
    return ctx.remaining


async def test_each_item_of_a_map_has_its_own_time(far: Way) -> None:
    @far.function
    async def half_gone(ctx: mpreg.Context, x: int) -> float:
        left = ctx.remaining
        await wait_for(lambda: ctx.remaining <= 1.0)
        return left

    async with mpreg.connect(far.mesh.nodes[2].address, timeout=2.0, config=far.mesh.config) as client:
        left = [each async for each in client.map(half_gone, range(2), concurrency=1)]
    assert all(each > 1.0 for each in left), left


@pytest.mark.parametrize("options", [{}, {"inline": True}, None])
async def test_records_made_inside_a_function_name_it(
    far: Way, options: dict | None, caplog: pytest.LogCaptureFixture
) -> None:
    def talk() -> None:
        logging.getLogger("shop").warning("inside")

    async def talk_on_the_loop() -> None:
        await asyncio.sleep(0)
        talk()

    def told(ctx: mpreg.Context) -> str:
        talk()
        return ctx.call_id

    async def told_on_the_loop(ctx: mpreg.Context) -> str:
        await talk_on_the_loop()
        return ctx.call_id

    caplog.handler.addFilter(mpreg.LogContext())
    far.server.function("shop.talk", **(options or {}))(told_on_the_loop if options is None else told)
    call_id = await far.caller.call("shop.talk")
    talk()
    inside, outside = [record for record in caplog.records if record.name == "shop"]
    assert (inside.function, inside.call_id) == ("shop.talk", call_id)
    assert (outside.function, outside.call_id) == ("-", "-")


async def test_the_blocking_surface_works_where_a_loop_runs_already() -> None:
    """As in a notebook: blocking this loop harms nobody, because the node runs on another one."""
    config = mpreg.Config(secret_file=child_environment()["MPREG_SECRET_FILE"])
    node = mpreg.Node("notebook", config=config)
    node.function("double")(lambda x: 2 * x)
    with node.running() as mesh, mpreg.SyncClient(node.address, config=config) as client:
        assert mesh.call("double", 2) == 4
        assert client.call("double", 3) == 6
        assert list(client.map("double", range(3))) == [0, 2, 4]
