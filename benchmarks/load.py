"""The load every system gets: k tasks in a closed loop over one client, for some seconds."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

Call = Callable[..., Awaitable[Any]]
SAMPLE_EVERY = 16
LOOK_EVERY = 64


async def closed_loop(call: Call, function: Any, in_flight: int, seconds: float) -> dict[str, float]:
    """Calls/s, CPU of this process per call (us), p50 and p99 of the sampled round trips (us)."""
    samples: list[float] = []
    done = 0
    stop = time.perf_counter() + seconds

    async def worker() -> None:
        nonlocal done
        n = 0
        while time.perf_counter() < stop:
            n += 1
            sampled = in_flight == 1 or n % SAMPLE_EVERY == 1
            start = time.perf_counter()
            if await call(function, n, 2) != n + 2:
                raise AssertionError("wrong result")
            if sampled:
                samples.append(time.perf_counter() - start)
        done += n

    gc.collect()
    gc.freeze()
    cpu, start = time.process_time(), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
    gc.unfreeze()
    samples.sort()
    return {
        "per_second": done / elapsed,
        "cpu_us": cpu / done * 1e6,
        "p50_us": samples[len(samples) // 2] * 1e6,
        "p99_us": samples[int(len(samples) * 0.99)] * 1e6,
    }


async def steady(call: Call, function: Any, share: int, seconds: float) -> dict[str, float]:
    """Calls at `share` percent of the rate that 64 at a time reach, whether or not earlier ones have ended.

    A round trip counts from the moment at which its call was due, so what a stall delays is in the figures.
    """
    samples: list[float] = []

    async def one(due: float) -> None:
        if await call(function, 1, 2) != 3:
            raise AssertionError("wrong result")
        samples.append(time.perf_counter() - due)

    start = time.perf_counter()
    while time.perf_counter() < start + 0.5:
        await asyncio.gather(*(one(start) for _ in range(64)))
    pause = (time.perf_counter() - start) / len(samples) * 100 / share
    samples.clear()
    under_way: set[asyncio.Task[None]] = set()
    now = due = start = time.perf_counter()
    while due < start + seconds:
        while due <= now:
            task = asyncio.create_task(one(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            due += pause
        await asyncio.sleep(0.0005)
        now = time.perf_counter()
    await asyncio.gather(*under_way)
    samples.sort()
    p50, p99 = samples[len(samples) // 2], samples[int(len(samples) * 0.99)]
    return {"p50_us": p50 * 1e6, "p99_us": p99 * 1e6, "p99_to_p50": p99 / p50, "per_second": len(samples) / seconds}


async def receive(items: AsyncIterator[Any], seconds: float) -> dict[str, float]:
    """Items/s and MiB/s of one stream, and CPU of this process per item (us)."""
    size = 0
    for _ in range(LOOK_EVERY):
        size = len(await anext(items))
    done, cpu, start = 0, time.process_time(), time.perf_counter()
    async for item in items:
        if len(item) != size:
            raise AssertionError("wrong item")
        done += 1
        if done % LOOK_EVERY == 0 and time.perf_counter() - start >= seconds:
            break
    elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"per_second": done / elapsed, "mib_per_second": done * size / 2**20 / elapsed, "cpu_us": cpu / done * 1e6}


async def echo(call: Call, function: Any, value: Any, seconds: float) -> dict[str, float]:
    """Round trips of one large value after another: MiB/s (out and back counts once) and p50 (us)."""
    samples: list[float] = []
    size = memoryview(value).nbytes
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(samples) < 3:
        start = time.perf_counter()
        if memoryview(await call(function, value)).nbytes != size:
            raise AssertionError("wrong result")
        samples.append(time.perf_counter() - start)
    samples.sort()
    return {"mib_per_second": len(samples) * size / 2**20 / sum(samples), "p50_us": samples[len(samples) // 2] * 1e6}
