"""Streams through a real mesh, from every place a caller can stand at."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator  # noqa: TC003 - hints of functions
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from ways import Way

# Far more than any window holds.
ENDLESS = 1 << 40


@dataclasses.dataclass
class Line:
    number: int
    text: str


class Log:
    """What generators did at the callee."""

    def __init__(self) -> None:
        self.made = 0
        self.ended: list[str] = []

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        else:
            self.ended.append("over")

    def numbers(self, to: int) -> Iterator[int]:
        for number in range(to):
            self.made += 1
            yield number

    def offer(self, way: Way, prefix: str = "") -> None:
        @way.function(f"{prefix}count")
        async def count(to: int) -> AsyncIterator[int]:
            with self.noting():
                for number in self.numbers(to):
                    yield number

        @way.function(f"{prefix}count.plain")
        def count_plain(to: int) -> Iterator[int]:
            with self.noting():
                yield from self.numbers(to)

        @way.function(f"{prefix}waits")
        async def waits(first: int) -> AsyncIterator[int]:
            with self.noting():
                for number in range(first):
                    yield number
                await asyncio.Event().wait()


async def read(stream: mpreg.Stream, into: list) -> None:
    async for item in stream:
        into.append(item)  # noqa: PERF401 - what came before an error counts


@pytest.fixture
def log() -> Log:
    return Log()


BOTH = pytest.mark.parametrize("name", ["count", "count.plain"])


@BOTH
async def test_items_come_once_and_in_order(way: Way, log: Log, name: str) -> None:
    log.offer(way)
    for to in (0, 1, 20_000):
        assert [x async for x in way.caller.stream(name, to)] == list(range(to))
    assert log.ended == ["over"] * 3


async def test_streams_of_all_ways_at_once_on_one_loop_keep_their_order(far: Way, log: Log) -> None:
    log.offer(far)
    callers = (far.caller, far.mesh.nodes[2], far.server)

    async def read_all(number: int) -> list[int]:
        name = "count" if number % 2 else "count.plain"
        return [x async for x in callers[number % 3].stream(name, 2000)]

    for _ in range(3):
        assert await asyncio.gather(*map(read_all, range(60))) == [list(range(2000))] * 60


async def test_streams_by_object_by_name_and_by_handle(way: Way) -> None:
    @way.function
    async def lines(ctx: mpreg.Context, count: int, *, word: str = "a") -> AsyncIterator[Line]:
        for number in range(count):
            yield Line(number, f"{word}{number}")

    caller, rebuilt = way.caller, [Line(0, "b0"), Line(1, "b1")]
    assert [x async for x in caller.stream(lines, 2, word="b")] == rebuilt
    assert [x async for x in caller.remote(lines, timeout=5.0).stream(2, word="b")] == rebuilt
    assert [x async for x in caller.remote("lines", returns=Line).stream(2, word="b")] == rebuilt
    assert [x async for x in caller.stream("lines", 1)] == [{"number": 0, "text": "a0"}]


async def test_every_annotation_of_a_stream_says_what_its_items_are(far: Way) -> None:
    async def one() -> AsyncGenerator[Line, None]:
        yield Line(1, "x")

    def two() -> Generator[Line, None, None]:
        yield Line(1, "x")

    async def three() -> typing.AsyncIterator[Line]:
        yield Line(1, "x")

    for function in (one, two, three):
        far.function(function)
        assert [x async for x in far.caller.stream(function)] == [Line(1, "x")]


async def test_an_item_that_does_not_fit_its_hint_ends_the_stream(far: Way, log: Log) -> None:
    log.offer(far)
    with pytest.raises(mpreg.DecodeError, match="expected str") as told:
        await read(far.caller.remote("count", returns=str).stream(ENDLESS), [])
    assert told.value.executed == "yes"
    await wait_for(lambda: log.ended)


@BOTH
async def test_the_wrong_verb_names_the_right_one_before_anything_starts(way: Way, log: Log, name: str) -> None:
    log.offer(way)
    way.function("one")(lambda: 1)
    with pytest.raises(mpreg.ConfigError, match=r"use stream\(") as told:
        await way.caller.call(name, 3)
    assert told.value.executed == "no"
    with pytest.raises(mpreg.ConfigError, match=r"use call\("):
        await anext(way.caller.stream("one"))
    assert (log.made, log.ended) == (0, [])


@BOTH
async def test_a_slow_reader_stops_its_own_sender_and_nobody_elses(way: Way, log: Log, name: str) -> None:
    log.offer(way)
    way.function("one")(lambda: 1)
    others = Log()
    others.offer(way, "others.")
    slow = way.caller.stream(name, ENDLESS)
    assert await anext(slow) == 0
    await wait_for(lambda: log.made > 10_000)
    for _ in range(3):
        assert [x async for x in way.caller.stream("others.count", 30_000)] == list(range(30_000))
        assert await way.caller.call("one") == 1
    # A window of 256 KiB, of which each item takes 16 bytes and its own.
    assert log.made < 262_144 / 16
    # It goes on where it was.
    assert [await anext(slow) for _ in range(50_000)] == list(range(1, 50_001))
    await slow.aclose()
    await wait_for(lambda: log.ended)


async def test_many_slow_readers_hold_neither_threads_nor_calls(far: Way, log: Log) -> None:
    log.offer(far)
    far.function("one")(lambda: 1)
    slow = [far.caller.stream("count.plain", ENDLESS) for _ in range(100)]
    assert [await anext(each) for each in slow] == [0] * 100
    assert await far.caller.call("one") == 1
    for each in slow:
        await each.aclose()
    await wait_for(lambda: len(log.ended) == 100)
    assert set(log.ended) == {"GeneratorExit"}


async def test_large_items_pass_a_window_that_they_do_not_fit(way: Way) -> None:
    sizes = [0, 1, 60_000, 65_536, 70_000, 131_072, 262_144, 3_000_000, 5]

    @way.function
    async def blobs() -> AsyncIterator[bytes]:
        for number, size in enumerate(sizes):
            yield bytes([number]) * size

    got = [x async for x in way.caller.stream(blobs)]
    assert [len(x) for x in got] == sizes
    assert all(set(x) <= {number} for number, x in enumerate(got))


@pytest.mark.parametrize("name", ["fails", "fails.plain"])
async def test_an_error_comes_after_the_items_before_it(way: Way, name: str) -> None:
    @way.function("fails")
    async def fails() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise ValueError("three")

    @way.function("fails.plain")
    def fails_plain() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("three")

    seen = []
    with pytest.raises(ValueError, match="three") as told:
        await read(way.caller.stream(name), seen)
    assert seen == [1, 2]
    assert isinstance(told.value, mpreg.RemoteError)
    assert (told.value.executed, told.value.attempts) == ("yes", 1)
    assert "ValueError: three" in (told.value.traceback or "")


@pytest.mark.parametrize("name", ["odd", "odd.plain"])
async def test_an_item_that_cannot_be_sent_ends_the_stream_and_says_where(way: Way, name: str) -> None:
    ended = threading.Event()

    def items() -> Iterator[object]:
        try:
            yield 1
            yield {"rows": [1, object()]}
        finally:
            ended.set()

    @way.function("odd")
    async def odd() -> AsyncIterator[object]:
        for item in items():
            yield item

    way.function("odd.plain")(items)
    seen = []
    with pytest.raises(mpreg.EncodeError, match=r"item\['rows'\]\[1\]"):
        await read(way.caller.stream(name), seen)
    assert seen == [1]
    await wait_for(ended.is_set)


async def test_an_item_may_be_as_large_as_a_value(mpreg_mesh: Callable) -> None:
    config = mpreg.Config(max_value_bytes=100_000)
    async with mpreg_mesh(nodes=1, config=config) as mesh:

        @mesh.nodes[0].function
        async def blobs(size: int) -> AsyncIterator[bytes]:
            yield b"x" * size

        assert [len(x) async for x in mesh.nodes[0].stream(blobs, 90_000)] == [90_000]
        with pytest.raises(mpreg.TooLargeError):
            await anext(mesh.nodes[0].stream(blobs, 100_001))


@BOTH
@pytest.mark.parametrize("how", ["break", "aclose", "with", "drop", "cancel"])
async def test_leaving_a_stream_ends_its_generator(way: Way, log: Log, name: str, how: str) -> None:
    log.offer(way)

    async def leave() -> None:
        stream = way.caller.stream(name, ENDLESS)
        if how == "with":
            async with stream as items:
                assert await anext(items) == 0
        elif how == "aclose":
            assert await anext(stream) == 0
            await stream.aclose()
            await stream.aclose()
            assert [x async for x in stream] == []
        else:
            async for x in stream:
                if x == 30_000 and how != "cancel":
                    break

    task = asyncio.ensure_future(leave())
    if how == "cancel":
        await wait_for(lambda: log.made > 1000)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    else:
        await task
    await wait_for(lambda: log.ended)
    assert log.ended[0] in ("GeneratorExit", "CancelledError")


async def test_a_generator_that_waits_is_cancelled_where_it_waits(way: Way, log: Log) -> None:
    log.offer(way)
    stream = way.caller.stream("waits", 2)
    assert [await anext(stream), await anext(stream)] == [0, 1]
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    waiting.cancel()
    await wait_for(lambda: log.ended == ["CancelledError"])
    assert [x async for x in stream] == []


async def test_a_stream_that_is_never_iterated_warns_and_is_cancelled(far: Way, log: Log) -> None:
    begun = asyncio.Event()

    @far.function("begins")
    async def begins() -> AsyncIterator[int]:
        with log.noting():
            begun.set()
            await asyncio.Event().wait()
            yield 0

    def ask() -> list[object]:
        # Held by nothing but this list, so that the test says when it is dropped.
        return [far.caller.stream("begins")]

    asked = ask()
    await asyncio.wait_for(begun.wait(), 10)
    with pytest.warns(RuntimeWarning, match="never iterated"):
        asked.clear()
    await wait_for(lambda: log.ended == ["CancelledError"])


async def test_two_tasks_cannot_wait_for_the_same_item(far: Way, log: Log) -> None:
    log.offer(far)
    stream = far.caller.stream("waits", 0)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await first


async def test_the_deadline_is_for_the_first_item(way: Way) -> None:
    go = asyncio.Event()

    @way.function
    async def late(ctx: mpreg.Context, items: int) -> AsyncIterator[float]:
        for _ in range(items):
            yield ctx.remaining
            await go.wait()
        await asyncio.Event().wait()

    with pytest.raises(mpreg.DeadlineExceededError):
        await anext(way.caller.remote(late, timeout=0.2).stream(0))
    stream = way.caller.remote(late, timeout=0.3).stream(3)
    assert await anext(stream) <= 0.3
    # Longer than the deadline: nothing of it is left when this call has run out of the same time.
    with pytest.raises(mpreg.DeadlineExceededError):
        await way.caller.remote(way.function("hang")(asyncio.Event().wait), timeout=0.4)()
    go.set()
    # Work of a stream that flows is not bound to the time for its first item.
    assert await anext(stream) > 3600
    await stream.aclose()


async def test_the_timeout_of_the_function_ends_its_streams(way: Way) -> None:
    @way.function(timeout=0.3)
    async def short(ctx: mpreg.Context) -> AsyncIterator[float]:
        yield ctx.remaining
        yield ctx.remaining
        await asyncio.Event().wait()

    seen = []
    with pytest.raises(mpreg.DeadlineExceededError) as told:
        await read(way.caller.stream(short), seen)
    assert len(seen) == 2
    assert max(seen) <= 0.3
    assert told.value.executed == "yes"


async def test_retries_end_with_the_first_item(far: Way) -> None:
    tries = []

    @far.function(idempotent=True)
    async def flaky() -> AsyncIterator[int]:
        tries.append(1)
        yield 1
        raise ConnectionError("from inside")

    seen = []
    with pytest.raises(ConnectionError):
        await read(far.caller.remote(flaky, retries=5).stream(), seen)
    assert (seen, len(tries)) == ([1], 1)


async def test_a_stream_of_a_busy_function_is_sent_again_as_a_call_is(far: Way) -> None:
    other = far.mesh.nodes[0]

    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    for node in (far.server, other):
        node.function("numbers")(numbers)
    await far.caller.wait_for("numbers", nodes=2)
    leaving = asyncio.ensure_future(far.server.stop())
    assert [[x async for x in far.caller.stream("numbers")] for _ in range(20)] == [[0, 1, 2]] * 20
    await leaving


async def test_streams_hold_up_a_drain_and_end_with_it(mpreg_mesh: Callable, log: Log) -> None:
    async with mpreg_mesh(nodes=2, config=mpreg.Config(drain_timeout=0.2)) as mesh:
        server, caller = mesh.nodes
        await mesh.converged()

        class Here:
            function = server.function

        log.offer(Here)
        stream = caller.stream("waits", 1)
        assert await anext(stream) == 0
        stopping = asyncio.ensure_future(server.stop())
        with pytest.raises(mpreg.CancelledByPeerError, match="drain_timeout"):
            await anext(stream)
        await stopping
        assert log.ended == ["CancelledError"]


async def test_a_closed_client_ends_its_streams(far: Way, log: Log) -> None:
    log.offer(far)
    async with far.mesh.connect(far.mesh.nodes[2]) as client:
        stream = client.stream("waits", 1)
        assert await anext(stream) == 0
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
    with pytest.raises(mpreg.ConnectionLostError):
        await waiting
    await wait_for(lambda: log.ended == ["CancelledError"])


async def test_a_generator_that_never_waits_leaves_the_loop_to_others(far: Way, log: Log) -> None:
    log.offer(far)

    @far.function
    async def one() -> int:
        return 1

    reading = asyncio.ensure_future(read(far.caller.stream("count", ENDLESS), []))
    await wait_for(lambda: log.made > 20_000)
    assert await far.caller.call(one) == 1
    reading.cancel()
    await wait_for(lambda: log.ended)


async def test_methods_and_partials_stream(far: Way) -> None:
    import functools

    class Shop:
        async def prices(self, start: int) -> AsyncIterator[int]:
            yield start
            yield start + 1

    shop = Shop()
    far.function(shop.prices)
    far.function("half")(functools.partial(shop.prices, 7))
    assert [x async for x in far.caller.stream(shop.prices, 3)] == [3, 4]
    assert [x async for x in far.caller.stream("half")] == [7, 8]


async def test_an_exception_on_its_way_is_not_lost_when_a_call_or_stream_goes(far: Way, log: Log) -> None:
    log.offer(far)
    with pytest.raises(TypeError, match="__aiter__"), pytest.warns(RuntimeWarning, match="never awaited"):
        async for _ in far.caller.call("count", 1):  # type: ignore[attr-defined]
            pass
    with pytest.raises(TypeError, match="await"), pytest.warns(RuntimeWarning, match="never iterated"):
        await far.caller.stream("waits", 1)  # type: ignore[misc]
