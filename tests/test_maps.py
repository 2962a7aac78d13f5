"""`map`: a window of calls, read no faster than results leave, and nothing left behind."""

from __future__ import annotations

import asyncio
import collections.abc
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

import mpreg
from mpreg.testing import wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator


class Call(collections.abc.Coroutine[Any, Any, Any]):
    """Stands for the extension's: under way from the start, settled by the test."""

    def __init__(self, item: Any) -> None:
        self.item = item
        self.closed = False
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.future.__await__()

    def send(self, value: Any, /) -> Any:
        self.steps = getattr(self, "steps", None) or self.future.__await__()
        return self.steps.send(value)

    def throw(self, *error: Any) -> Any:
        self.closed = True
        return self.steps.throw(*error) if hasattr(self, "steps") else super().throw(*error)

    def close(self) -> None:
        self.closed = True


class Sent(list[Call]):
    def __call__(self, item: Any) -> Call:
        self.append(Call(item))
        return self[-1]

    @property
    def items(self) -> list[Any]:
        return [call.item for call in self]


def mapped(sent: Sent, items: Any, **options: Any) -> mpreg.Map[Any]:
    return mpreg.Map(sent, items, **{"concurrency": 2, "ordered": True, "errors": "raise", **options})


async def test_in_order_the_window_moves_only_when_a_result_leaves() -> None:
    sent = Sent()
    results = mapped(sent, range(10, 15))
    assert results.total == 5
    first = asyncio.ensure_future(anext(results))
    await asyncio.sleep(0)
    assert sent.items == [10, 11]
    sent[1].future.set_result("second")
    await asyncio.sleep(0)
    assert not first.done()
    assert sent.items == [10, 11]
    sent[0].future.set_result("first")
    assert await first == "first"
    assert sent.items == [10, 11]
    assert await anext(results) == "second"
    assert sent.items == [10, 11, 12]
    assert results.done == 2
    await results.aclose()


async def test_closing_cancels_what_is_under_way() -> None:
    sent = Sent()
    async with mapped(sent, range(9), concurrency=3) as results:
        first = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)
        sent[0].future.set_result(0)
        await first
    assert [call.closed for call in sent] == [False, True, True]


async def test_breaking_out_of_the_loop_cancels_the_rest() -> None:
    sent = Sent()

    async def take_one() -> None:
        async for _ in mapped(sent, range(9), concurrency=3):
            break

    task = asyncio.ensure_future(take_one())
    await asyncio.sleep(0)
    sent[0].future.set_result(0)
    await task
    for _ in range(3):  # the loop closes the dropped iterator
        await asyncio.sleep(0)
    assert [call.closed for call in sent] == [False, True, True]


async def test_the_first_error_ends_it_and_cancels_the_rest() -> None:
    sent = Sent()
    results = mapped(sent, range(9), concurrency=3)
    first = asyncio.ensure_future(anext(results))
    await asyncio.sleep(0)
    sent[0].future.set_exception(ValueError("bad"))
    with pytest.raises(ValueError, match="bad"):
        await first
    assert [call.closed for call in sent] == [False, True, True]
    with pytest.raises(StopAsyncIteration):
        await anext(results)


@pytest.mark.parametrize("ordered", [True, False])
async def test_errors_may_be_outcomes(*, ordered: bool) -> None:
    sent = Sent()
    results = mapped(sent, ["a", "b"], errors="yield", ordered=ordered)
    first = asyncio.ensure_future(anext(results))
    await wait_for(lambda: len(sent) >= 2)
    sent[0].future.set_exception(mpreg.OverloadedError("full", node="eu/x/1"))
    # What the handle of such a map makes of a value.
    sent[1].future.set_result(mpreg.Outcome(node="eu/x/2", value=7))
    failed, good = await first, await anext(results)
    assert (failed.ok, failed.node, good.ok, good.node, good.value) == (False, "eu/x/1", True, "eu/x/2", 7)
    with pytest.raises(mpreg.OverloadedError):
        _ = failed.value


async def test_unordered_gives_results_as_they_come() -> None:
    sent = Sent()
    results = mapped(sent, range(3), ordered=False)
    first = asyncio.ensure_future(anext(results))
    await wait_for(lambda: len(sent) >= 2)
    sent[1].future.set_result("fast")
    assert await first == "fast"
    sent[0].future.set_result("slow")
    assert await anext(results) == "slow"
    await wait_for(lambda: len(sent) >= 3)
    sent[2].future.set_result("last")
    assert [result async for result in results] == ["last"]
    assert results.done == 3


