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
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from certificates import Authority
from results import machine, write_section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def items(size: int) -> list[Cell]:
    return [
        Cell("asyncio Streams", "streams", "streams", f"items.async:{size}"),
        Cell("mpreg async def", "mpreg", "owner", f"items.async:{size}"),
        Cell("mpreg def (thread)", "mpreg", "owner", f"items.thread:{size}"),
        Cell("mpreg async def, through another entry node", "mpreg", "other", f"items.async:{size}"),
    ]


def with_tls(work: str) -> list[Cell]:
    return [
        Cell("asyncio Streams, no TLS", "streams", "streams", work),
        Cell("mpreg inline, no TLS", "mpreg", "owner", work),
        Cell("mpreg inline, TLS", "mpreg-tls", "owner-tls", work),
    ]


def imports(*modules: str) -> list[Cell]:
    return [Cell(f"import {module}", "import", "-", module) for module in modules]


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
    "stream-100B": ("per_second", items(100)),
    "stream-100B-cpu": ("cpu_us", items(100)),
    "stream-64KiB": ("mib_per_second", items(64 << 10)),
    "stream-1MiB": ("mib_per_second", items(MIB)),
    "tls-sequential": ("p50_us", with_tls("inline:1")),
    "tls-512": ("per_second", with_tls("inline:512")),
    "tls-512-cpu": ("cpu_us", with_tls("inline:512")[1:]),
    "tls-1MiB": ("mib_per_second", with_tls(f"echo:{MIB}")),
    "import": ("ms", imports("asyncio", "mpreg", "mpreg; mpreg.Node")),
}
TIMED_IMPORT = "import time; t = time.perf_counter(); import {}; print((time.perf_counter() - t) * 1e3)"


@contextlib.contextmanager
def started(*command: str, settings: dict[str, str] | None = None) -> Iterator[str]:
    """A server process; gives the first line it prints."""
    environment = {**os.environ, **(settings or {})}
    process = subprocess.Popen([*command], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Servers:
    """Where the systems listen, and what clients with TLS prove themselves with."""

    addresses: dict[str, str]
    client_tls: dict[str, str]

    def measure(self, cell: Cell, seconds: float) -> dict[str, float]:
        if cell.system == "import":
            command = [sys.executable, "-c", TIMED_IMPORT.format(cell.work)]
        else:
            address = self.addresses[cell.server]
            command = [sys.executable, str(HERE / "client.py"), cell.system, address, cell.work, str(seconds)]
        environment = {**os.environ, **(self.client_tls if cell.system == "mpreg-tls" else {})}
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env=environment)
        said = json.loads(done.stdout)
        return said if isinstance(said, dict) else {"ms": said}


def tokio_floor(rounds: int) -> list[float]:
    """p50 of raw tokio ping-pong, us; empty where it was not built."""
    program = ROOT / "target/release/examples/tokio_ping_pong"
    if not program.exists():
        return []
    with started(str(program), "server") as port:
        one = [str(program), "client", port, "3000"]
        return [float(subprocess.run(one, check=True, capture_output=True, text=True).stdout) for _ in range(rounds)]


def run_row(name: str, servers: Servers, rounds: int, seconds: float) -> list[str]:
    figure, cells = ROWS[name]
    results: dict[str, list[float]] = {cell.label: [] for cell in cells}
    for _ in range(rounds):
        for cell in cells:
            results[cell.label].append(servers.measure(cell, seconds)[figure])
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
    with contextlib.ExitStack() as stack:
        servers = all_servers(stack)
        for row in options.rows.split(","):
            lines += run_row(row, servers, options.rounds, options.seconds)
        tokio = tokio_floor(options.rounds)
    if tokio:
        lines.append(
            f"| sequential | tokio ping-pong | {statistics.median(tokio):.4g} | {min(tokio):.4g}..{max(tokio):.4g} | - |"
        )
        print(lines[-1])
    lines += [f"| size | {name} | {path.stat().st_size / MIB:.4g} | - | - |" for name, path in sizes().items()]
    if options.write:
        write_section("Calls", table(lines, options))


def all_servers(stack: contextlib.ExitStack) -> Servers:
    """The floors, and a mesh of three without TLS and one with it."""
    py = sys.executable
    mesh = a_mesh(stack, lambda _: {})
    addresses = {
        "streams": stack.enter_context(started(py, str(HERE / "floors/streams_server.py"))),
        "uvloop": stack.enter_context(started(py, str(HERE / "floors/protocol_server.py"))),
        **mesh,
    }
    if shutil.which("openssl") is None:
        print("(the rows with TLS need the openssl command)", file=sys.stderr)
        return Servers(addresses, {})
    authority = Authority(stack.enter_context(tempfile.TemporaryDirectory()))
    secure = a_mesh(stack, lambda name: authority.issue("node", name))
    addresses |= {f"{name}-tls": address for name, address in secure.items()}
    return Servers(addresses, authority.issue("client", "bench"))


def a_mesh(stack: contextlib.ExitStack, settings: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """Three nodes: the owner of the functions, and two with 1,000 entries."""
    node = [sys.executable, str(HERE / "mesh_node.py")]
    owner = stack.enter_context(started(*node, "owner", "-", "functions", settings=settings("owner")))
    others = {name: started(*node, name, owner, settings=settings(name)) for name in ("other", "third")}
    return {"owner": owner} | {name: stack.enter_context(server) for name, server in others.items()}


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
call, `import` ms: less is better; `64` and `512` calls/s, `stream-100B` items/s, `1MiB`, `100MB-array`, `stream-64KiB` and `stream-1MiB` MiB/s (out and back counts once): more is \
better.

| row | system | median | range | ratio |
|---|---|---|---|---|
"""
    return head + "\n".join(lines)


if __name__ == "__main__":
    main()
