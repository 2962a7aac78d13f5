"""The client's part: finds the nodes, has them index, searches, and asks who did what."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import time
from typing import TYPE_CHECKING

import mpreg
from mpreg.demo import api, sources
from mpreg.demo.processes import NODES

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Report:
    """What came out."""

    answer: api.Answer
    words: int
    """Words in all files."""
    seconds: float
    """From the first call to the answer."""
    work: dict[str, api.Work]
    """What each node did, by its id."""


async def run(address: str, word: str, advance: Callable[[int, int], None]) -> Report:
    """Does the whole job as a client of the node at `address`; `advance(done, total)` is told after each file."""
    async with mpreg.connect(address) as client:
        await client.wait_for(api.index, nodes=len(NODES), timeout=30.0)
        await client.wait_for(api.search, resources={"ranker"}, timeout=30.0)
        begin = time.monotonic()
        words = await _index(client, advance)
        answer = await client.call(api.search, word)
        seconds = time.monotonic() - begin
        outcomes = await client.remote(api.work).call_all()
        return Report(answer, words, seconds, {str(outcome.node): outcome.value for outcome in outcomes})


async def _index(client: mpreg.Client, advance: Callable[[int, int], None]) -> int:
    """Every file goes to the node that owns its shard; nobody here knows which one that is."""
    files = collections.defaultdict[int, list[str]](list)
    for path in sources.files():
        files[sources.shard_of(path)].append(path)
    total, done, words = sum(map(len, files.values())), 0, 0
    if not total:
        raise mpreg.MpregError(f"there are no Python sources in {sources.folder()}")

    async def fan_out(shard: int) -> None:
        nonlocal done, words
        owner = client.remote(api.index, resources={sources.resource(shard)}, timeout=120.0)
        async with client.map(owner, files[shard], concurrency=4) as counts:
            async for count in counts:
                done, words = done + 1, words + count
                advance(done, total)

    async with asyncio.TaskGroup() as group:
        for shard in files:
            group.create_task(fan_out(shard))
    return words
