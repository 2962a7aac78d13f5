"""The reference, made from what the code says of itself: docstrings, fields of `Config`, errors, `--help` of the command.

Which names there are says `mpreg.__all__`; a name that no page below lists stands on the page of the names it lives with.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import mpreg
import mpreg.testing
from mpreg.cli._main import mpreg as command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDER: Final = "reference"
# Pages in order: file, title, what stands above, names.
PAGES: Final[Sequence[tuple[str, str, str, Sequence[str]]]] = (
    ("nodes", "Nodes and functions",
     "What a program offers. A node calls, too: [`Caller`][mpreg.Caller]. Guide: [functions](../guides/functions-and-types.md).",
     ("Node", "Functions", "Context", "detached")),
    ("calling", "Calling", "A node and a client have one calling surface, `Caller`. Guide: [calling](../guides/calling.md).",
     ("Caller", "connect", "Client", "Remote", "Call", "Stream", "Map", "Outcome")),
    ("blocking", "Calling without `await`",
     "The same verbs for scripts, threads and Flask. Guide: [calling](../guides/calling.md#without-a-loop-and-inside-another-one).",
     ("SyncCaller", "SyncClient", "SyncRemote", "SyncStream", "SyncMap", "SyncWatch")),
    ("graphs", "Call graphs", "For `step`, `run` and `run_events` of [`Caller`][mpreg.Caller]. Guide: [call graphs](../guides/graphs.md).",
     ("Step", "RunReport", "StepReport", "RunEvent")),
    ("looking", "Looking at a mesh", "What `catalog`, `describe`, `explain`, `members` and `watch` answer with.",
     ("FunctionEntry", "FunctionDescription", "Explanation", "Candidate", "Member", "Watch", "Change",
      "NodeStats", "FunctionStats", "ConnectionStats")),
    ("config", "Settings and logs", "Guide: [configuration](../guides/configuration.md), with what each setting takes.",
     ("Config", "LogContext")),
    ("errors", "Errors", "Guide: [errors](../guides/errors.md).", ("MpregError",)),
)  # fmt: skip
# What users make themselves; of the rest, how it is made is nobody's business.
MADE_BY_USERS: Final = {"Config", "Functions", "LogContext", "Node", "SyncClient", "testing.LocalMesh"}
# Of bases, only what stands on no page of its own.
INHERITED: Final = {"Caller": ["call", "stream", "step", "run", "run_events"], "SyncCaller": ["step"], "Node": ["function"],
                    "Functions": ["function"], "SyncRemote": ["step"], "Map": ["total", "done"], "SyncMap": ["total", "done"]}  # fmt: skip
MEMBERS: Final = {"Config": ["sources", "replace"], "Functions": ["function", "prefix"]}


def pages() -> dict[str, str]:
    """The pages by their place in the site."""
    made = {f"{FOLDER}/{file}.md": _page(file, title, intro) for file, title, intro, _ in PAGES}
    return {**made, f"{FOLDER}/testing.md": _testing(), f"{FOLDER}/command.md": _command()}


def order() -> list[str]:
    """The pages as the navigation has them."""
    return [f"{FOLDER}/{file}.md" for file in [*(file for file, *_ in PAGES), "testing", "command"]]


def names_on(page: str) -> list[str]:
    """The exported names of a page."""
    listed = {name: file for file, *_, names in PAGES for name in names}
    page_of_module = {getattr(mpreg, name).__module__: file for name, file in listed.items()}
    own = [name for name, file in listed.items() if file == page]
    more = [name for name in mpreg.__all__ if name not in listed and name != "__version__"]
    homes = {name: getattr(mpreg, name).__module__ for name in more}
    if lost := [name for name, home in homes.items() if home not in page_of_module]:
        raise SystemExit(f"give {', '.join(lost)} a page: PAGES in {__file__}")
    own += [name for name in more if page_of_module[homes[name]] == page]
    return sorted(own, key=[each.__name__ for each in _tree(mpreg.MpregError)].index) if page == "errors" else own


def _page(file: str, title: str, intro: str) -> str:
    above = {"config": _settings, "errors": _errors}.get(file)
    parts = [f"# {title}", intro, *([above()] if above else []), *map(_entry, names_on(file))]
    return "\n\n".join(parts) + "\n"


def _entry(name: str) -> str:
    options: dict[str, Any] = {
        "inherited_members": INHERITED.get(name, False),
        "merge_init_into_class": name in MADE_BY_USERS,
        **({"members": MEMBERS[name]} if name in MEMBERS else {}),
    }
    return f"::: mpreg.{name}\n    options:\n" + "\n".join(f"      {key}: {value}" for key, value in options.items())


def _tree(error: type[mpreg.MpregError]) -> Iterator[type[mpreg.MpregError]]:
    # Classes that stand for what a function raised are made when it did, and are no part of it.
    yield error
    for each in error.__subclasses__():
        if each.__name__ in mpreg.__all__:
            yield from _tree(each)


def _errors() -> str:
    """One row for each, indented as they descend."""
    rows = ["| error | also a | `code` | `executed` | when |", "|---|---|---|---|---|"]
    for error in _tree(mpreg.MpregError):
        depth = len([base for base in error.__mro__ if issubclass(base, mpreg.MpregError)]) - 1
        also = [base.__name__ for base in error.__bases__ if not issubclass(base, mpreg.MpregError)]
        others = ", ".join(f"`{name}`" for name in also if name != "Exception")
        first = (
            inspect.cleandoc(error.__doc__ or "").partition("\n\n")[0].replace("\n", " ").partition(". ")[0].rstrip(".")
        )
        name = "&nbsp;" * 4 * depth + f"[`{error.__name__}`][mpreg.{error.__name__}]"
        rows.append(f"| {name} | {others} | `{error.code}` | {error.executed} | {first} |")
    note = "`code` and `executed` are what each begins with; an error at hand says what holds for that call."
    return "\n".join(rows) + f"\n\n{note}"


def _settings() -> str:
    told = _below_fields(mpreg.Config)
    rows = ["| setting | type | default | in the environment | what it is |", "|---|---|---|---|---|"]
    for field in dataclasses.fields(mpreg.Config):
        variable = "" if field.name == "insecure" else f"`MPREG_{field.name.upper()}`"
        kind = str(field.type).replace(" | ", "` or `")
        rows.append(f"| `{field.name}` | `{kind}` | `{field.default!r}` | {variable} | {told[field.name]} |")
    return "\n".join(rows)


def _below_fields(record: type) -> dict[str, str]:
    """What stands below each field of a dataclass."""
    (body,) = [item.body for item in ast.parse(inspect.getsource(record)).body if isinstance(item, ast.ClassDef)]
    return {
        field.target.id: str(below.value.value)
        for field, below in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }


def _testing() -> str:
    # Read, not imported: that would take pytest.
    plugin = ast.parse((Path(mpreg.testing.__file__).parent / "plugin.py").read_text())
    functions = [item for item in plugin.body if isinstance(item, ast.FunctionDef)]
    fixtures = [each.name for each in functions if "pytest.fixture" in map(ast.unparse, each.decorator_list)]
    intro = "For users' tests. Guide: [testing](../guides/testing.md)."
    names = [_entry(f"testing.{name}") for name in mpreg.testing.__all__]
    told = ["## Fixtures of the pytest plugin", *(_entry(f"testing.plugin.{name}") for name in fixtures)]
    return "\n\n".join(["# `mpreg.testing`", intro, *names, *told]) + "\n"


def _command() -> str:
    return "\n\n".join(["# The command", "What `--help` says of each verb.", *_helps(command, "mpreg", None)]) + "\n"


def _helps(verb: click.Command, name: str, above: click.Context | None) -> Iterator[str]:
    settings: dict[str, Any] = {**verb.context_settings, "terminal_width": 100, "max_content_width": 100}
    context = click.Context(verb, info_name=name.rpartition(" ")[2], parent=above, **settings)
    yield f"## `{name}`\n\n```text\n{inspect.cleandoc(verb.get_help(context))}\n```"
    if isinstance(verb, click.Group):
        for each in verb.list_commands(context):
            below = verb.get_command(context, each)
            if below is not None:
                yield from _helps(below, f"{name} {each}", context)
