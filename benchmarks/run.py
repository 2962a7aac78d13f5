"""mpreg against raw asyncio Streams, a hand-written uvloop Protocol and raw tokio, in one interleaved run.

`python benchmarks/run.py [--rounds 5] [--seconds 0.6] [--rows sequential,...] [--write]`

Every row's systems are measured in turn, round after round, in client processes of their own, so a machine that gets
slower meanwhile slows all of them. What counts is the ratio within the run to the first system of the row: Streams,
or what the row compares with.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from results import machine, write_section
from rows import ROWS, Cell
from servers import Servers, started

HERE = Path(__file__).parent
ROOT = HERE.parent
MIB = 2**20


# Both print one number.
TIMED_IMPORT = "import time; t = time.perf_counter(); import {}; print((time.perf_counter() - t) * 1e3)"
RESIDENT = """{}
print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmRSS")))"""


def measure(cell: Cell, servers: Servers, seconds: float) -> dict[str, float]:
    if cell.system == "import":
        command = [sys.executable, "-c", TIMED_IMPORT.format(cell.work)]
    elif cell.system == "memory":
        command = [sys.executable, "-c", RESIDENT.format(cell.work)]
    else:
        address = servers.address(cell.server)
        command = [sys.executable, str(HERE / "client.py"), cell.system, address, cell.work, str(seconds)]
    environment = {**os.environ, **(servers.client_tls if cell.system == "mpreg-tls" else {})}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120, env=environment)
    said = json.loads(done.stdout)
    return said if isinstance(said, dict) else {"value": said}


def tokio_floor(rounds: int) -> list[float]:
    """p50 of raw tokio ping-pong, us; empty where it was not built."""
    program = ROOT / "target/release/examples/tokio_ping_pong"
    if not program.exists():
        return []
    with started(str(program), "server") as port:
        one = [str(program), "client", port, "3000"]
        return [float(subprocess.run(one, check=True, capture_output=True, text=True).stdout) for _ in range(rounds)]


def run_row(name: str, rounds: int, seconds: float) -> list[str]:
    figure, cells = ROWS[name]
    results: dict[str, list[float]] = {cell.label: [] for cell in cells}
    with contextlib.ExitStack() as stack:
        servers = Servers(stack)
        for _ in range(rounds):
            for cell in cells:
                results[cell.label].append(measure(cell, servers, seconds)[figure])
    base = results[cells[0].label] if len(cells) > 1 else None
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
    lines: list[str] = []
    for row in options.rows.split(","):
        lines += run_row(row, options.rounds, options.seconds)
    tokio = tokio_floor(options.rounds)
    if tokio:
        lines.append(
            f"| sequential | tokio ping-pong | {statistics.median(tokio):.4g} | {min(tokio):.4g}..{max(tokio):.4g} | - |"
        )
        print(lines[-1])
    lines += [f"| size | {name} | {path.stat().st_size / MIB:.4g} | - | - |" for name, path in sizes().items()]
    if options.write:
        write_section("Calls", table(lines, options))


def sizes() -> dict[str, Path]:
    """The extension that is measured, and the wheel of the test command."""
    import mpreg._mpreg

    found = {"extension module, MiB": Path(mpreg._mpreg.__file__)}  # noqa: SLF001 - its file is meant
    for wheel in sorted(ROOT.glob("target/wheels/mpreg-*.whl")):
        found[f"wheel {wheel.stem.split('-')[2]}, MiB"] = wheel
    return found


def table(lines: list[str], options: argparse.Namespace) -> str:
    head = f"""`python benchmarks/run.py --rounds {options.rounds} --seconds {options.seconds} --write` on {machine()}. Ratios are to the \
first system of the row, measured in the same round. `own` and `sequential` are p50 in us, `cpu` us of the caller's CPU per \
call, `import` ms, `10000-functions` and `graph-` p50 in us, `steady-70` how many times p50 the p99 is at 70 % of the system's own throughput, \
`memory` MiB resident: less is better; `64`, `512`, `4096`, `1000-clients`, `10000-functions-512` and `workers` calls/s, `stream-100B` \
items/s, `1MiB`, `100MB-array`, `stream-64KiB` and `stream-1MiB` MiB/s (out and back counts once): more is better.

| row | system | median | range | ratio |
|---|---|---|---|---|
"""
    return head + "\n".join(lines)


if __name__ == "__main__":
    main()
