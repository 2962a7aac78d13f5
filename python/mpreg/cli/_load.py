"""The node that `module:name` of the command line means."""

from __future__ import annotations

import importlib
import sys

import mpreg
from mpreg._fields import hint


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
