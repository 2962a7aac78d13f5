"""mpreg against raw asyncio Streams, a hand-written uvloop Protocol and raw tokio, in one interleaved run.

`python benchmarks/run.py [--rounds 5] [--seconds 0.6] [--rows sequential,...] [--write]`

Every row's systems are measured in turn, round after round, in client processes of their own, so a machine that gets
slower meanwhile slows all of them. What counts is the ratio to Streams within the run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
ROOT = HERE.parent
MIB = 2**20


@dataclass(frozen=True)
class Cell:
    """One system's part of a row."""

    label: str
    system: str
    server: str
    work: str


def calls(in_flight: int) -> list[Cell]:
    return [
        Cell("asyncio Streams", "streams", "streams", f"inline:{in_flight}"),
        Cell("uvloop Protocol", "uvloop", "uvloop", f"inline:{in_flight}"),
        Cell("mpreg inline", "mpreg", "owner", f"inline:{in_flight}"),
        Cell("mpreg async def", "mpreg", "owner", f"async:{in_flight}"),
        Cell("mpreg def (threads)", "mpreg", "owner", f"thread:{in_flight}"),
        Cell("mpreg inline, uvloop client", "mpreg-uvloop", "owner", f"inline:{in_flight}"),
        Cell("mpreg inline, through another entry node", "mpreg", "other", f"inline:{in_flight}"),
    ]


ROWS: dict[str, tuple[str, list[Cell]]] = {
    "own": ("p50_us", [calls(1)[0], Cell("mpreg, own node", "mpreg-own", "other", "inline:1")]),
    "sequential": ("p50_us", calls(1)),
    "64": ("per_second", calls(64)),
    "512": ("per_second", calls(512)),
    "512-cpu": ("cpu_us", calls(512)[:4]),
    "1MiB": (
        "mib_per_second",
        [
            Cell("asyncio Streams", "streams", "streams", f"echo:{MIB}"),
            Cell("uvloop Protocol", "uvloop", "uvloop", f"echo:{MIB}"),
            Cell("mpreg", "mpreg", "owner", f"echo:{MIB}"),
            Cell("mpreg, through another entry node", "mpreg", "other", f"echo:{MIB}"),
        ],
    ),
    "100MB-array": ("mib_per_second", [Cell("mpreg", "mpreg", "owner", "array:100000000")]),
}


@contextlib.contextmanager
def started(*command: str) -> Iterator[str]:
    """A server process; gives the first line it prints."""
    process = subprocess.Popen([*command], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


def measure(cell: Cell, address: str, seconds: float) -> dict[str, float]:
    command = [sys.executable, str(HERE / "client.py"), cell.system, address, cell.work, str(seconds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)


def tokio_floor(rounds: int) -> list[float]:
    """p50 of raw tokio ping-pong, us; empty where it was not built."""
    program = ROOT / "target/release/examples/tokio_ping_pong"
    if not program.exists():
        return []
    with started(str(program), "server") as port:
        one = [str(program), "client", port, "3000"]
        return [float(subprocess.run(one, check=True, capture_output=True, text=True).stdout) for _ in range(rounds)]


def run_row(name: str, servers: dict[str, str], rounds: int, seconds: float) -> list[str]:
    figure, cells = ROWS[name]
    results: dict[str, list[float]] = {cell.label: [] for cell in cells}
    for _ in range(rounds):
        for cell in cells:
            results[cell.label].append(measure(cell, servers[cell.server], seconds)[figure])
    base = results.get("asyncio Streams")
    lines = []
    for label, values in results.items():
        ratios = [value / floor for value, floor in zip(values, base, strict=True)] if base else []
        ratio = f"{statistics.median(ratios):.2f}" if ratios else "-"
        lines.append(
            f"| {name} | {label} | {statistics.median(values):.4g} | {min(values):.4g}..{max(values):.4g} | {ratio} |"
        )
        print(lines[-1], flush=True)
    if base and max(base) > 2 * min(base):
        print(f"(the floor of {name} varied by more than 2x: run it again)", file=sys.stderr)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md")
    options = parser.parse_args()
    py = sys.executable
    lines: list[str] = []
    with contextlib.ExitStack() as stack:
        node = [py, str(HERE / "mesh_node.py")]
        owner = stack.enter_context(started(*node, "owner", "-", "functions"))
        servers = {
            "streams": stack.enter_context(started(py, str(HERE / "floors/streams_server.py"))),
            "uvloop": stack.enter_context(started(py, str(HERE / "floors/protocol_server.py"))),
            "owner": owner,
            "other": stack.enter_context(started(*node, "other", owner)),
        }
        stack.enter_context(started(*node, "third", owner))
        for row in options.rows.split(","):
            lines += run_row(row, servers, options.rounds, options.seconds)
        tokio = tokio_floor(options.rounds)
    if tokio:
        lines.append(
            f"| sequential | tokio ping-pong | {statistics.median(tokio):.4g} | {min(tokio):.4g}..{max(tokio):.4g} | - |"
        )
        print(lines[-1])
    if options.write:
        write_table(lines, options)


def write_table(lines: list[str], options: argparse.Namespace) -> None:
    head = f"""# Results

`python benchmarks/run.py --rounds {options.rounds} --seconds {options.seconds} --write` on {platform.machine()}, CPython \
{platform.python_version()}, Linux {platform.release()}. Ratios are to asyncio Streams, measured in the same round; \
p50_us and cpu_us: less is better; per_second and mib_per_second: more is better.

| row | system | median | range | ratio to Streams |
|---|---|---|---|---|
"""
    (HERE / "RESULTS.md").write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
