"""`mpreg call`: one call, from the shell."""

from __future__ import annotations

import json as json_
import re
from typing import TYPE_CHECKING, Any, Final

import click

import mpreg
from mpreg.cli._options import as_json, connection
from mpreg.cli._output import show_json

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEYWORD: Final = re.compile(r"([^\W\d]\w*)=(.*)", re.DOTALL)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[JSON | KEYWORD=JSON]...")
@click.option("--resource", "resources", multiple=True, help="The callee must have it; may be repeated.")
@click.option("--version", default=None, help='Versions that will do, like ">=1.2,<2".')
@click.option("--cluster", default=None, help='Cluster that may answer; "*" for any.')
@click.option("--all", "everywhere", is_flag=True, help="Call every matching node, and print each outcome.")
@as_json
@connection
def call(
    client: mpreg.SyncClient,
    *,
    name: str,
    arguments: tuple[str, ...],
    resources: tuple[str, ...],
    version: str | None,
    cluster: str | None,
    everywhere: bool,
    json: bool,
) -> None:
    """Call a function: `mpreg call shop.price '"A1"' qty=2`. Prints its result as JSON."""
    args, kwargs = read_arguments(arguments)
    options: dict[str, Any] = {"resources": resources, "cluster": cluster}
    if version is not None:
        options["version"] = version
    function = client.remote(name, **options)
    if everywhere:
        show_json([_row(outcome) for outcome in function.call_all(*args, **kwargs)])
        return
    value = function(*args, **kwargs)
    show_json({"value": value} if json else value)


def read_arguments(arguments: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Positional ones and those by name, each as JSON."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in arguments:
        if text.startswith("--"):
            name = text[2:].partition("=")[0]
            raise mpreg.ConfigError(f"{text} is not an option of `mpreg call`; an argument by name is {name}=JSON")
        keyword = _KEYWORD.fullmatch(text)
        if keyword:
            kwargs[keyword[1]] = _value(keyword[2])
        elif kwargs:
            raise mpreg.ConfigError(f"{text} stands after a keyword argument: give positional ones first")
        else:
            args.append(_value(text))
    return args, kwargs


def _value(text: str) -> Any:
    try:
        return json_.loads(text)
    except ValueError:
        quoted = json_.dumps(text, ensure_ascii=False)
        raise mpreg.ConfigError(f"{text} is not JSON; a string takes quotes, for the shell too: '{quoted}'") from None


def _row(outcome: mpreg.Outcome[Any]) -> dict[str, Any]:
    if outcome.error is None:
        return {"node": outcome.node, "ok": True, "value": outcome.value}
    return {"node": outcome.node, "ok": False, "error": str(outcome.error)}
