"""Nodes that are processes of their own: killed, stopped, asked to leave, stuck; over TCP."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from children import Children, gathered

import mpreg
from mpreg.testing import LocalMesh, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def hub() -> AsyncIterator[mpreg.Node]:
    """A node of this process that the others join."""
    async with LocalMesh([mpreg.Node("hub")], transport="tcp") as mesh:
        yield mesh.nodes[0]


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """What a stuck function reads from, until `release`."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def release(pipe: Path) -> None:
    with pipe.open("r+b", buffering=0) as end:
        end.write(b".")


async def state_of(node: mpreg.Node, name: str) -> str | None:
    return next((member.state for member in await node.members() if member.name == name), None)


async def becomes(node: mpreg.Node, name: str, state: str, within: float = 10.0) -> None:
    async def is_so() -> bool:
        return await state_of(node, name) == state

    await wait_for(is_so, timeout=within, what=f"{name} is {state}")


async def pid_of(node: mpreg.Node) -> int:
    _, pid = await node.call("where")
    return pid


async def test_processes_see_and_call_each_other(hub: mpreg.Node, children: Children) -> None:
    pids = {children.node(f"worker-{number}", hub.address).pid for number in range(3)}
    await hub.wait_for("where", nodes=3)
    outcomes = await hub.remote("where").call_all()
    assert {outcome.value[1] for outcome in outcomes} == pids
    assert {outcome.node for outcome in outcomes} == {f"default/{outcome.value[0]}" for outcome in outcomes}
    assert [x async for x in hub.map("work", range(300))] == list(range(300))


async def test_a_killed_process_is_down_soon_and_calls_go_elsewhere(hub: mpreg.Node, children: Children) -> None:
    victim, other = children.node("victim", hub.address), children.node("other", hub.address)
    await hub.wait_for("where", nodes=2)
    started = time.monotonic()
    victim.signal(signal.SIGKILL)
    await becomes(hub, "victim", "down")
    assert time.monotonic() - started < 5
    assert {await pid_of(hub) for _ in range(10)} == {other.pid}
    assert {entry.node.split("/")[1] for entry in await hub.catalog(function="where")} == {"other"}


async def test_a_call_under_way_when_its_process_is_killed(hub: mpreg.Node, children: Children) -> None:
    victim = children.node("victim", hub.address)
    await hub.wait_for("hang")
    lost = asyncio.ensure_future(hub.remote("hang", retries=5)())
    await hub.call("where")  # came after it
    children.node("other", hub.address)
    await hub.wait_for("hang", nodes=2)
    victim.signal(signal.SIGKILL)
    with pytest.raises(mpreg.ConnectionLostError) as told:
        await lost
    assert (told.value.executed, told.value.retryable, told.value.attempts) == ("yes", False, 1)


async def test_an_idempotent_call_under_way_is_sent_again(hub: mpreg.Node, children: Children) -> None:
    victim = children.node("victim", hub.address)
    await hub.wait_for("hang.again")
    again = asyncio.ensure_future(hub.call("hang.again"))
    await hub.call("where")
    other = children.node("other", hub.address)
    await hub.wait_for("hang.again", nodes=2)
    children.flag.touch()
    victim.signal(signal.SIGKILL)
    assert await again == other.pid


async def test_a_function_that_ends_its_process_harms_only_its_call(hub: mpreg.Node, children: Children) -> None:
    victim = children.node("victim", hub.address)
    await hub.wait_for("die")
    with pytest.raises(mpreg.ConnectionLostError) as told:
        await hub.call("die")
    assert told.value.executed in ("yes", "unknown")
    assert await victim.exit_code() == 3
    await becomes(hub, "victim", "down")


