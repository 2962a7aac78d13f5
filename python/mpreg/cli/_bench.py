"""`mpreg bench`: how fast calls are, on this machine or through a mesh that is there."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import os
import platform
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import click

import mpreg
from mpreg._fields import hint
from mpreg.cli._call import read_arguments
from mpreg.cli._options import Entrance, as_json, entrance
from mpreg.cli._output import note, show_json, show_table
from mpreg.cli._top import duration

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mpreg.cli._bench_load import Measurement, Row

_START_LIMIT: Final = 30.0
_STOP_LIMIT: Final = 15.0
_INTERRUPTED: Final = 128 + signal.SIGINT


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, metavar="[JSON | KEYWORD=JSON]...")
@click.option("--seconds", type=click.FloatRange(min=0.05), default=2.0, show_default=True, help="For each row.")
@click.option("--node", metavar="NODE", help="Measure the way to this node of the mesh; else to the entry node.")
@as_json
@entrance
def bench(
    way_in: Entrance, *, name: str | None, arguments: tuple[str, ...], seconds: float, node: str | None, json: bool
) -> None:
    """Measure calls: their rate, and how long each takes as its caller sees it.

    Alone it starts two node processes on this machine and calls an `async def` that returns its argument: straight at its
    node, and through the other one as entry node.

    With --connect it measures a mesh that is there: the way to its entry node (or --node) and back, which no Python code
    answers; or the function NAME with these arguments, which is really called all the time.
    """
    if name is None and arguments:
        raise click.UsageError("arguments go to a function: give its NAME first")
    if node is not None and name is not None:
        raise click.UsageError("--node is for the way to a node; a function is called where it is")
    try:
        rows = asyncio.run(_bench(way_in, name, arguments, seconds, node))
    except asyncio.CancelledError:
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED)
    if json:
        about = {"mpreg": mpreg.__version__, "python": platform.python_version(), "cpus": os.cpu_count()}
        show_json({**about, "rows": [dataclasses.asdict(row) for row in rows]})
        return
    show_table(
        ("WHAT", "PATH", "PER SECOND", "MB/S", "P50", "P99"),
        [
            (
                row.what,
                row.path,
                f"{row.per_second:,.0f} {row.unit}",
                "-" if row.bytes_per_second is None else f"{row.bytes_per_second / 1e6:,.0f}",
                duration(row.p50),
                duration(row.p99),
            )
            for row in rows
        ],
    )


async def _bench(
    way_in: Entrance, name: str | None, arguments: tuple[str, ...], seconds: float, node: str | None
) -> list[Row]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made it
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    async with contextlib.AsyncExitStack() as stack:
        if way_in.addresses or name is not None or node is not None:
            client = await stack.enter_async_context(way_in.connect())
            wanted = await _of_mesh(client, name, arguments, node)
        else:
            wanted = await _of_this_machine(stack)
        load = os.getloadavg()[0]
        note(
            f"{os.cpu_count()} CPUs, load {load:.1f}; Python {platform.python_version()}, one caller on one event loop"
        )
        return await _measure(wanted, seconds)


async def _of_mesh(
    client: mpreg.Client, name: str | None, arguments: tuple[str, ...], node: str | None
) -> list[Measurement]:
    from mpreg.cli._bench_load import calls, large

    if name is not None:
        args, kwargs = read_arguments(arguments)
        function = client.remote(name)
        await function(*args, **kwargs)  # says what is wrong with it before anything is measured
        note(f"Calls {name} through the entry node {client.entry}, wherever it is offered.")
        return calls(name, lambda: function(*args, **kwargs))
    ways = {way.node or "": way for way in await client.remote("mpreg.echo").candidates()}
    target = client.entry or ""
    if node is not None:
        target = next((label for label in ways if node in {label, label.partition("/")[2]}), "")
    if target not in ways:
        raise mpreg.ConfigError(f"there is no node {node or target!r} in the mesh{hint(node or target, ways)}")
    way = ways[target]
    note(f"Measures the way to {target} and back through the entry node {client.entry}; no Python code answers there.")
    path = f"client -> {target}" if target == client.entry else f"client -> entry node -> {target}"
    return [*calls(path, lambda: way.call(1)), *large(path, way.call)]


async def _of_this_machine(stack: contextlib.AsyncExitStack) -> list[Measurement]:
    from mpreg.cli._bench_load import calls, large, streams

    address = await stack.enter_async_context(_process("server", "--serves"))
    entry = await stack.enter_async_context(_process("entry", "--seed", address))
    note("Calls an `async def` that returns its argument; caller and nodes are processes of this machine, over TCP.")
    wanted: list[Measurement] = []
    for path, at in (("client -> node", address), ("client -> entry node -> node", entry)):
        client = await stack.enter_async_context(mpreg.connect(at))
        await client.wait_for("bench.echo", timeout=_START_LIMIT)
        echo, items = client.remote("bench.echo"), client.remote("bench.items")
        wanted += [
            *calls(path, functools.partial(echo, 1)),
            *large(path, echo),
            *streams(path, items.stream),
        ]
    return wanted


async def _measure(wanted: list[Measurement], seconds: float) -> list[Row]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    rows: list[Row] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=len(wanted))
        for each in wanted:
            progress.update(bar, description=f"{each.what}, {each.path}")
            rows.append(await each.run(seconds))
            progress.advance(bar)
    return rows


@contextlib.asynccontextmanager
async def _process(name: str, *arguments: str) -> AsyncGenerator[str]:
    """A node process, and its address; it ends with its standard input, also when this process is killed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mpreg.cli._bench_node", name, *arguments, stdin=pipe, stdout=pipe, process_group=0
    )
    try:
        async with asyncio.timeout(_START_LIMIT):
            line: Any = await process.stdout.readline() if process.stdout else b""
        if not line:
            raise mpreg.MpregError(f"the node process {name!r} ended before it had started; it says why above")
        yield line.decode().strip()
    except TimeoutError:
        raise mpreg.MpregError(f"the node process {name!r} did not start within {_START_LIMIT:g} s") from None
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_LIMIT):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
