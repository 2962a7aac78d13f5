"""The client's part: finds the nodes and has them search."""

from __future__ import annotations

import dataclasses

import mpreg
from mpreg.demo import api, graph
from mpreg.demo.processes import DESKS, SHELVES

# For all of it, on a machine that is busy with other things.
_TIMEOUT = 300.0


@dataclasses.dataclass(frozen=True)
class Result:
    """What came out."""

    answer: api.Answer
    report: mpreg.RunReport
    """Who did what when."""


async def run(address: str, word: str) -> Result:
    """Does the whole job as a client of the node at `address`."""
    async with mpreg.connect(address) as client:
        await client.wait_for(api.tokenise, nodes=len(SHELVES), timeout=30.0)
        await client.wait_for(api.rank, nodes=len(DESKS), timeout=30.0)
        answer = graph.search(client, word)
        report = await client.run(answer, report=True, timeout=_TIMEOUT)
        return Result(report.value(answer), report)
