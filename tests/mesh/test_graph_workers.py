"""Call graphs whose steps worker processes run: inputs and results of any size, whoever coordinates."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import mpreg
from mpreg.testing import LocalMesh, child_environment, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from children import Child, Children

COMMAND = ("-c", "from mpreg.cli import main; main()", "run", "app:node", "--workers", "2")
LARGE = 300_000
"""Of a result that stays with its maker."""

APP = """
import asyncio, os
import mpreg

node = mpreg.Node("app")

@node.function("app.make")
async def make(size: int) -> dict[str, object]:
    return {"pid": os.getpid(), "rows": os.urandom(size)}

@node.function("app.length")
def length(rows: bytes) -> tuple[int, int]:
    return len(rows), os.getpid()

@node.function("app.alone", concurrency=1)
async def alone(rows: bytes) -> int:
    return len(rows)

@node.function("app.fails")
async def fails(rows: bytes) -> None:
    raise LookupError(f"no {len(rows)}")

@node.function("app.hang")
async def hang(rows: bytes, name: str) -> None:
    print(f"hangs {name}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print(f"ends {name}", flush=True)

@node.function("app.exit")
def leave(rows: bytes) -> None:
    os._exit(3)
"""


@pytest.fixture
async def hub() -> AsyncIterator[mpreg.Node]:
    """A member in this process that the node with workers joins."""
    hub = mpreg.Node("hub")

    @hub.function("hub.make")
    def make(size: int) -> bytes:
        return bytes(size)

    @hub.function("hub.length")
    def length(rows: bytes) -> int:
        return len(rows)

    async with LocalMesh([hub], transport="tcp") as mesh:
        yield mesh.nodes[0]


@pytest.fixture
async def app(hub: mpreg.Node, children: Children, tmp_path: Path) -> Child:
    """A node whose functions two workers run."""
    (tmp_path / "app.py").write_text(APP)
    child = children.python(*COMMAND, seeds=hub.address)
    await wait_for(lambda: "workers=2" in child.err, timeout=30, what=f"two workers: {child.err}")
    await hub.wait_for("app.make")
    return child


@pytest.fixture(params=["a member", "the parent, for a client"])
async def caller(request: pytest.FixtureRequest, hub: mpreg.Node, app: Child) -> AsyncIterator[Any]:
    """Who runs graphs; the name says which node drives them."""
    del app
    if request.param == "a member":
        yield hub
        return
    parent = next(member for member in await hub.members() if member.name == "app")
    secret = child_environment()["MPREG_SECRET_FILE"]
    async with mpreg.connect(parent.address, config=mpreg.Config(secret_file=secret)) as client:
        await client.wait_for("hub.make")
        yield client


async def test_large_results_go_to_workers_and_from_them(caller: Any) -> None:
    made = caller.step("app.make", LARGE)
    brought = caller.step("hub.make", LARGE)
    small = caller.step("app.length", b"abc")
    at_worker = caller.step("app.length", brought)
    at_hub = caller.step("hub.length", made["rows"])
    between = [caller.step("app.length", made["rows"]) for _ in range(8)]
    values = await caller.run([small, at_worker, at_hub, made["pid"], *between])
    assert (values[0][0], values[1][0], values[2]) == (3, LARGE, LARGE)
    assert {length for length, _ in values[4:]} == {LARGE}
    # Equal workers are chosen by chance: results of one are inputs of the other.
    assert values[3] > 0
    assert (await caller.run(made["rows"])) != (await caller.run(made["rows"]))


async def test_a_report_names_the_node_not_the_worker(caller: Any, hub: mpreg.Node) -> None:
    last = caller.step("app.length", caller.step("app.make", LARGE)["rows"])
    report = await caller.run(last, report=True)
    app = next(member for member in await hub.members() if member.name == "app")
    assert [step.node for step in report.steps] == [f"{app.cluster}/{app.id}"] * 2
    assert report.steps[0].bytes > LARGE


async def test_a_step_that_fails_in_a_worker_is_the_error_of_the_run(caller: Any) -> None:
    with pytest.raises(mpreg.GraphError, match="no 300000") as told:
        await caller.run(caller.step("app.fails", caller.step("hub.make", LARGE)))
    assert (told.value.step, told.value.executed) == ("app.fails", "yes")
    assert isinstance(told.value.__cause__, LookupError)


async def test_a_run_that_nobody_waits_for_is_cancelled_in_the_worker(caller: Any, app: Child) -> None:
    run = asyncio.ensure_future(caller.run(caller.step("app.hang", caller.step("hub.make", LARGE), "one")))
    await wait_for(lambda: "hangs one" in app.out)
    run.cancel()
    await wait_for(lambda: "ends one" in app.out)


async def test_a_worker_that_ends_with_a_step_is_a_lost_connection(caller: Any) -> None:
    with pytest.raises(mpreg.GraphError) as told:
        await caller.run(caller.step("app.exit", caller.step("hub.make", LARGE)))
    assert isinstance(told.value.__cause__, mpreg.ConnectionLostError)
    # Its slot is free, and the other worker goes on.
    assert await caller.run(caller.step("app.alone", caller.step("hub.make", LARGE))) == LARGE


async def test_limits_hold_for_steps_of_all_workers_together(caller: Any) -> None:
    steps = [caller.step("app.alone", caller.step("hub.make", LARGE)) for _ in range(20)]
    assert await caller.run(steps) == [LARGE] * 20