async def test_an_asynchronous_source_is_read_only_as_fast_as_results_leave() -> None:
    sent, read = Sent(), []

    async def source() -> AsyncIterator[int]:
        for item in range(100):
            read.append(item)
            yield item

    results = mapped(sent, source())
    assert results.total is None
    first = asyncio.ensure_future(anext(results))
    for _ in range(20):
        await asyncio.sleep(0)
    assert read == [0, 1]
    sent[0].future.set_result("x")
    assert await first == "x"
    for _ in range(20):
        await asyncio.sleep(0)
    assert read == [0, 1, 2]
    await results.aclose()


async def test_a_slow_source_does_not_hold_results_back() -> None:
    sent, more = Sent(), asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 1
        await more.wait()
        yield 2

    results = mapped(sent, source(), concurrency=8)
    first = asyncio.ensure_future(anext(results))
    await wait_for(lambda: sent)
    sent[0].future.set_result("one")
    assert await first == "one"
    await results.aclose()


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_error_of_the_source_is_raised(*, ordered: bool) -> None:
    async def source() -> AsyncIterator[int]:
        raise LookupError("source")
        yield 1

    with pytest.raises(LookupError, match="source"):
        await anext(mapped(Sent(), source(), ordered=ordered))


async def test_no_items_give_no_results() -> None:
    for ordered in (True, False):
        assert [result async for result in mapped(Sent(), [], ordered=ordered)] == []


@pytest.mark.parametrize(
    ("options", "told"),
    [({"concurrency": 0}, "takes 1 to"), ({"errors": "ignore"}, 'errors takes "raise" or "yield"')],
)
async def test_bad_options_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(mpreg.ConfigError, match=told):
        mapped(Sent(), [1], **options)
    with pytest.raises(mpreg.ConfigError, match="takes an iterable"):
        mapped(Sent(), 3)


class Submitted(list[Future[Any]]):
    """A portal whose work the test does."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Any] = []
        self.threads: set[int] = set()

    def __call__(self, item: Any) -> Future[Any]:
        self.items.append(item)
        self.threads.add(threading.get_ident())
        self.append(Future())
        return self[-1]


def sync_mapped(sent: Submitted, items: Any, **options: Any) -> mpreg.SyncMap[Any]:
    return mpreg.SyncMap(sent, items, **{"concurrency": 2, "ordered": True, "errors": "raise", **options})


def test_blocking_in_order() -> None:
    sent = Submitted()

    def items() -> Iterator[int]:
        for number in range(4):
            yield number
            sent[-1].set_result(number * 10)

    assert list(sync_mapped(sent, items(), concurrency=3)) == [0, 10, 20, 30]
    assert sent.threads == {threading.get_ident()}


def test_blocking_as_they_come_and_closed_early() -> None:
    sent = Submitted()
    with sync_mapped(sent, range(9), ordered=False) as results:
        thread = threading.Thread(target=lambda: _settle_when_there(sent, 1, "b"))
        thread.start()
        assert next(results) == "b"
        thread.join()
    assert sent.items == [0, 1]
    assert sent[0].cancelled()


def test_blocking_errors() -> None:
    sent = Submitted()
    results = sync_mapped(sent, range(3), errors="yield")
    thread = threading.Thread(target=lambda: _settle_when_there(sent, 0, mpreg.ConfigError("x")))
    thread.start()
    assert not next(results).ok
    thread.join()
    results.close()
    raising = sync_mapped(sent_too := Submitted(), range(3))
    thread = threading.Thread(target=lambda: _settle_when_there(sent_too, 0, mpreg.ConfigError("x")))
    thread.start()
    with pytest.raises(mpreg.ConfigError):
        next(raising)
    thread.join()
    assert all(future.cancelled() for future in sent_too[1:])


def _settle_when_there(sent: Submitted, number: int, result: Any) -> None:
    while len(sent) <= number:
        threading.Event().wait(0.001)
    if isinstance(result, Exception):
        sent[number].set_exception(result)
    else:
        sent[number].set_result(result)
