"""Streams: what drives an asynchronous generator at the callee, and the blocking reader.

The asynchronous reader, `Stream`, is the extension's own. The blocking one reads through a loop in the background, and
takes what has come in one crossing, a few items at a time: those few are the only ones that count as read before the
program has them.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from mpreg._native import native

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from mpreg._mpreg import Stream
    from mpreg._portal import Portal

_T_co = TypeVar("_T_co", covariant=True)

# Items that cross at one time.
_AT_ONCE: Final = 64


async def pump(items: AsyncGenerator[Any], push: Callable[[Any], Awaitable[None] | None]) -> None:
    """Sends each item of a generator; what `push` returns is the wait for credit, or for the loop's other work."""
    try:
        async for item in items:
            wait = push(item)
            if wait is not None:
                await wait
    finally:
        # Also when nobody reads any more: the generator's own `finally` runs now, not when it is collected.
        await items.aclose()


class SyncStream(Iterator[_T_co], Generic[_T_co]):
    """`for item in caller.stream(f, ...)`; also a context manager, which closes it at the end. For one thread at a time."""

    def __init__(self, portal: Portal, start: Callable[[], Stream[Any]], verb: str = "stream") -> None:
        native.refuse_on_serving_loop(verb)

        async def opened() -> Stream[Any]:
            return start()

        self._verb, self._portal = verb, portal
        self._ready: collections.deque[_T_co] = collections.deque()
        self._stream: Stream[Any] = portal.run(opened)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T_co:
        self._portal.check_process()
        if not self._ready:
            native.refuse_on_serving_loop(self._verb)
            self._ready.extend(self._portal.run(self._some))
            if not self._ready:
                raise StopIteration
        return self._ready.popleft()

    async def _some(self) -> list[Any]:
        try:
            first = await anext(self._stream)
        except StopAsyncIteration:
            return []
        return [first, *self._stream.ready(_AT_ONCE - 1)]

    def close(self) -> None:
        """Cancels the generator at the callee; what was not read is dropped. Twice changes nothing."""
        self._ready.clear()
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
