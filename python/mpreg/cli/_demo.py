"""`mpreg demo`: a mesh of five processes at work on data that every machine has.

What only the demo needs is imported when it runs, so that the other verbs start as quickly as without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

import mpreg
from mpreg.cli._options import as_json
from mpreg.cli._output import show_json, show_lines, show_table
from mpreg.demo import sources

if TYPE_CHECKING:
    from mpreg.demo.job import Result
    from mpreg.demo.processes import Processes

_INTERRUPTED = 128 + signal.SIGINT


@click.command()
@click.option("--word", default="yield", show_default=True, help="The word to search; upper and lower case differ.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Where to draw the run; else a new file.")
@click.option("--keep", is_flag=True, help="Leave the mesh up until Ctrl-C, to call it from a second terminal.")
@as_json
def demo(*, word: str, svg: Path | None, keep: bool, json: bool) -> None:
    """Start five nodes, search the standard library's sources in one call graph, and show who did what."""
    if not sources.WORD.fullmatch(word):
        raise click.BadParameter(f"{word!r} is no word: letters, digits and underscores", param_hint="--word")
    try:
        asyncio.run(_demo(word, svg, keep=keep, json=json))
    except asyncio.CancelledError:
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED)


async def _demo(word: str, svg: Path | None, *, keep: bool, json: bool) -> None:
    from mpreg.demo.processes import NODES, five_nodes

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made it
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    console = Console(stderr=True)
    console.print(f"Starting {len(NODES)} nodes ...", highlight=False)
    async with five_nodes() as processes:
        console.print(f"{len(NODES)} nodes joined through the seed {processes.address}", highlight=False)
        result = await _work(processes, word, console)
        picture = _drawn(result, svg)
        if json:
            show_json(_document(result, picture, processes.address))
        else:
            _show(result, picture)
        if keep:
            console.print(_second_terminal(processes.address), highlight=False, markup=False, soft_wrap=True)
            await _until_asked(task)
    impolite = [f"{name} with status {status}" for name, status in processes.statuses.items() if status]
    if impolite and not keep:
        raise mpreg.MpregError(f"not every node ended politely: {', '.join(impolite)}")


async def _work(processes: Processes, word: str, console: Console) -> Result:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from mpreg.demo import job

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        progress.add_task("Searching", total=None)
        return await job.run(processes.address, word)


async def _until_asked(task: asyncio.Task[Any]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    task.uncancel()


def _drawn(result: Result, path: Path | None) -> Path:
    if path is None:
        handle, name = tempfile.mkstemp(prefix="mpreg-demo-", suffix=".svg")
        os.close(handle)
        path = Path(name)
    try:
        path.write_text(result.report.svg())
    except OSError as error:
        raise mpreg.MpregError(f"the picture cannot be written to {path}: {error.strerror}") from None
    return path


def _document(result: Result, picture: Path, address: str) -> dict[str, Any]:
    return {
        **dataclasses.asdict(result.answer),
        "seconds": result.report.seconds,
        "steps": [dataclasses.asdict(step) for step in result.report.steps],
        "critical_path": result.report.critical_path,
        "svg": picture,
        "grep": sources.grep_command(result.answer.word),
        "address": address,
    }


def _show(result: Result, picture: Path) -> None:
    answer, report = result.answer, result.report
    show_lines(
        f"{answer.word!r} stands {answer.total:,} times in {answer.found_in:,} of {answer.searched:,} files "
        f"({report.seconds:.1f} s). Most often in:",
        "",
    )
    show_table(("COUNT", "FILE"), [(f"{ranked.count:>7,}", ranked.path) for ranked in answer.top])
    show_lines("", "The same number without mpreg:", "", f"    {sources.grep_command(answer.word)}", "")
    show_lines("Who ran which step; * = the whole waited for it:", "")
    show_table(
        ("", "STEP", "NODE", "FROM", "SECONDS", "RESULT BYTES"),
        [
            ("*" if s.critical else "", s.name, s.node, f"{s.started:.3f}", f"{s.seconds:.3f}", f"{s.bytes:>12,}")
            for s in report.steps
        ],
    )
    *before, last = report.steps
    made = sum(step.bytes for step in before)
    path = sorted((step for step in report.steps if step.critical), key=lambda step: step.started)
    show_lines(
        "",
        f"Critical path: {' -> '.join(f'{step.name} {step.seconds:.3f} s' for step in path)}",
        f"The nodes kept {made / 1e6:.1f} MB of results among themselves; the answer that came here has {last.bytes:,} bytes.",
        f"The picture of the run: {picture}",
    )
    # What the mesh says on stderr comes after it, also in a pipe.
    sys.stdout.flush()


def _second_terminal(address: str) -> str:
    # As it was started, so that the line works in a shell that knows nothing of the virtual environment.
    program = Path(sys.argv[0])
    command = shlex.quote(str(program.absolute())) if program.name == "mpreg" else "mpreg"
    return (
        "\nThe mesh stays up. Call it from a second terminal:\n\n"
        f"    {command} call demo.grep '\"lambda\"' top=3 --connect {address}\n"
        f"    {command} topology --connect {address}\n"
        f"    {command} top --connect {address}\n\n"
        "Ctrl-C ends it."
    )
