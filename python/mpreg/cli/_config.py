"""`mpreg config show` and `check`: which settings a start here would have and whose they are, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from mpreg._config import NODE_FIELDS, settings
from mpreg._errors import ConfigError
from mpreg._node import given_to
from mpreg._sources import FILE_NAME, FILE_VARIABLE, Problem, Surroundings, examine, node_settings, resolve
from mpreg.cli._load import load
from mpreg.cli._options import Verbs, as_json
from mpreg.cli._output import note, show_json, show_lines, show_table, tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mpreg._config import Config
    from mpreg._sources import Resolved


@click.group(cls=Verbs)
def config() -> None:
    """Show settings and where they come from, or check them."""


@config.command()
@click.argument("target", metavar="[MODULE[:NODE]]", required=False)
@as_json
def show(*, target: str | None, json: bool) -> None:
    """Show each setting of a node started here, and where it comes from; with MODULE:NODE also what its code says."""
    surroundings = Surroundings.of_process()
    resolved = resolve(*_code_of(target), surroundings, role="node")
    rows = [_row(name, resolved) for name in (*NODE_FIELDS, *settings())]
    if json:
        show_json({"file": resolved.file and str(resolved.file), "settings": rows})
        return
    note(about_file(surroundings))
    show_table(
        ("SETTING", "VALUE", "SOURCE"),
        [(row["setting"], _told(row["value"]), " ".join(filter(None, (row["source"], row["where"])))) for row in rows],
    )


@config.command()
@click.argument("file", required=False)
@click.option("--node", "target", metavar="MODULE[:NODE]", help="Together with what this node's code says.")
@as_json
def check(*, file: str | None, target: str | None, json: bool) -> None:
    """Check what a node started here would read: FILE, or else the file it finds, and the environment.

    Nothing is started. Exit status 1 if something is wrong.
    """
    surroundings = Surroundings.of_process()
    if file is not None:
        surroundings = Surroundings({**os.environ, FILE_VARIABLE: file}, surroundings.directory)
    own, code = _code_of(target)
    resolved, problems = examine(own, code, surroundings, role="node")
    if resolved is not None:
        problems = _refused_by_rust(resolved)
    if json:
        show_json({
            "ok": not problems,
            "file": _file_of(surroundings),
            "problems": [dataclasses.asdict(problem) for problem in problems],
        })  # fmt: skip
    elif problems or resolved is None:
        for problem in problems:
            tell(problem.message)
    else:
        count = Counter(source.partition(" ")[0] for source in resolved.sources.values())
        told = ", ".join(f"{place} {count[place]}" for place in ("code", "environment", "file"))
        show_lines(f"ok: settings by place: {told}; {about_file(surroundings)}")
    sys.exit(int(bool(problems)))


def _code_of(target: str | None) -> tuple[Mapping[str, Any], Config | None]:
    return given_to(load(target)) if target else ({}, None)


def _row(name: str, resolved: Resolved) -> dict[str, Any]:
    source, _, where = resolved.sources.get(name, "default").partition(" ")
    value = resolved.own[name] if name in resolved.own else getattr(resolved.config, name)
    if (name, source) == ("name", "default"):
        value = None  # it would be the name of this command
    return {"setting": name, "value": value, "source": source, "where": where or None}


def _told(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(each) for each in value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)


def about_file(surroundings: Surroundings) -> str:
    """Which file is read, or why none."""
    path = surroundings.file
    if path is not None:
        return f"file: {path}"
    if surroundings.directory is None:
        return "no file: the working directory is gone"
    above = next((each / FILE_NAME for each in surroundings.directory.parents if (each / FILE_NAME).is_file()), None)
    # Looked for here, where it can only be told: a start does not search folders above.
    hint = f"; {above} is read with {FILE_VARIABLE}={above}" if above else ""
    return f"no {FILE_NAME} in {surroundings.directory}{hint}"


def _file_of(surroundings: Surroundings) -> str | None:
    try:
        path = surroundings.file
    except ConfigError:  # which is the problem that is told
        return None
    return str(path) if path else None


def _refused_by_rust(resolved: Resolved) -> Sequence[Problem]:
    """Rust alone reads addresses, when a node is made; nothing of it is started."""
    from mpreg._native import native

    try:
        native.NodeCore(node_settings(resolved))
    except ConfigError as error:
        message = str(error)
        for name in ("listen", "seeds", "links", "advertise"):
            value: str | tuple[str, ...] = resolved.own.get(name, getattr(resolved.config, name, None))
            texts = (value,) if isinstance(value, str) else value or ()
            if any(f'"{each}"' in message for each in texts):
                place, _, where = resolved.sources.get(name, "default").partition(" ")
                return [Problem(f"{name} of {where or place}: {message}", name, where or None)]
        return [Problem(message)]
    return []
