"""Processes that fork, and interpreters that end while calls are under way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import LocalMesh, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from children import Children


@pytest.fixture
async def address(children: Children) -> AsyncIterator[str]:
    """A node of this process, with `double` and `hang`."""
    import asyncio

    async with LocalMesh([mpreg.Node("hub")], transport="tcp") as mesh:
        hub = mesh.nodes[0]

        @hub.function
        async def double(x: int) -> int:
            return 2 * x

        @hub.function
        async def hang() -> None:
            await asyncio.Event().wait()

        @hub.function
        async def count(stop: int) -> AsyncIterator[int]:
            for number in range(stop):
                yield number

        yield hub.address


PRELUDE = """
import asyncio, multiprocessing, os, signal, sys, threading, warnings
import mpreg

address = sys.argv[1]
warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what this is about

def in_a_fork(use):
    # Ends without any clean-up of Python, as servers do; 0 only if `use` returned.
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            use()
            code = 0
        except BaseException as error:
            print(f"in the fork: {type(error).__name__}: {error}", flush=True)
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def refused(use):
    try:
        use()
    except mpreg.ConfigError as error:
        assert "made before fork; create it in the child" in str(error), error
    else:
        raise AssertionError("it was not refused")
"""


async def passes(children: Children, script: str, *arguments: str) -> str:
    child = children.run(PRELUDE + script, *arguments)
    code = await child.exit_code()
    assert code == 0, child.out + child.err
    assert "Traceback" not in child.err, child.err
    assert "panicked" not in child.err, child.err
    return child.out


async def test_a_client_made_before_fork_is_refused_in_the_child_and_lives_on(children: Children, address: str) -> None:
    await passes(
        children,
        """
client = mpreg.SyncClient(address)
assert client.call("double", 1) == 2
handle = client.remote("double")
future = client.submit("double", 3)

def child():
    for use in (lambda: client.call("double", 1), lambda: handle(1), client.members, lambda: client.submit("double", 1),
                lambda: list(client.map("double", [1]))):
        refused(use)
    with mpreg.SyncClient(address) as own:
        assert own.call("double", 4) == 8
        assert list(own.map("double", range(10))) == list(range(0, 20, 2))

for _ in range(3):
    assert in_a_fork(child) == 0
    assert client.call("double", 2) == 4
assert future.result() == 6
client.close()
""",
        address,
    )


async def test_streams_and_graphs_of_before_fork_are_refused_in_the_child_and_live_on(
    children: Children, address: str
) -> None:
    await passes(
        children,
        """
client = mpreg.SyncClient(address)
stream = client.stream("count", 5)
assert next(stream) == 0
step = client.step("double", 4)

def child():
    for use in (lambda: next(stream), lambda: client.run(step), lambda: list(client.stream("count", 2))):
        refused(use)
    stream.close()
    with mpreg.SyncClient(address) as own:
        assert list(own.stream("count", 3)) == [0, 1, 2]
        assert own.run(own.step("double", own.step("double", 1))) == 4

for _ in range(2):
    assert in_a_fork(child) == 0
assert list(stream) == [1, 2, 3, 4]
assert client.run(step) == 8
client.close()
""",
        address,
    )


async def test_closing_a_client_in_the_child_is_its_parents_business(children: Children, address: str) -> None:
    await passes(
        children,
        """
with mpreg.SyncClient(address) as client:
    assert in_a_fork(client.close) == 0
    assert client.call("double", 1) == 2

async def main():
    return await mpreg.connect(address)

loop = asyncio.new_event_loop()
client = loop.run_until_complete(main())

def child():
    # No loop runs here, but that is not what is wrong.
    refused(lambda: client.call("double", 1))
    asyncio.run(client.close())

assert in_a_fork(child) == 0
async def lives():
    assert await client.call("double", 1) == 2

loop.run_until_complete(lives())
loop.run_until_complete(client.close())
loop.close()
""",
        address,
    )


async def test_a_node_started_before_fork_is_refused_in_the_child_and_lives_on(
    children: Children, address: str
) -> None:
    await passes(
        children,
        """
