"""`mpreg run module:node`: imports the module from the working directory and serves its node."""

from __future__ import annotations

import importlib
import sys
from typing import Any, get_args

import click

import mpreg
from mpreg._config import LogLevel
from mpreg._fields import hint
from mpreg._logging import log_to_stderr
from mpreg._node import serve_with


@click.command()
@click.argument("target", metavar="MODULE[:NODE]")
@click.option("--listen", default=None, metavar="ADDRESS", help="Wins over the code; port 0 = the system chooses.")
@click.option("--seed", "seeds", multiple=True, metavar="ADDRESS", help="A member of the cluster; may be repeated.")
@click.option("--insecure", is_flag=True, help="Listen and dial beyond this machine without keys.")
@click.option("--log-level", type=click.Choice(get_args(LogLevel)), default=None, help="[default: info]")
def run(*, target: str, listen: str | None, seeds: tuple[str, ...], insecure: bool, log_level: str | None) -> None:
    """Run a node until SIGTERM or Ctrl-C, then drain and leave: `mpreg run shop:node`."""
    node = load(target)
    log_to_stderr(log_level)
    said: dict[str, Any] = {
        "listen": listen, "seeds": list(seeds) or None, "insecure": insecure or None, "log_level": log_level
    }  # fmt: skip
    serve_with(node, {name: value for name, value in said.items() if value is not None}, {"log_level": "info"})


def load(target: str) -> mpreg.Node:
    """The node that `module:name` means; the only node of a module may go unnamed."""
    module_name, _, name = target.partition(":")
    # As `python -m` does: code beside which the command is given comes first.
    sys.path.insert(0, "")
    if "/" in module_name:
        raise _no_module(module_name, name)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise _no_module(module_name, name) from None
    nodes = {key: value for key, value in vars(module).items() if isinstance(value, mpreg.Node)}
    if not name and len(nodes) == 1:
        return next(iter(nodes.values()))
    found = nodes.get(name or "node")
    if found is None:
        there = f"; it has {', '.join(sorted(nodes))}" if nodes else "; it makes no mpreg.Node"
        wanted = name or "node"
        raise mpreg.ConfigError(f"module {module_name!r} has no node {wanted!r}{hint(wanted, nodes)}{there}")
    return found


def _no_module(given: str, name: str) -> mpreg.ConfigError:
    # Many give the file, as they do elsewhere.
    near = given.removesuffix(".py").strip("./").replace("/", ".")
    meant = f"; a module is named without .py: {near}:{name or 'node'}" if near != given else ""
    return mpreg.ConfigError(f"there is no module {given!r} here or on the path{meant}")
