"""`mpreg run --workers N`: one node, N processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from children import Child, Children, gathered

import mpreg
from mpreg.testing import LocalMesh, child_environment, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

COMMAND = ("-c", "from mpreg.cli import main; main()", "run", "app:node")

APP = """
import asyncio, contextlib, os
from collections.abc import AsyncIterator
import mpreg
from mpreg.testing import wait_for

VERSION = 1

@contextlib.asynccontextmanager
async def life():
    if os.path.exists("broken"):
        raise RuntimeError("no pool today")
    print(f"begins {os.getpid()}", flush=True)
    yield os.getpid()
    print(f"ends {os.getpid()}", flush=True)

node = mpreg.Node("app", lifespan=life)

@node.function
async def who(ctx: mpreg.Context) -> tuple[str, int, int, str]:
    return ctx.node.id, os.getpid(), ctx.state, ctx.caller

@node.function
async def pid(_number: int) -> int:
    return os.getpid()

@node.function
async def version() -> int:
    return VERSION

async def hold(name: str) -> int:
    print(f"holds {name} {os.getpid()}", flush=True)
    try:
        await wait_for(lambda: os.path.exists(name), timeout=60.0)
    except asyncio.CancelledError:
        print(f"cancelled {name}", flush=True)
        raise
    return os.getpid()

node.function(hold)
node.function("hold.again", idempotent=True)(hold)

@node.function(concurrency=1)
async def alone(name: str) -> int:
    return await hold(name)

@node.function
async def count(stop: int) -> AsyncIterator[tuple[int, int]]:
    try:
        for number in range(stop):
            yield number, os.getpid()
    finally:
        print(f"generator ends {os.getpid()}", flush=True)

@node.function(scope="local")
async def inner(x: int) -> int:
    return 2 * x

@node.function
async def through(ctx: mpreg.Context, name: str, x: int) -> tuple[int, str]:
    return await ctx.node.call(name, x)

@node.function
async def double(ctx: mpreg.Context, x: int) -> tuple[int, str]:
    return await ctx.node.call("inner", x), ctx.caller

@node.function
def blocking(ctx: mpreg.Context) -> list[str]:
    return [member.id for member in ctx.sync.members()]

@node.function
async def stand(pipe: str) -> int:
    with open(pipe) as waited_for:
        waited_for.read()
    return os.getpid()

@node.function
async def extra_here() -> int:
    @node.function
    async def extra() -> int:
        return os.getpid()
    return os.getpid()

@node.function
async def no_extra_here() -> int:
    with contextlib.suppress(mpreg.ConfigError):
        node.remove("extra")
    return os.getpid()