async def test_a_short_stop_is_no_death_and_a_long_one_is_over_when_it_ends(
    hub: mpreg.Node, children: Children
) -> None:
    child = children.node("sleeper", hub.address)
    await hub.wait_for("where")
    child.signal(signal.SIGSTOP)
    with pytest.raises(AssertionError, match="sleeper is down"):
        await becomes(hub, "sleeper", "down", within=2.0)
    child.signal(signal.SIGCONT)
    await becomes(hub, "sleeper", "alive", within=2)
    assert await pid_of(hub) == child.pid
    child.signal(signal.SIGSTOP)
    await becomes(hub, "sleeper", "down")
    with pytest.raises(mpreg.FunctionNotFoundError):
        await hub.remote("where", wait=0)()
    child.signal(signal.SIGCONT)
    await becomes(hub, "sleeper", "alive", within=3)
    assert await pid_of(hub) == child.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_asked_to_leave_it_drains_and_no_call_fails(
    hub: mpreg.Node, children: Children, number: signal.Signals
) -> None:
    leaving, staying = children.node("leaving", hub.address), children.node("staying", hub.address)
    await hub.wait_for("work", nodes=2)
    results = []
    async for x in hub.map("work", range(500), concurrency=32):
        results.append(x)
        if x == 100:
            leaving.signal(number)
    assert results == list(range(500))
    assert await leaving.exit_code() == 0
    await becomes(hub, "leaving", "left")
    assert "Traceback" not in leaving.err
    assert await pid_of(hub) == staying.pid
    reasons = {member.name: member.reason for member in await hub.members()}
    assert reasons["leaving"] == "graceful_shutdown"


async def test_asked_to_leave_twice_it_ends_at_once(hub: mpreg.Node, children: Children) -> None:
    child = children.node("busy", hub.address)
    await hub.wait_for("hang")
    call = asyncio.ensure_future(hub.call("hang"))
    await hub.call("where")
    child.signal(signal.SIGTERM)
    await wait_for(lambda: _is_no_candidate(hub))
    started = time.monotonic()
    child.signal(signal.SIGTERM)
    assert await child.exit_code() == -signal.SIGTERM
    assert time.monotonic() - started < 5
    (told,) = await gathered(call)
    assert isinstance(told, mpreg.ConnectionLostError)


async def _is_no_candidate(node: mpreg.Node) -> bool:
    return (await node.explain("where")).chosen is None


@pytest.mark.parametrize("stuck", ["block_the_loop", "hold_the_gil"])
async def test_a_stuck_interpreter_does_not_make_its_node_look_dead(
    hub: mpreg.Node, children: Children, pipe: Path, stuck: str
) -> None:
    children.node("stuck", hub.address)
    await hub.wait_for(stuck)
    address = next(member.address for member in await hub.members() if member.name == "stuck")
    from mpreg._client import Connecting
    from mpreg.testing._surroundings import surroundings

    async with Connecting((address,), None, None, surroundings()) as client:
        call = asyncio.ensure_future(hub.call(stuck, str(pipe)))
        await becomes(hub, "stuck", "busy")
        # Longer than a silent death takes to be seen.
        with pytest.raises(AssertionError, match="stuck is down"):
            await becomes(hub, "stuck", "down", within=4.5)
        # Its own Rust side goes on answering.
        assert {member.name for member in await client.members()} == {"hub", "stuck"}
        release(pipe)
        await call
    await becomes(hub, "stuck", "alive")
    assert await hub.call("work", 3) == 3