node = mpreg.Node("before", listen="127.0.0.1:0", seeds=[address])
later = mpreg.Node("later", seeds=[address])

@node.function
@later.function
async def triple(x: int) -> int:
    return 3 * x

with node.running() as mesh:
    assert mesh.call("double", 1) == 2

    def child():
        refused(lambda: mesh.call("double", 1))
        refused(lambda: mesh.call("triple", 1))
        with later.running() as own:
            assert own.call("double", 2) == 4
            assert own.call("triple", 2) == 6

    assert in_a_fork(child) == 0
    assert mesh.call("double", 2) == 4
    assert mesh.call("triple", 2) == 6
""",
        address,
    )


async def test_a_node_made_but_not_started_before_fork_serves_in_each_child(children: Children, address: str) -> None:
    """A server that loads the application first and forks its workers then."""
    out = await passes(
        children,
        """
node = mpreg.Node("worker", seeds=[address])

@node.function
def pid() -> int:
    return os.getpid()

handle = node.remote("pid")

async def on_a_loop():
    async with node:
        assert await node.call(pid) == await handle() == os.getpid()

def child():
    with node.running() as mesh:
        assert mesh.remote("pid")() == os.getpid()
        assert node.blocking.call(pid) == os.getpid()
        print(node.id, flush=True)
    asyncio.run(on_a_loop())

for _ in range(2):
    assert in_a_fork(child) == 0
""",
        address,
    )
    assert len(set(out.split())) == 2


async def test_forking_inside_a_running_loop(children: Children, address: str) -> None:
    await passes(
        children,
        """
async def main():
    async with mpreg.connect(address) as client:
        assert await client.call("double", 1) == 2
        hanging = asyncio.ensure_future(client.call("hang"))

        def child():
            async def own():
                refused(lambda: client.call("double", 1))
                async with mpreg.connect(address) as mine:
                    assert await mine.call("double", 2) == 4

            # The parent's loop is not the child's.
            asyncio.events._set_running_loop(None)
            asyncio.set_event_loop(None)
            asyncio.run(own())

        assert in_a_fork(child) == 0
        assert await client.call("double", 5) == 10
        assert not hanging.done()
        hanging.cancel()

asyncio.run(main())
""",
        address,
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
async def test_multiprocessing(children: Children, address: str, method: str) -> None:
    await passes(
        children,
        f"""
def work(x):
    with mpreg.SyncClient(address) as client:
        return client.call("double", x)

if __name__ == "__main__":
    with mpreg.SyncClient(address) as client:
        assert client.call("double", 1) == 2
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            assert pool.map(work, range(4)) == [0, 2, 4, 6]
        assert client.call("double", 1) == 2
""",
        address,
    )


EXITS = {
    "a blocking client never closed": """
client = mpreg.SyncClient(address)
assert client.call("double", 1) == 2
future = client.submit("hang")
""",
    "threads blocked in calls": """
client = mpreg.SyncClient(address)
def wait():
    try:
        client.call("hang")
    except mpreg.MpregError:
        pass
for _ in range(3):
    threading.Thread(target=wait, daemon=True).start()
assert client.call("double", 1) == 2
""",
    "a client and calls forgotten in a loop": """
async def main():
    client = await mpreg.connect(address)
    assert await client.call("double", 1) == 2
    main.kept = client, asyncio.ensure_future(client.call("hang"))
asyncio.run(main())
""",
    "a loop that was closed with calls under way": """
async def main():
    client = await mpreg.connect(address)
    calls = [asyncio.ensure_future(client.call("hang")) for _ in range(10)]
    assert await client.call("double", 1) == 2
    return client, calls
loop = asyncio.new_event_loop()
warnings.simplefilter("ignore", ResourceWarning)
kept = loop.run_until_complete(main())
loop.call_exception_handler = lambda context: None  # asyncio tells of pending tasks that are destroyed
loop.close()
""",
    "a node never stopped": """
node = mpreg.Node("forgotten", seeds=[address])
@node.function
async def wait() -> None:
    await asyncio.Event().wait()
@node.function
def wait_in_a_thread() -> None:
    threading.Event().wait(0.2)