"""


@pytest.fixture
async def hub() -> AsyncIterator[mpreg.Node]:
    """A member in this process that the node joins."""
    async with LocalMesh([mpreg.Node("hub")], transport="tcp") as mesh:
        yield mesh.nodes[0]


@pytest.fixture
async def app(hub: mpreg.Node, children: Children, tmp_path: Path) -> Child:
    """The node with two workers, both of which take calls."""
    child = start(hub, children, tmp_path, "--workers", "2")
    await until_workers(hub, child, 2)
    return child


def start(hub: mpreg.Node, children: Children, folder: Path, *options: str, text: str = APP) -> Child:
    (folder / "app.py").write_text(text)
    return children.python(*COMMAND, *options, seeds=hub.address)


def client_of(address: str) -> Any:
    secret = child_environment()["MPREG_SECRET_FILE"]
    return mpreg.connect(address, config=mpreg.Config(secret_file=secret))


async def until_workers(hub: mpreg.Node, child: Child, count: int) -> None:
    await wait_for(lambda: f"workers={count}" in child.err, timeout=30, what=f"{count} workers: {child.err}")
    await hub.wait_for("who")


async def pids_of(caller: Any) -> set[int]:
    """The processes that run its functions."""
    # Equal workers are chosen by chance: 24 calls meet both, but for one time in eight million.
    return {(await caller.call("who"))[1] for _ in range(24)}


async def are_two(caller: Any) -> bool:
    return len(await pids_of(caller)) == 2


async def held(caller: Any, child: Child, function: str, name: str) -> tuple[asyncio.Future[int], int]:
    """A call of `hold` that runs, and the process that runs it."""
    call = asyncio.ensure_future(caller.call(function, name))
    await child.says(f"holds {name} ")
    return call, int(child.out.rpartition(f"holds {name} ")[2].split()[0])


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def pids_begun(app: Child) -> set[int]:
    return {int(line.split()[1]) for line in app.out.splitlines() if line.startswith("begins ")}


async def app_member(hub: mpreg.Node) -> mpreg.Member:
    (member,) = [member for member in await hub.members() if member.name == "app"]
    return member


async def test_a_worker_that_stands_still_makes_the_node_busy_and_says_where(
    hub: mpreg.Node, app: Child, tmp_path: Path
) -> None:
    async def is_(state: str) -> bool:
        return (await app_member(hub)).state == state

    os.mkfifo(tmp_path / "pipe")
    call = asyncio.ensure_future(hub.call("stand", str(tmp_path / "pipe")))
    await wait_for(lambda: is_("busy"), what="a busy node")
    stack = (await app_member(hub)).stack or ""
    assert stack.startswith("worker #")
    assert "in stand" in stack
    (tmp_path / "pipe").write_text("go on")
    assert await call in pids_begun(app)
    await wait_for(lambda: is_("alive"), what="a node that goes on")
    # One that dies of it is not remembered.
    call = asyncio.ensure_future(hub.call("stand", str(tmp_path / "pipe")))
    await wait_for(lambda: is_("busy"), what="a busy node again")
    for pid in pids_begun(app):
        os.kill(pid, signal.SIGKILL)
    (error,) = await gathered(call)
    assert isinstance(error, mpreg.ConnectionLostError)
    await wait_for(lambda: is_("alive"), what="a node without that worker")


async def test_it_is_one_node_with_several_processes(hub: mpreg.Node, app: Child) -> None:
    seen = [await hub.call("who") for _ in range(24)]
    assert {pid for _, pid, _, _ in seen} == {state for _, _, state, _ in seen}, "lifespan and state are per process"
    assert len({pid for _, pid, _, _ in seen}) == 2
    assert app.pid not in {pid for _, pid, _, _ in seen}, "the parent runs no function"
    (member,) = [member for member in await hub.members() if member.name == "app"]
    assert {node for node, _, _, _ in seen} == {member.id}
    (entry,) = await hub.catalog(function="who")
    assert entry.node == f"default/{member.id}"
    assert f"{member.id}#2 mpreg.node: started" in app.err, "logs say which worker"
    assert {caller for _, _, _, caller in seen} == {f"default/{hub.id}"}


@pytest.mark.parametrize("way", ["member", "client of another node", "client"])
async def test_a_call_goes_to_the_worker_with_the_fewest_running(
    hub: mpreg.Node, app: Child, tmp_path: Path, way: str
) -> None:
    (address,) = [member.address for member in await hub.members() if member.name == "app"]
    async with client_of(hub.address if way == "client of another node" else address) as client:
        caller: Any = hub if way == "member" else client
        calls = [await held(caller, app, "hold", name) for name in ("a", "b", "c", "d")]
        running = [pid for _, pid in calls]
        assert {running.count(pid) for pid in running} == {2}
        for name in "abcd":
            (tmp_path / name).touch()
        assert await gathered(*(call for call, _ in calls)) == running


async def test_a_node_with_one_function(hub: mpreg.Node, children: Children, tmp_path: Path) -> None:
    text = "import mpreg\nnode = mpreg.Node()\n@node.function\nasync def who() -> int: return 7\n"
    await until_workers(hub, start(hub, children, tmp_path, "--workers", "1", text=text), 1)
    assert await hub.call("who") == 7


async def test_a_limit_of_a_function_holds_for_all_workers_together(
    hub: mpreg.Node, app: Child, tmp_path: Path
) -> None:
    first, first_pid = await held(hub, app, "alone", "a")
    second = asyncio.ensure_future(hub.call("alone", "b"))
    # The other worker is free, and takes calls of other functions.
    assert first_pid not in await pids_of(hub)
    assert "holds b" not in app.out
    for name in ("a", "b"):
        (tmp_path / name).touch()
    await first
    await second


async def test_sticky_calls_stay_with_one_worker(hub: mpreg.Node, app: Child) -> None:
    (address,) = [member.address for member in await hub.members() if member.name == "app"]
    async with client_of(hub.address) as far, client_of(address) as near:
        places: dict[str, set[int]] = {}
        for key in map(str, range(16)):
            for caller in (hub, far, near):
                pids = {(await caller.remote("who", sticky=key)())[1] for _ in range(3)}
                places.setdefault(key, set()).update(pids)
    assert {len(pids) for pids in places.values()} == {1}
    assert len(set.union(*places.values())) == 2


async def test_a_worker_calls_and_looks_through_its_parent(hub: mpreg.Node, app: Child) -> None:
    @hub.function
    async def far(ctx: mpreg.Context, x: int) -> tuple[int, str]:
        return 10 * x, ctx.caller

    (member,) = [member for member in await hub.members() if member.name == "app"]
    label = f"default/{member.id}"
    assert await hub.call("through", "far", 4) == (40, label)
    assert await hub.call("through", "double", 4) == (8, label), "of local scope, too"
    assert set(await hub.call("blocking")) == {hub.id, member.id}
    with pytest.raises(mpreg.FunctionNotFoundError):
        await hub.remote("inner", wait=0.0)(1)


async def test_calls_that_workers_ran_are_counted_by_their_node(hub: mpreg.Node, app: Child) -> None:
    before = {stats.node: stats for stats in await hub.stats()}
    node = next(label for label in before if label.startswith("default/app/"))
    await asyncio.gather(*(hub.call("version") for _ in range(5)))
    with pytest.raises(TypeError):
        await hub.call("version", 1)

    async def counted() -> bool:
        now = {stats.node: stats for stats in await hub.stats()}[node]
        assert now.workers == 2
        return [(f.calls, f.errors, f.in_flight) for f in now.functions if f.name == "version"] == [(6, 1, 0)]

    await wait_for(counted)


async def test_a_killed_worker_is_replaced_and_others_are_unharmed(hub: mpreg.Node, app: Child, tmp_path: Path) -> None:
    (lost, victim), (kept, survivor) = [await held(hub, app, "hold", name) for name in ("a", "b")]
    again, _ = await held(hub, app, "hold.again", "c")
    also_again, _ = await held(hub, app, "hold.again", "d")
    assert victim != survivor
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(mpreg.ConnectionLostError) as caught:
        await lost
    assert caught.value.executed in {"yes", "unknown"}
    (member,) = [member for member in await hub.members() if member.name == "app"]
    assert (caught.value.node, member.state) == (f"default/{member.id}", "alive")
    assert "worker process" in str(caught.value)
    await wait_for(lambda: "#1 ended with SIGKILL" in app.err or "#2 ended with SIGKILL" in app.err, what=app.err)
    for name in ("b", "c", "d"):
        (tmp_path / name).touch()
    assert await kept == survivor
    # Declared idempotent, they were called again where they were lost.
    assert victim not in {await again, await also_again}
    await wait_for(lambda: app.out.count("begins") == 3, what=app.out)

    async def is_back() -> bool:
        return len(await pids_of(hub) - {victim}) == 2

    await wait_for(is_back)


async def test_asked_to_end_it_drains_all_its_workers(hub: mpreg.Node, app: Child, tmp_path: Path) -> None:
    calls = [await held(hub, app, "hold", name) for name in ("a", "b")]
    app.signal(signal.SIGTERM)
    await wait_for(lambda: "leaving (SIGTERM)" in app.err)
    await wait_for(lambda: is_called_no_more(hub))
    for name in ("a", "b"):
        (tmp_path / name).touch()
    assert [await call for call, _ in calls] == [pid for _, pid in calls]
    assert await app.exit_code() == 0
    assert all(is_gone(pid) and f"ends {pid}" in app.out for _, pid in calls)
    assert "Traceback" not in app.err
    assert "WARNING" not in app.err


@pytest.mark.parametrize("way", ["member", "client"])
async def test_streams_come_from_one_worker_and_end_with_their_reader(hub: mpreg.Node, app: Child, way: str) -> None:
    (address,) = [member.address for member in await hub.members() if member.name == "app"]
    async with client_of(address) as client:
        caller: Any = hub if way == "member" else client
        items = [item async for item in caller.stream("count", 5000)]
        assert [number for number, _ in items] == list(range(5000))
        assert len({pid for _, pid in items}) == 1
        assert app.out.count("generator ends") == 1
        async with contextlib.aclosing(caller.stream("count", 10**9)) as endless:
            assert (await anext(endless))[0] == 0
        await wait_for(lambda: app.out.count("generator ends") == 2, what=app.out)
        async with contextlib.aclosing(caller.stream("count", 10**9)) as endless:
            _, pid = await anext(endless)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(mpreg.ConnectionLostError) as caught:
                async for _ in endless:
                    pass
        assert caught.value.executed == "yes"


async def test_what_outlasts_the_drain_is_cancelled(hub: mpreg.Node, children: Children, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    app = children.python(*COMMAND, "--workers", "1", seeds=hub.address, drain_timeout="0.3")
    await until_workers(hub, app, 1)
    call, pid = await held(hub, app, "hold", "a")
    app.signal(signal.SIGTERM)
    with pytest.raises(mpreg.CancelledByPeerError, match="drain_timeout"):
        await call
    assert await app.exit_code() == 0
    # The function cleans up before the lifespan ends.
    assert app.out.index("cancelled a") < app.out.index(f"ends {pid}")


async def test_a_worker_that_is_asked_to_end_drains_and_is_replaced(
    hub: mpreg.Node, app: Child, tmp_path: Path
) -> None:
    call, pid = await held(hub, app, "hold", "a")
    os.kill(pid, signal.SIGTERM)
    await wait_for(lambda: "#1 mpreg.node: leaving" in app.err or "#2 mpreg.node: leaving" in app.err)

    async def is_called_no_more() -> bool:
        return pid not in await pids_of(hub)

    await wait_for(is_called_no_more)
    (tmp_path / "a").touch()
    assert await call == pid
    await wait_for(lambda: app.out.count("begins") == 3, what=app.out)


async def test_no_call_is_lost_by_a_worker_that_is_asked_to_end(hub: mpreg.Node, app: Child) -> None:
    (address,) = [member.address for member in await hub.members() if member.name == "app"]
    async with client_of(address) as client:
        for caller in (hub, client):
            seen: list[int] = []
            async for pid in caller.map("pid", range(600), concurrency=32):
                seen.append(pid)
                if len(seen) == 100:
                    os.kill(pid, signal.SIGTERM)
            assert len(seen) == 600
            # Both the next and the other one, or the next round would ask the last one to end.
            await wait_for(lambda: app.out.count("begins") == app.out.count("ends") + 2, timeout=30, what=app.err)
            await wait_for(lambda: are_two(hub), timeout=30)


async def test_workers_end_with_a_parent_that_dies(
    hub: mpreg.Node, children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    app = start(hub, children, tmp_path, "--workers", "2")
    await until_workers(hub, app, 2)
    pids = await pids_of(hub)
    (folder,) = tmp_path.glob("mpreg-*")  # noqa: ASYNC240 - a moment, in a test
    assert folder.stat().st_mode & 0o777 == 0o700
    app.signal(signal.SIGKILL)
    await app.exit_code()
    await wait_for(lambda: all(f"ends {pid}" in app.out and is_gone(pid) for pid in pids), what=app.out)
    assert not folder.exists()


async def test_a_first_start_that_fails_ends_the_command(hub: mpreg.Node, children: Children, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    app = start(hub, children, tmp_path, "--workers", "3")
    assert await app.exit_code() == 1
    assert app.err.count("RuntimeError: no pool today") == 1, "told once, not by every worker"
    assert "#1 ended with status 1 before it was ready" in app.err


async def test_a_worker_that_keeps_failing_is_tried_after_longer_and_longer_pauses(
    hub: mpreg.Node, children: Children, tmp_path: Path
) -> None:
    app = start(hub, children, tmp_path, "--workers", "1")
    await until_workers(hub, app, 1)
    (tmp_path / "broken").touch()
    os.kill((await hub.call("who"))[1], signal.SIGKILL)
    for said in ("SIGKILL: it is started again in 0.1 s", "again in 0.2 s", "again in 0.4 s"):
        await wait_for(lambda said=said: said in app.err, timeout=30, what=f"{said}: {app.err}")
    with pytest.raises(mpreg.FunctionNotFoundError):
        await hub.remote("who", wait=0.0)()
    (tmp_path / "broken").unlink()
    await hub.wait_for("who", timeout=30)
    assert (await hub.call("who"))[0].startswith("app/")


async def test_a_changed_source_restarts_the_workers(hub: mpreg.Node, children: Children, tmp_path: Path) -> None:
    app = start(hub, children, tmp_path, "--reload")
    await until_workers(hub, app, 1)
    assert await hub.call("version") == 1
    (tmp_path / "app.py").write_text(APP.replace("VERSION = 1", "VERSION = 2"))

    async def is_new() -> bool:
        return await hub.remote("version", wait=10.0)() == 2

    await wait_for(is_new, timeout=30, what=app.err)
    assert "app.py has changed: the workers are started again" in app.err
    app.signal(signal.SIGTERM)
    assert await app.exit_code() == 0


async def test_a_change_that_breaks_the_code_is_told_and_the_next_one_mends_it(
    hub: mpreg.Node, children: Children, tmp_path: Path
) -> None:
    app = start(hub, children, tmp_path, "--reload")
    await until_workers(hub, app, 1)
    (tmp_path / "app.py").write_text(APP + "\nthis is no Python\n")
    await wait_for(lambda: "SyntaxError" in app.err and "it is started again in 0.2 s" in app.err, timeout=30)
    (tmp_path / "app.py").write_text(APP.replace("VERSION = 1", "VERSION = 3"))
    await hub.wait_for("version", timeout=30)
    assert await hub.call("version") == 3


async def test_a_function_is_announced_while_a_worker_offers_it(hub: mpreg.Node, app: Child) -> None:
    pid = await hub.call("extra_here")
    await hub.wait_for("extra")
    assert {await hub.call("extra") for _ in range(8)} == {pid}

    async def is_withdrawn() -> bool:
        return await hub.call("no_extra_here") == pid

    await wait_for(is_withdrawn)
    await wait_for(lambda: is_unknown(hub, "extra"))
    await hub.call("extra_here")
    await hub.wait_for("extra")
    os.kill(await hub.call("extra"), signal.SIGKILL)
    await wait_for(lambda: is_unknown(hub, "extra"))
    assert await hub.call("version") == 1, "the other one goes on"


async def is_called_no_more(hub: mpreg.Node) -> bool:
    try:
        await hub.remote("who", wait=0.0)()
    except mpreg.FunctionNotFoundError:
        return True
    return False


async def is_unknown(node: mpreg.Node, name: str) -> bool:
    return not await node.catalog(function=name)


async def test_only_workers_register_functions(hub: mpreg.Node, app: Child) -> None:
    (address,) = [member.address for member in await hub.members() if member.name == "app"]
    async with client_of(address) as client:
        with pytest.raises(mpreg.ConfigError, match="only worker processes"):
            await client._request("worker.leave", {}, 1.0)
    assert (await hub.call("who"))[1] != app.pid