async def test_a_function_that_blocks_its_loop_shows_up_as_busy_with_its_stack(
    hub: mpreg.Node, children: Children, pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = children.node("stuck", hub.address)
    await hub.wait_for("block_the_loop")
    call = asyncio.ensure_future(hub.call("block_the_loop", str(pipe)))
    await becomes(hub, "stuck", "busy")
    stuck = next(member for member in await hub.members() if member.name == "stuck")
    assert "in read" in (stuck.stack or "")
    from mpreg.cli._doctor import examine
    from mpreg.testing import child_environment

    for name, value in child_environment().items():
        monkeypatch.setenv(name, value)
    findings = await asyncio.to_thread(lambda: list(examine((hub.address,), None)))
    text = next(finding.text for finding in findings if finding.what == "member")
    assert text.startswith(f"{stuck.id} is busy: ")
    assert "in read os.read" in text
    # Nobody comes for its log lines, so they are on stderr.
    await wait_for(lambda: "busy: its event loop" in child.err, what="the warning")
    assert "in read" in child.err
    release(pipe)
    await call
    await becomes(hub, "stuck", "alive")
    stuck = next(member for member in await hub.members() if member.name == "stuck")
    assert stuck.stack is None
    await wait_for(lambda: "no longer busy" in child.err, what="the end of it")
    assert child.err.count(" busy: its event loop") == 1


async def test_who_holds_the_interpreter_is_busy_too(hub: mpreg.Node, children: Children, pipe: Path) -> None:
    children.node("held", hub.address)
    await hub.wait_for("hold_the_gil")
    call = asyncio.ensure_future(hub.call("hold_the_gil", str(pipe)))
    await becomes(hub, "held", "busy")
    held = next(member for member in await hub.members() if member.name == "held")
    assert "interpreter is held" in (held.stack or "")
    release(pipe)
    await call
    await becomes(hub, "held", "alive")


async def test_a_restarted_process_with_a_fixed_instance_takes_its_place(hub: mpreg.Node, children: Children) -> None:
    first = children.node("db/one", hub.address)
    await hub.wait_for("where")
    second = children.node("db/one", hub.address)
    assert await second.exit_code() != 0
    assert "db/one" in second.err
    assert "ConfigError" in second.err
    assert await pid_of(hub) == first.pid
    first.signal(signal.SIGKILL)
    third = children.node("db/one", hub.address)

    async def is_third() -> bool:
        assert third.process.poll() is None, third.err
        try:
            return await hub.remote("where", wait=2.0)() == ("db/one", third.pid)
        except mpreg.ConnectionLostError:
            return False  # sent to the first while it died

    await wait_for(is_third)


async def test_a_node_whose_seed_is_down_waits_for_it(children: Children, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/seed"
    child = children.node("early", address)
    await wait_for(lambda: "no seed answers" in child.err, what="the log says why it is alone")
    from mpreg._node import start_in
    from mpreg.testing._surroundings import surroundings

    seed = mpreg.Node("seed")
    await start_in(seed, surroundings(), {"listen": address})
    try:
        await seed.wait_for("where", timeout=10)
        assert await pid_of(seed) == child.pid
    finally:
        await seed.stop()


async def test_a_process_of_another_cluster_is_refused_and_told_why(hub: mpreg.Node, children: Children) -> None:
    child = children.node("stranger", hub.address, cluster="mars")
    await wait_for(lambda: "none takes this node in" in child.err)
    assert "default" in child.err
    # It dials on and on, and says so once.
    assert child.err.count("is not taken by cluster") == 1
    assert [member.name for member in await hub.members()] == ["hub"]
    child.signal(signal.SIGTERM)
    assert await child.exit_code() == 0


async def test_a_process_with_another_secret_is_refused_and_told_why(
    hub: mpreg.Node, children: Children, tmp_path: Path
) -> None:
    other = tmp_path / "other-secret"
    other.touch(mode=0o600)
    other.write_bytes(bytes(32))
    child = children.node("stranger", hub.address, secret_file=str(other))
    await wait_for(lambda: "secret" in child.err)
    assert "secret_file" in child.err
    assert [member.name for member in await hub.members()] == ["hub"]
    with pytest.raises(mpreg.MpregError, match="secret"):
        await mpreg.connect(hub.address, config=mpreg.Config(secret_file=other))


async def test_a_port_in_use_stops_the_start(hub: mpreg.Node, children: Children) -> None:
    child = children.node("second", hub.address, listen=hub.address)
    assert await child.exit_code() != 0
    assert "in use" in child.err
    assert "ConfigError" in child.err


@pytest.mark.parametrize("seed", ["nowhere", "127.0.0.1:99999", "http://127.0.0.1:1", ":7000", "127.0.0.1"])
async def test_a_seed_that_is_no_address_stops_the_start(children: Children, seed: str) -> None:
    child = children.node("lost", seed)
    assert await child.exit_code() != 0
    assert "ConfigError" in child.err
    assert seed in child.err
