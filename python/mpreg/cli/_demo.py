"""`mpreg demo`: a mesh of five processes at work on data that every machine has.

What only the demo needs is imported when it runs, so that the other verbs start as quickly as without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

import mpreg
from mpreg.cli._options import as_json
from mpreg.cli._output import show_json, show_lines, show_table
from mpreg.demo import sources

if TYPE_CHECKING:
    from mpreg.demo.job import Report
    from mpreg.demo.processes import Processes

_INTERRUPTED = 128 + signal.SIGINT


@click.command()
@click.option("--word", default="yield", show_default=True, help="The word to search; upper and lower case differ.")
@click.option("--keep", is_flag=True, help="Leave the mesh up until Ctrl-C, to call it from a second terminal.")
@as_json
def demo(*, word: str, keep: bool, json: bool) -> None:
    """Start five nodes, search the standard library's sources with them, and show who did what."""
    if not sources.WORD.fullmatch(word):
        raise click.BadParameter(f"{word!r} is no word: letters, digits and underscores", param_hint="--word")
    try:
        asyncio.run(_demo(word, keep=keep, json=json))
    except asyncio.CancelledError:
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED)


async def _demo(word: str, *, keep: bool, json: bool) -> None:
    from mpreg.demo.processes import NODES, five_nodes

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made it
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    console = Console(stderr=True)
    console.print(f"Starting {len(NODES)} nodes ...", highlight=False)
    async with five_nodes() as processes:
        console.print(f"{len(NODES)} nodes joined through the seed {processes.address}", highlight=False)
        report = await _work(processes, word, console)
        _show(report, processes, as_json=json)
        if keep:
            console.print(_second_terminal(processes.address), highlight=False, markup=False, soft_wrap=True)
            await _until_asked(task)
    impolite = [f"{name} with status {status}" for name, status in processes.statuses.items() if status]
    if impolite and not keep:
        raise mpreg.MpregError(f"not every node ended politely: {', '.join(impolite)}")


async def _work(processes: Processes, word: str, console: Console) -> Report:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from mpreg.demo import job

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("Indexing files", total=None)
        return await job.run(
            processes.address, word, lambda done, total: progress.update(bar, completed=done, total=total)
        )


async def _until_asked(task: asyncio.Task[Any]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    task.uncancel()


def _show(report: Report, processes: Processes, *, as_json: bool) -> None:
    answer = report.answer
    if as_json:
        show_json({
            **dataclasses.asdict(answer),
            "words": report.words,
            "seconds": report.seconds,
            "nodes": [{"node": node, **dataclasses.asdict(work)} for node, work in sorted(report.work.items())],
            "grep": sources.grep_command(answer.word),
            "address": processes.address,
        })  # fmt: skip
        return
    show_lines(
        f"{answer.word!r} stands {answer.total:,} times in {answer.found_in:,} of {answer.searched:,} files "
        f"({report.words:,} words, {report.seconds:.1f} s). Most often in:",
        "",
    )
    show_table(("COUNT", "FILE"), [(f"{ranked.count:>7,}", ranked.path) for ranked in answer.top])
    show_lines("", "The same number without mpreg:", "", f"    {sources.grep_command(answer.word)}", "")
    show_lines("Who did what:", "")
    show_table(
        ("NODE", "SHARDS", "FILES", "WORDS", "CALLS", "CPU SECONDS"),
        [
            (node, " ".join(map(str, w.shards)), str(w.files), f"{w.words:,}", str(w.calls), f"{w.seconds:.2f}")
            for node, w in sorted(report.work.items())
        ],
    )
    # What the mesh says on stderr comes after it, also in a pipe.
    sys.stdout.flush()


def _second_terminal(address: str) -> str:
    # As it was started, so that the line works in a shell that knows nothing of the virtual environment.
    program = Path(sys.argv[0])
    command = shlex.quote(str(program.absolute())) if program.name == "mpreg" else "mpreg"
    return (
        "\nThe mesh stays up. Call it from a second terminal:\n\n"
        f"    {command} call demo.search '\"lambda\"' top=3 --connect {address}\n"
        f"    {command} members --connect {address}\n\n"
        "Ctrl-C ends it."
    )
