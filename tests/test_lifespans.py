"""What a lifespan may do, and what its errors do to a start and a stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import local_node, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def test_a_task_group_may_stand_around_the_yield() -> None:
    steps: list[str] = []

    @contextlib.asynccontextmanager
    async def life() -> AsyncGenerator[str, None]:
        async with asyncio.TaskGroup() as group, asyncio.timeout(30):
            refresher = group.create_task(asyncio.Event().wait())
            yield "state"
            refresher.cancel()
        steps.append("left")

    node = mpreg.Node("a", lifespan=life)
    async with local_node(node):
        assert node.state == "state"
        await asyncio.create_task(node.stop())  # another task than the one that started it
    assert steps == ["left"]
    assert node.state is None


async def test_an_error_before_the_yield_stops_the_start() -> None:
    @contextlib.asynccontextmanager
    async def life() -> AsyncGenerator[None, None]:
        raise LookupError("no pool")
        yield

    node = mpreg.Node("a", lifespan=life)
    with pytest.raises(LookupError, match="no pool"):
        async with local_node(node):
            pass
    assert not node.is_started


async def test_an_error_after_the_yield_is_raised_by_stop_and_the_node_is_stopped() -> None:
    @contextlib.asynccontextmanager
    async def life() -> AsyncGenerator[None, None]:
        yield
        raise LookupError("cannot close")

    node = mpreg.Node("a", lifespan=life)
    with pytest.raises(LookupError, match="cannot close"):
        async with local_node(node):
            pass
    assert not node.is_started


async def test_a_background_task_that_fails_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    @contextlib.asynccontextmanager
    async def life() -> AsyncGenerator[None, None]:
        async def fail() -> None:
            raise LookupError("refresh failed")

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            yield

    with pytest.raises(ExceptionGroup), caplog.at_level(logging.ERROR, "mpreg"):
        async with local_node(mpreg.Node("a", lifespan=life)):
            await wait_for(lambda: "ended while its node was running" in caplog.text)


async def test_a_cancelled_start_leaves_nothing_behind() -> None:
    left = asyncio.Event()

    @contextlib.asynccontextmanager
    async def life() -> AsyncGenerator[None, None]:
        try:
            await asyncio.Event().wait()
            yield
        finally:
            left.set()

    node = mpreg.Node("a", lifespan=life)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await node.start()
    await asyncio.wait_for(left.wait(), 1)
    assert not node.is_started


def test_what_is_no_context_manager_function_is_refused() -> None:
    async def bare() -> AsyncGenerator[None, None]:
        yield

    for bad in (bare, 3):
        with pytest.raises(mpreg.ConfigError, match="asynccontextmanager"):
            mpreg.Node("a", lifespan=bad)  # type: ignore[arg-type]