async def main():
    await node.start()
    main.kept = [asyncio.ensure_future(node.call(f)) for f in (wait, wait_in_a_thread)]
    assert await node.call("double", 1) == 2
asyncio.run(main())
""",
    "functions in the middle of their work in threads": """
node = mpreg.Node("busy", seeds=[address])
begun = threading.Barrier(3)
@node.function
def spin() -> None:
    begun.wait()
    while True:
        pass
@node.function
def look_around() -> None:
    begun.wait()
    while True:
        threading.Event().wait(0.0001)
mesh = node.running()
surface = mesh.__enter__()
kept = [surface.submit(f) for f in (spin, look_around)]
begun.wait()
""",
    "a function that keeps its loop": """
node = mpreg.Node("busy", seeds=[address])
begun = threading.Event()
@node.function
async def spin() -> None:
    begun.set()
    while True:
        pass
mesh = node.running()
kept = mesh.__enter__().submit(spin)
begun.wait()
""",
    "sys.exit inside a running node": """
node = mpreg.Node("leaving", seeds=[address])
with node.running() as mesh:
    mesh.submit("hang")
    assert mesh.call("double", 1) == 2
    sys.exit(0)
""",
    "calls made by an exit handler": """
import atexit
client = mpreg.SyncClient(address)
def last():
    assert client.call("double", 2) == 4
    client.close()
    print("called", flush=True)
atexit.register(last)
""",
}


@pytest.mark.parametrize("how", EXITS)
async def test_the_interpreter_ends_at_once_whatever_is_under_way(children: Children, address: str, how: str) -> None:
    out = await passes(children, EXITS[how], address)
    if "exit handler" in how:
        assert out == "called\n"


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise KeyboardInterrupt"])
@pytest.mark.parametrize("after", ["await client.call('double', 1)", "await mpreg.connect(address)"])
async def test_a_program_ends_where_it_says_so(children: Children, address: str, after: str, ending: str) -> None:
    """Also right after a call: its task is resumed by the mesh, and what it raises is still the loop's."""
    script = f"""
async def main():
    client = await mpreg.connect(address)
    {after}
    {ending}

try:
    asyncio.run(main())
except (SystemExit, KeyboardInterrupt) as said:
    print("ended by", type(said).__name__)
"""
    out = await passes(children, script, address)
    assert out == f"ended by {'SystemExit' if 'exit' in ending else 'KeyboardInterrupt'}\n"


async def test_ctrl_c_ends_a_blocking_call(children: Children, address: str) -> None:
    child = children.run(
        PRELUDE
        + """
import signal
# Shells start what runs in the background with SIGINT ignored, and so would this be.
signal.signal(signal.SIGINT, signal.default_int_handler)
client = mpreg.SyncClient(address)
print("ready", flush=True)
try:
    client.call("hang")
except KeyboardInterrupt:
    print("interrupted", flush=True)
assert client.call("double", 1) == 2
client.close()
""",
        address,
    )
    await child.says("ready")
    import signal

    async def interrupted() -> bool:
        child.signal(signal.SIGINT)
        return "interrupted" in child.out

    # The first may come just before the call is waited for.
    await wait_for(interrupted)
    assert await child.exit_code() in (0, -signal.SIGINT, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
async def test_starting_and_stopping_leaves_nothing_behind(children: Children, address: str) -> None:
    await passes(
        children,
        """
import gc, time

def counts():
    return len(os.listdir("/proc/self/fd")), threading.active_count()

def once():
    node = mpreg.Node("again", seeds=[address])
    node.function("f")(lambda: 1)
    with node.running() as mesh, mpreg.SyncClient(address) as client:
        assert client.call("f") == 1
        assert mesh.call("double", 1) == 2

once()
descriptors, threads = counts()
# One socket, closed for the network, may be held after a round or not; 150 rounds leave no more of them.
def left():
    now = counts()
    return now[0] - descriptors > 1 or now[1] > threads

for _ in range(10):
    once()
end = time.monotonic() + 5
while left() and time.monotonic() < end:
    gc.collect()
    time.sleep(0.01)
assert not left(), (descriptors, threads, counts())
""",
        address,
    )
