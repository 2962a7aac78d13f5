"""The group of verbs, and the one place where an error becomes a message and an exit status."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

import click

import mpreg as library
from mpreg.cli import _bench, _call, _config, _demo, _doctor, _look, _run, _top, _topology
from mpreg.cli._options import Verbs
from mpreg.cli._output import tell

if TYPE_CHECKING:
    from mpreg import MpregError

_VERBS: Final = (
    _bench.bench,
    _call.call,
    _look.catalog,
    _config.config,
    _look.describe,
    _look.explain,
    _look.members,
    _demo.demo,
    _doctor.doctor,
    _run.run,
    _top.top,
    _topology.topology,
)


class _Group(Verbs):
    """Keeps tracebacks for `--verbose`."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except library.MpregError as error:
            if ctx.params.get("verbose"):
                traceback.print_exc()
            tell(_message(error), *_hints(error))
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(library.__version__, prog_name="mpreg")
@click.option("--verbose", is_flag=True, help="Tracebacks of errors.")
def mpreg(*, verbose: bool) -> None:
    """Call any Python function anywhere in your fleet."""
    # Read by the group from its parameters.
    del verbose


def _message(error: MpregError) -> str:
    """Alone, what a function raised may be as little as 'ZZ'."""
    if isinstance(error, library.RemoteError) and error.code == "remote":
        return f"the function raised {error.type_name}: {error}"
    return str(error)


def _hints(error: MpregError) -> list[str]:
    if isinstance(error, library.RemoteError) and error.code == "remote":
        return [f"it ran on {error.node}; `mpreg --verbose call ...` shows its traceback"]
    if isinstance(error, library.FunctionNotFoundError):
        return ["`mpreg catalog` lists what there is"]
    if isinstance(error, library.ConnectionLostError) and "refused the peer" not in str(error):  # somebody is there
        return ["is a node running there? `mpreg doctor --connect ADDRESS` looks closer"]
    return []


for _verb in _VERBS:
    mpreg.add_command(_verb)
