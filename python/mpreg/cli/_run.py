"""`mpreg run module:node`: imports the module from the working directory and serves its node."""

from __future__ import annotations

import sys
from typing import Any, get_args

import click

from mpreg._config import LogLevel
from mpreg._logging import log_to_stderr
from mpreg._node import serve_with
from mpreg.cli._load import load


@click.command()
@click.argument("target", metavar="MODULE[:NODE]")
@click.option("--listen", default=None, metavar="ADDRESS", help="Wins over the code; port 0 = the system chooses.")
@click.option("--seed", "seeds", multiple=True, metavar="ADDRESS", help="A member of the cluster; may be repeated.")
@click.option("--insecure", is_flag=True, help="Listen and dial beyond this machine without keys.")
@click.option("--log-level", type=click.Choice(get_args(LogLevel)), default=None, help="[default: info]")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Run its functions in N processes behind it.")
@click.option("--reload", is_flag=True, help="Start the workers again when a .py file here or below changes.")
def run(
    *,
    target: str,
    listen: str | None,
    seeds: tuple[str, ...],
    insecure: bool,
    log_level: str | None,
    workers: int | None,
    reload: bool,
) -> None:
    """Run a node until SIGTERM or Ctrl-C, then drain and leave: `mpreg run shop:node`.

    With --workers it is one node with N processes: this one is the member, the workers run the functions, each call goes
    to the one with the fewest running, and one that dies is started again. --reload alone means one worker.
    """
    if reload:
        # Files that change twice a second must not be taken for what was compiled the first time.
        sys.dont_write_bytecode = True
    node = load(target)
    log_to_stderr(log_level)
    said: dict[str, Any] = {
        "listen": listen, "seeds": list(seeds) or None, "insecure": insecure or None, "log_level": log_level
    }  # fmt: skip
    overrides = {name: value for name, value in said.items() if value is not None}
    defaults = {"log_level": "info"}
    if workers is None and not reload:
        serve_with(node, overrides, defaults)
        return
    from mpreg.cli._worker import Order
    from mpreg.cli._workers import Workers

    part = Workers(Order(target, overrides, defaults, log_level), workers or 1, reload=reload)
    serve_with(node, overrides, defaults, part)
