"""Does memory grow with calls? `python benchmarks/endurance.py [--calls 10000000] [--write]`.

A client makes calls, 512 at a time, to a node in another process, `inline` and `async def` in turn; both processes' resident
memory is read after each twentieth of them. The slope is that of the straight line through the later three quarters.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from statistics import linear_regression

from mesh_node import resident
from results import machine, write_section
from servers import started

import mpreg

SAMPLES = 20
IN_FLIGHT = 512
FUNCTIONS = ("add.inline", "add.async")
NODE = Path(__file__).with_name("mesh_node.py")


async def calls(client: mpreg.Client, function: str, count: int) -> None:
    async def worker() -> None:
        for n in range(count // IN_FLIGHT):
            if await client.call(function, n, 2) != n + 2:
                raise AssertionError("wrong result")

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


async def sampled(address: str, count: int) -> list[tuple[int, int, int]]:
    """Calls made, bytes of the client, bytes of the node."""
    rows: list[tuple[int, int, int]] = []
    async with mpreg.connect(address) as client:
        for sample in range(1, SAMPLES + 1):
            await calls(client, FUNCTIONS[sample % 2], count // SAMPLES)
            rows.append((sample * count // SAMPLES, resident(), await client.call("resident")))
            print(f"{rows[-1][0]:>12,} calls: client {mib(rows[-1][1])}, node {mib(rows[-1][2])}", flush=True)
    return rows


def mib(size: float) -> str:
    return f"{size / 2**20:.2f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md")
    options = parser.parse_args()
    with started(sys.executable, str(NODE), "owner", "-", "functions") as address:
        rows = asyncio.run(sampled(address, options.calls))
    later = rows[SAMPLES // 4 :]
    lines = ["| process | first sample | last sample | bytes per call |", "|---|---|---|---|"]
    for name, column in (("client", 1), ("node", 2)):
        slope = linear_regression([row[0] for row in later], [row[column] for row in later]).slope
        lines.append(f"| {name} | {mib(rows[0][column])} | {mib(rows[-1][column])} | {slope:.3f} |")
    table = "\n".join(lines)
    print(table)
    if options.write:
        text = f"`python benchmarks/endurance.py --calls {options.calls} --write` on {machine()}: resident memory.\n\n{table}"
        write_section("Endurance", text)


if __name__ == "__main__":
    main()
