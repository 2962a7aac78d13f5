"""One function over many items: a window of calls under way, refilled only as fast as results leave it.

`errors="raise"` ends with the first error, `errors="yield"` gives an `Outcome` per item. Leaving the iteration, by
whatever way, cancels what is under way. `done` and `total` are for a progress bar.
"""

from __future__ import annotations

import asyncio
import collections
import queue
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Self, TypeVar

from mpreg._errors import ConfigError
from mpreg._fields import integer
from mpreg._native import native
from mpreg._outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from concurrent.futures import Future

    from mpreg._mpreg import Call, RemoteCore

_T_co = TypeVar("_T_co", covariant=True)

Errors = Literal["raise", "yield"]
CONCURRENCY: Final = 256
_CONCURRENCY_MAX: Final = 65_536


class _Progress:
    """What both kinds of map check and count."""

    def __init__(self, items: Any, concurrency: int, errors: str) -> None:
        self.concurrency = integer(concurrency, "concurrency", least=1, most=_CONCURRENCY_MAX)
        if errors not in ("raise", "yield"):
            raise ConfigError(f'errors takes "raise" or "yield", not {errors!r}')
        self.total: int | None = len(items) if isinstance(items, Sized) else None
        """How many items there are, if they can be counted beforehand."""
        self.done = 0
        """How many results left so far."""


class Map(_Progress, AsyncIterator[_T_co], Generic[_T_co]):
    """`async for result in caller.map(f, items)`; also an async context manager, which closes it at the end."""

    def __init__(
        self,
        send: Callable[[Any], Call[Any]],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        concurrency: int,
        ordered: bool,
        errors: str,
    ) -> None:
        super().__init__(items, concurrency, errors)
        settle = _value if errors == "raise" else _outcome
        if ordered and not isinstance(items, AsyncIterable):
            self._results = _in_order(send, _checked(items), self.concurrency, settle)
        else:
            self._results = _side_by_side(send, _asynchronous(items), self.concurrency, settle, ordered=ordered)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T_co:
        result: _T_co = await anext(self._results)
        self.done += 1
        return result

    async def aclose(self) -> None:
        """Cancels what is under way. Twice changes nothing."""
        await self._results.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class SyncMap(_Progress, Iterator[_T_co], Generic[_T_co]):
    """`for result in caller.map(f, items)`: items are read and results given on the calling thread."""

    def __init__(
        self,
        submit: Callable[[Any], Future[Any]],
        items: Iterable[Any],
        *,
        concurrency: int,
        ordered: bool,
        errors: str,
    ) -> None:
        super().__init__(items, concurrency, errors)
        run = _threaded_in_order if ordered else _threaded_as_done
        self._results = run(submit, iter(_checked(items)), self.concurrency, raising=errors == "raise")

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T_co:
        native.refuse_on_serving_loop("map")
        result: _T_co = next(self._results)
        self.done += 1
        return result

    def close(self) -> None:
        """Cancels what is under way. Twice changes nothing."""
        self._results.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _value(call: Call[Any]) -> Any:
    return await call


def prepared(handle: RemoteCore, errors: str) -> RemoteCore:
    """The handle for the calls of a map: one that yields errors tells of each value who gave it."""
    return handle.with_outcome(_returned) if errors == "yield" else handle


def _returned(node: str | None, value: Any) -> Outcome[Any]:
    return Outcome(node=node, value=value)


def _failed(error: Exception) -> Outcome[Any]:
    return Outcome(node=getattr(error, "node", None), error=error)


async def _outcome(call: Call[Any]) -> Any:
    try:
        return await call
    except Exception as error:  # noqa: BLE001 - whatever the function raised is this item's outcome
        return _failed(error)


async def _in_order(
    send: Callable[[Any], Call[Any]], items: Iterable[Any], concurrency: int, settle: Callable[[Call[Any]], Any]
) -> AsyncGenerator[Any]:
    """The quick way: calls are under way from the moment they are made, so no task is needed for any of them."""
    under_way: collections.deque[Call[Any]] = collections.deque()
    source = iter(items)
    more = True
    try:
        while True:
            while more and len(under_way) < concurrency:
                try:
                    item = next(source)
                except StopIteration:
                    more = False
                else:
                    under_way.append(send(item))
            if not under_way:
                return
            yield await settle(under_way.popleft())
    finally:
        for call in under_way:
            call.close()


async def _side_by_side(
    send: Callable[[Any], Call[Any]],
    items: AsyncIterator[Any],
    concurrency: int,
    settle: Callable[[Call[Any]], Any],
    *,
    ordered: bool,
) -> AsyncGenerator[Any]:
    """A task per call, and one that reads: for sources that make one wait, and for results as they come."""
    results: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue()
    free = asyncio.Semaphore(concurrency)
    tasks: set[asyncio.Task[Any]] = set()

    async def read() -> None:
        while True:
            await free.acquire()
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            task = asyncio.ensure_future(settle(send(item)))
            tasks.add(task)
            if ordered:
                results.put_nowait(task)
            else:
                task.add_done_callback(results.put_nowait)

    reader = asyncio.create_task(read())
    # Wakes the loop below when the source is at its end, or failed.
    reader.add_done_callback(lambda _: results.put_nowait(None))
    try:
        while tasks or not reader.done():
            task = await results.get()
            if task is None:
                # Results that were there before the end come first; an error of the source ends all.
                await reader
                continue
            result = await task
            tasks.discard(task)
            free.release()
            yield result
    finally:
        await _cancelled({reader, *tasks})


async def _cancelled(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _threaded_in_order(
    submit: Callable[[Any], Future[Any]], items: Iterator[Any], concurrency: int, *, raising: bool
) -> Generator[Any]:
    under_way: collections.deque[Future[Any]] = collections.deque()
    more = True
    try:
        while True:
            while more and len(under_way) < concurrency:
                try:
                    under_way.append(submit(next(items)))
                except StopIteration:
                    more = False
            if not under_way:
                return
            yield _settled(under_way[0], raising=raising)
            under_way.popleft()
    finally:
        for future in under_way:
            future.cancel()


def _threaded_as_done(
    submit: Callable[[Any], Future[Any]], items: Iterator[Any], concurrency: int, *, raising: bool
) -> Generator[Any]:
    under_way: set[Future[Any]] = set()
    finished: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    more = True
    try:
        while True:
            while more and len(under_way) < concurrency:
                try:
                    future = submit(next(items))
                except StopIteration:
                    more = False
                else:
                    under_way.add(future)
                    future.add_done_callback(finished.put)
            if not under_way:
                return
            future = finished.get()
            under_way.discard(future)
            yield _settled(future, raising=raising)
    finally:
        for future in under_way:
            future.cancel()


def _settled(future: Future[Any], *, raising: bool) -> Any:
    if raising:
        return future.result()
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - whatever the function raised is this item's outcome
        return _failed(error)


def _checked(items: Any) -> Iterable[Any]:
    if not isinstance(items, Iterable):
        raise ConfigError(f"map takes an iterable of items, not {type(items).__name__}")
    return items  # pyright: ignore[reportUnknownVariableType]


async def _asynchronous(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in _checked(items):
            yield item
