"""What is measured: each row compares systems that do the same work, the first of which is what ratios are to."""

from __future__ import annotations

from dataclasses import dataclass

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


def many(in_flight: int) -> list[Cell]:
    """The systems that have no threads of their own in the way."""
    return calls(in_flight)[:4]


def steady(share: int) -> list[Cell]:
    """Calls at a steady rate: `share` percent of what the system itself does, 64 calls at a time."""
    return [
        Cell("asyncio Streams", "streams", "streams", f"inline.steady:{share}"),
        Cell("mpreg inline", "mpreg", "owner", f"inline.steady:{share}"),
        Cell("mpreg async def", "mpreg", "owner", f"async.steady:{share}"),
    ]


def connections(count: int) -> list[Cell]:
    """As many clients in one process, each with one call at a time."""
    return [
        Cell("asyncio Streams", "streams", "streams", f"inline.clients:{count}"),
        Cell("mpreg inline", "mpreg", "owner", f"inline.clients:{count}"),
    ]


def catalogs(in_flight: int) -> list[Cell]:
    return [
        Cell("mpreg, 1,000 entries", "mpreg", "owner", f"inline:{in_flight}"),
        Cell("mpreg, 10,000 entries", "mpreg", "owner-10000", f"inline:{in_flight}"),
        Cell("mpreg, 10,000 entries, through another entry node", "mpreg", "other-10000", f"inline:{in_flight}"),
    ]


def processes() -> list[Cell]:
    """A function that computes, eight calls at a time."""
    return [
        Cell("one process", "mpreg", "alone", "spin:8"),
        Cell("--workers 1", "mpreg", "workers-1", "spin:8"),
        Cell("--workers 2", "mpreg", "workers-2", "spin:8"),
    ]


def items(size: int) -> list[Cell]:
    return [
        Cell("asyncio Streams", "streams", "streams", f"items.async:{size}"),
        Cell("mpreg async def", "mpreg", "owner", f"items.async:{size}"),
        Cell("mpreg def (thread)", "mpreg", "owner", f"items.thread:{size}"),
        Cell("mpreg async def, through another entry node", "mpreg", "other", f"items.async:{size}"),
    ]


def chains(kind: str, *nodes: str) -> list[Cell]:
    """Three steps on these of two nodes, for a client of the node "here"."""
    steps = ",".join(f"{node}.{kind}" for node in nodes)
    return [
        Cell("mpreg, three calls", "mpreg", "here", f"chain.calls:{steps}"),
        Cell("mpreg, one graph", "mpreg", "here", f"chain.graph:{steps}"),
        Cell("mpreg, one graph, built each time", "mpreg", "here", f"chain.built:{steps}"),
    ]


def with_tls(work: str) -> list[Cell]:
    return [
        Cell("asyncio Streams, no TLS", "streams", "streams", work),
        Cell("mpreg inline, no TLS", "mpreg", "owner", work),
        Cell("mpreg inline, TLS", "mpreg-tls", "owner-tls", work),
    ]


def imports(*modules: str) -> list[Cell]:
    return [Cell(f"import {module}", "import", "-", module) for module in modules]


# The loop stands still while its process is measured; what a node has is there.
IDLE_NODE = "import asyncio, mpreg; asyncio.new_event_loop().run_until_complete(mpreg.Node('idle', seeds=[]).start())"
MEMORY = [
    Cell("python, asyncio", "memory", "-", "import asyncio; asyncio.run(asyncio.sleep(0))"),
    Cell("an idle node", "memory", "-", IDLE_NODE),
]

ROWS: dict[str, tuple[str, list[Cell]]] = {
    "own": ("p50_us", [calls(1)[0], Cell("mpreg, own node", "mpreg-own", "other", "inline:1")]),
    "sequential": ("p50_us", calls(1)),
    "64": ("per_second", calls(64)),
    "512": ("per_second", calls(512)),
    "512-cpu": ("cpu_us", many(512)),
    "4096": ("per_second", many(4096)),
    "steady-70": ("p99_to_p50", steady(70)),
    "steady-70-p50": ("p50_us", steady(70)),
    "1000-clients": ("per_second", connections(1000)),
    "10000-functions": ("p50_us", catalogs(1)),
    "10000-functions-512": ("per_second", catalogs(512)),
    "workers": ("per_second", processes()),
    "graph-here": ("p50_us", chains("inline", "here", "here", "here")),
    "graph-mixed": ("p50_us", chains("inline", "here", "there", "here")),
    "graph-there": ("p50_us", chains("inline", "there", "there", "there")),
    "graph-here-async": ("p50_us", chains("async", "here", "here", "here")),
    "graph-mixed-async": ("p50_us", chains("async", "here", "there", "here")),
    "graph-there-async": ("p50_us", chains("async", "there", "there", "there")),
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
    "memory": ("value", MEMORY),
    "import": ("value", imports("asyncio", "mpreg", "mpreg; mpreg.Node")),
}
