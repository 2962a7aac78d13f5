"""Limits of docs/limits.md that a user can meet: what is beyond waits or is refused, and nothing else is harmed."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import child_environment, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from children import Children

    from mpreg.testing import LocalMesh


async def test_arriving_values_are_held_within_their_limit(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    config = mpreg.Config(receive_bytes=800_000, max_value_bytes=200_000)
    server, caller = mpreg.Node("server", config=config), mpreg.Node("caller")
    running, go = 0, asyncio.Event()

    @server.function
    async def hold(value: bytes) -> int:
        nonlocal running
        running += 1
        await go.wait()
        return len(value)

    async with mpreg_mesh([server, caller]) as mesh:
        await mesh.converged()
        handle = caller.remote(hold, retries=0)
        calls = [asyncio.ensure_future(handle(bytes(150_000))) for _ in range(8)]
        # One peer gets half: two values.
        await wait_for(lambda: sum(call.done() for call in calls) == 8 - running > 0)
        refused = [call.exception() for call in calls if call.done()]
        assert all(isinstance(each, mpreg.OverloadedError) for each in refused)
        assert {(each.code, each.executed) for each in refused} == {("overloaded", "no")}
        assert "receive_bytes" in str(refused[0])
        assert await caller.remote(hold, timeout=0.1).call_all(b"small")  # small ones are not counted
        go.set()
        taken = [each for each in await asyncio.gather(*calls, return_exceptions=True) if each == 150_000]
        assert len(taken) == running - 1
        assert await handle(bytes(150_000)) == 150_000


@pytest.mark.parametrize("limit", ["concurrency", "pending_calls"])
async def test_calls_beyond_a_limit_wait_for_their_turn(mpreg_mesh: Callable[..., LocalMesh], limit: str) -> None:
    # Of `pending_calls` the callee's word holds for those who call it.
    server, caller = mpreg.Node("server", config=mpreg.Config(**{limit: 2})), mpreg.Node("caller")
    running, go = 0, asyncio.Event()

    @server.function
    async def work(x: int) -> int:
        nonlocal running
        running += 1
        assert running <= 2
        await go.wait()
        running -= 1
        return x

    async with mpreg_mesh([server, caller]) as mesh:
        await mesh.converged()
        calls = [asyncio.ensure_future(caller.call(work, x)) for x in range(50)]
        await wait_for(lambda: running == 2)
        go.set()
        assert await asyncio.gather(*calls) == list(range(50))


async def test_plain_functions_wait_for_a_thread(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    server, caller = mpreg.Node("server", config=mpreg.Config(threads=2)), mpreg.Node("caller")
    running, lock, go = [0, 0], threading.Lock(), threading.Event()

    @server.function
    def work(x: int) -> int:
        with lock:
            running[0] += 1
            running[1] = max(running)
        assert go.wait(20)
        with lock:
            running[0] -= 1
        return x

    async with mpreg_mesh([server, caller]) as mesh:
        await mesh.converged()
        calls = [asyncio.ensure_future(caller.call(work, x)) for x in range(20)]
        await wait_for(lambda: running[0] == 2)
        go.set()
        assert await asyncio.gather(*calls) == list(range(20))
    assert running == [0, 2]


async def test_an_entry_too_large_is_refused_at_the_decorator(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=1) as mesh:
        with pytest.raises(mpreg.ConfigError, match="shorten its doc, signature or tags"):
            mesh.nodes[0].function("long", doc="x" * 70_000)(lambda: 1)
        assert await mesh.nodes[0].catalog() == []


@pytest.mark.parametrize("seconds", [0.3, 4.0, 60.0])
async def test_any_probe_interval_that_a_config_takes_makes_a_cluster(
    mpreg_mesh: Callable[..., LocalMesh], seconds: float
) -> None:
    async with mpreg_mesh(nodes=2, config=mpreg.Config(probe_interval=seconds)) as mesh:
        mesh.nodes[0].function("f")(lambda: 1)
        await mesh.nodes[1].wait_for("f")
        assert await mesh.nodes[1].call("f") == 1


@pytest.mark.parametrize("setting", ["connection_window", "out_high_water"])
async def test_a_connection_holds_a_whole_frame(setting: str) -> None:
    config = mpreg.Config(**{setting: 256 << 10}, max_frame_bytes=512 << 10)
    with pytest.raises(mpreg.ConfigError, match=setting):
        await mpreg.Node("server", config=config).start()


async def test_a_result_that_its_caller_does_not_take_is_an_error(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    little = mpreg.Config(
        max_value_bytes=100_000, receive_bytes=200_000, secret_file=child_environment()["MPREG_SECRET_FILE"]
    )
    server, other, caller = mpreg.Node("server"), mpreg.Node("other"), mpreg.Node("caller", config=little)

    @server.function
    async def make(length: int) -> bytes:
        return bytes(length)

    async with mpreg_mesh([server, other, caller], transport="tcp") as mesh:
        await mesh.converged()
        async with (
            mpreg.connect(server.address, config=little) as near,
            mpreg.connect(other.address, config=little) as far,
        ):
            for place in (caller, near, far):
                assert await place.call(make, 90_000) == bytes(90_000)
                with pytest.raises(mpreg.TooLargeError, match="at most 100000") as said:
                    await place.call(make, 150_000)
                assert said.value.executed == "yes"


async def test_a_client_sees_a_catalog_that_is_longer_than_its_queue(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    node = mpreg.Node("documented")
    for number in range(120):
        node.function(f"f{number}", doc="x" * 50_000)(lambda: None)
    async with mpreg_mesh([node]) as mesh, mesh.connect() as client:
        assert {len(entry.doc) for entry in await client.catalog()} == {50_000}


MORE_THAN_A_LOOP_HOLDS = """
import asyncio, os, mpreg

node = mpreg.Node("full")

@node.function
async def hang():
    await asyncio.Event().wait()

async def main():
    async with node, mpreg.connect(node.address) as client:
        handle = client.remote(hang, retries=0)
        calls = [handle() for _ in range(262_144)]
        beyond = await asyncio.gather(*(handle() for _ in range(3)), return_exceptions=True)
        print(*(type(each).__name__ for each in beyond), flush=True)
        os._exit(0)

asyncio.run(main())
"""


async def test_each_call_beyond_what_a_loop_holds_gets_its_error(children: Children) -> None:
    child = children.run(MORE_THAN_A_LOOP_HOLDS)
    assert await child.exit_code() == 0, child.err
    assert child.out.split() == ["OverloadedError"] * 3
