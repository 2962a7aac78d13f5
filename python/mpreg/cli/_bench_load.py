"""What `mpreg bench` does to a function, and what came of it.

Every call is timed by its caller; nothing is left out but the first ones, which open connections and fill caches.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import mpreg

_WARM_UP: Final = 20
MIB: Final = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement."""

    what: str
    path: str
    unit: str
    """Of what so many a second."""
    per_second: float
    bytes_per_second: float | None
    """Of values, each direction; None where they are small."""
    p50: float | None
    """Seconds of one call, as its caller sees it."""
    p99: float | None
    count: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Something to measure, for so many seconds."""

    what: str
    path: str
    measure: Callable[[str, str, float], Awaitable[Row]]

    async def run(self, seconds: float) -> Row:
        """Measures."""
        return await self.measure(self.what, self.path, seconds)


def calls(path: str, call: Callable[[], Awaitable[Any]]) -> list[Measurement]:
    """One after another, 64 and 512 side by side."""
    return [
        Measurement("one after another", path, _load(call, 1)),
        Measurement("64 in flight", path, _load(call, 64)),
        Measurement("512 in flight", path, _load(call, 512)),
    ]


def large(path: str, call: Callable[[bytes], Awaitable[Any]]) -> list[Measurement]:
    """A value of 1 MiB there and back."""
    value = bytes(MIB)
    return [Measurement("1 MiB there and back", path, _load(lambda: call(value), 1, value_bytes=MIB))]


def streams(path: str, items: Callable[[int], mpreg.Stream[bytes]]) -> list[Measurement]:
    """Small and large items, read as fast as they come."""
    return [
        Measurement("stream of 100 B items", path, _stream(items, 100)),
        Measurement("stream of 64 KiB items", path, _stream(items, 64 << 10)),
    ]


def _load(
    call: Callable[[], Awaitable[Any]], in_flight: int, *, value_bytes: int = 0
) -> Callable[[str, str, float], Awaitable[Row]]:
    async def measure(what: str, path: str, seconds: float) -> Row:
        for _ in range(_WARM_UP):
            await call()
        clock, times = time.perf_counter, list[float]()
        begin = clock()
        end = begin + seconds

        async def one_after_another() -> None:
            while (sent := clock()) < end:
                await call()
                times.append(clock() - sent)

        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(one_after_another())
        took = clock() - begin
        times.sort()
        return Row(
            what=what,
            path=path,
            unit="calls",
            per_second=len(times) / took,
            bytes_per_second=len(times) * value_bytes / took if value_bytes else None,
            p50=quantile(times, 0.5),
            p99=quantile(times, 0.99),
            count=len(times),
            seconds=took,
        )

    return measure


def _stream(items: Callable[[int], mpreg.Stream[bytes]], size: int) -> Callable[[str, str, float], Awaitable[Row]]:
    async def measure(what: str, path: str, seconds: float) -> Row:
        clock, count = time.perf_counter, 0
        async with items(size) as stream:
            await anext(stream)
            begin = now = clock()
            async for _ in stream:
                count += 1
                now = clock()
                if now - begin >= seconds:
                    break
        took = max(now - begin, 1e-9)
        return Row(
            what=what,
            path=path,
            unit="items",
            per_second=count / took,
            bytes_per_second=count * size / took,
            p50=None,
            p99=None,
            count=count,
            seconds=took,
        )

    return measure


def quantile(ordered: Sequence[float], part: float) -> float | None:
    """The least of them that so many do not exceed."""
    return ordered[max(math.ceil(part * len(ordered)), 1) - 1] if ordered else None
