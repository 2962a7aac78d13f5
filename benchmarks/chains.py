"""Three calls, each with the result of the one before: made one after another, or as the steps of one call graph."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

WARM_UP = 0.2


async def chain(client: Any, way: str, functions: list[str], seconds: float) -> dict[str, float]:
    """p50 of all three (us), and CPU of this process for them (us).

    `way`: three `calls`, one `graph` that was built before, or one that is `built` each time.
    """
    for name in functions:
        await client.wait_for(name)

    def build(number: int) -> Any:
        result: Any = number
        for name in functions:
            result = client.step(name, result, 1)
        return result

    ready = build(0)

    async def calls(number: int) -> int:
        result = number
        for name in functions:
            result = await client.call(name, result, 1)
        return result - number

    async def graph(_: int) -> int:
        return await client.run(ready)

    async def built(number: int) -> int:
        return await client.run(build(number)) - number

    work = {"calls": calls, "graph": graph, "built": built}[way]
    await repeated(work, len(functions), WARM_UP)
    return await repeated(work, len(functions), seconds)


async def repeated(work: Callable[[int], Awaitable[int]], expected: int, seconds: float) -> dict[str, float]:
    samples: list[float] = []
    gc.collect()
    gc.freeze()
    cpu, stop = time.process_time(), time.perf_counter() + seconds
    while (start := time.perf_counter()) < stop:
        if await work(len(samples)) != expected:
            raise AssertionError("wrong result")
        samples.append(time.perf_counter() - start)
    cpu = time.process_time() - cpu
    gc.unfreeze()
    samples.sort()
    return {"p50_us": samples[len(samples) // 2] * 1e6, "cpu_us": cpu / len(samples) * 1e6}
