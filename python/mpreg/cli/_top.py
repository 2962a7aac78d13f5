"""`mpreg top`: what the functions and nodes of a cluster are doing, again and again."""

from __future__ import annotations

import contextlib
import json as json_
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

import mpreg
from mpreg.cli._options import connection
from mpreg.cli._output import escape, show_lines, show_table
from mpreg.cli._rates import rates

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from rich.console import RenderableType

    from mpreg.cli._rates import FunctionRate, NodeRate, Rates

_FUNCTIONS: Final = (
    "FUNCTION",
    "VERSION",
    "NODES",
    "CALLS/S",
    "ERRORS/S",
    "IN FLIGHT",
    "P50",
    "P99",
    "CALLS",
    "ERRORS",
)
_NODES: Final = ("NODE", "CALLS/S", "ERRORS/S", "REFUSED/S", "IN FLIGHT", "QUEUED", "CLIENTS", "WORKERS", "TROUBLE")
_TEXTS: Final = frozenset({"FUNCTION", "NODE", "TROUBLE"})
_LEAST_INTERVAL: Final = 0.1
# Lines of the screen besides the rows: headings, the empty line between, the line of keys.
_FRAME: Final = 6


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(min=_LEAST_INTERVAL),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two readings.",
)
@click.option("--once", is_flag=True, help="Two readings, one interval apart; print and end.")
@click.option("--json", "json", is_flag=True, help="One JSON document a line, for each reading.")
@connection
def top(client: mpreg.SyncClient, *, interval: float, once: bool, json: bool) -> None:
    """Show calls per second, calls in flight, times and errors of every function and node, each second. q ends it.

    Times are those at the node: from the arrival of a call to its answer. A node that does not answer is shown as such.
    """
    readings = _readings(client, interval)
    with contextlib.suppress(KeyboardInterrupt):
        if once:
            next(readings)
            _print(next(readings), json=json)
        elif json or not sys.stdout.isatty():
            for each in readings:
                _print(each, json=json)
        else:
            _live(client, interval)


def _readings(client: mpreg.SyncClient, interval: float) -> Iterator[Rates]:
    before: Sequence[mpreg.NodeStats] = ()
    while True:
        now = client.stats()
        yield rates(before, now)
        before = now
        time.sleep(interval)


def _print(seen: Rates, *, json: bool) -> None:
    if json:
        sys.stdout.write(json_.dumps(seen.as_dict()) + "\n")
    else:
        show_table(_FUNCTIONS, [_function_row(each) for each in seen.functions])
        show_lines("")
        show_table(_NODES, [_node_row(each) for each in seen.nodes])
    sys.stdout.flush()


def _live(client: mpreg.SyncClient, interval: float) -> None:
    from rich.live import Live

    before: Sequence[mpreg.NodeStats] = ()
    with _keys() as pressed, Live(screen=True, auto_refresh=False) as live:
        while True:
            trouble = ""
            try:
                now: Sequence[mpreg.NodeStats] = client.stats()
            except mpreg.MpregError as error:
                # The entry node may come back, or another one be found: who watches wants to see that.
                now, trouble = before, str(error)
            seen = rates(before, now)
            live.update(_screen(seen, live.console.height, client.entry, trouble), refresh=True)
            before = now
            if pressed(interval):
                return


def _screen(seen: Rates, height: int, entry: str | None, trouble: str) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    room = max(height - _FRAME - len(seen.nodes), 3)
    nodes = max(height - _FRAME - min(len(seen.functions), room), 3)
    return Group(
        _table(_FUNCTIONS, [_function_row(each) for each in seen.functions[:room]]),
        Text(_left_out(len(seen.functions), room, "functions")),
        _table(_NODES, [_node_row(each) for each in seen.nodes[:nodes]]),
        Text(_left_out(len(seen.nodes), nodes, "nodes")),
        Text(
            f"no answer: {trouble}" if trouble else f"through {entry}; q ends it",
            style="bold red" if trouble else "dim",
        ),
    )


def _left_out(count: int, shown: int, what: str) -> str:
    return f"{count - shown} more {what}" if count > shown else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True, justify="left" if column in _TEXTS else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _function_row(each: FunctionRate) -> tuple[str, ...]:
    return (
        each.name,
        each.version,
        str(each.nodes),
        _rate(each.calls_per_second),
        _rate(each.errors_per_second),
        str(each.in_flight),
        duration(each.p50),
        duration(each.p99),
        str(each.calls),
        str(each.errors),
    )


def _node_row(each: NodeRate) -> tuple[str, ...]:
    if each.error is not None:
        return (each.node, *["-"] * 7, f"no answer: {each.error}")
    return (
        each.node,
        _rate(each.calls_per_second),
        _rate(each.errors_per_second),
        _rate(each.refused_per_second),
        str(each.in_flight),
        str(each.queued),
        str(each.clients),
        str(each.workers),
        "",
    )


def _rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"  # noqa: PLR2004 - three digits are enough


def duration(seconds: float | None) -> str:
    """Three digits, in the unit that fits."""
    if seconds is None:
        return "-"
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e6:.3g} us"


@contextlib.contextmanager
def _keys() -> Generator[Callable[[float], bool]]:
    """A function that waits so many seconds and says whether q was pressed; without a terminal only the first."""
    if not sys.stdin.isatty():

        def wait(seconds: float) -> bool:
            time.sleep(seconds)
            return False

        yield wait
        return
    import termios
    import tty

    before: Any = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield _q_pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _q_pressed(seconds: float) -> bool:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([sys.stdin], [], [], left)
        if ready and os.read(sys.stdin.fileno(), 1) in {b"q", b"Q", b""}:
            return True
    return False
