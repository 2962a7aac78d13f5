"""`mpreg catalog`, `describe`, `explain`, `members`: what is there, and why a call goes where it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mpreg.cli._options import as_json, connection
from mpreg.cli._output import note, show_json, show_lines, show_table

if TYPE_CHECKING:
    import mpreg


@click.command()
@click.argument("pattern", default="*")
@click.option("--resource", "resources", multiple=True, help="Only functions that have it; may be repeated.")
@as_json
@connection
def catalog(client: mpreg.SyncClient, *, pattern: str, resources: tuple[str, ...], json: bool) -> None:
    """List functions whose name fits PATTERN (`*` = any characters)."""
    entries = client.catalog(function=pattern, resources=resources)
    if json:
        show_json([entry.as_dict() for entry in entries])
        return
    rows = [(e.name, e.version, e.node, " ".join(sorted(e.resources)), e.signature) for e in entries]
    show_table(("FUNCTION", "VERSION", "NODE", "RESOURCES", "SIGNATURE"), rows)


@click.command()
@click.argument("name")
@as_json
@connection
def describe(client: mpreg.SyncClient, *, name: str, json: bool) -> None:
    """Show a function: signature, doc, versions, resources, and who offers it."""
    found = client.describe(name)
    if json:
        show_json(found.as_dict())
        return
    show_lines(f"{found.name}{found.signature}")
    if found.doc:
        show_lines("", *(f"    {line}".rstrip() for line in found.doc.splitlines()))
    show_lines(
        "",
        f"versions:  {', '.join(found.versions)}",
        f"resources: {', '.join(sorted(found.resources)) or 'none'}",
        f"nodes:     {', '.join(found.nodes)}",
    )


@click.command()
@click.argument("name")
@click.option("--resource", "resources", multiple=True, help="The callee must have it; may be repeated.")
@click.option("--version", default=None, help='Versions that will do, like ">=1.2,<2".')
@click.option("--cluster", default=None, help='Cluster that may answer; "*" for any.')
@as_json
@connection
def explain(
    client: mpreg.SyncClient,
    *,
    name: str,
    resources: tuple[str, ...],
    version: str | None,
    cluster: str | None,
    json: bool,
) -> None:
    """Show where a call would go now, and for every other candidate why not there."""
    options: dict[str, Any] = {"resources": resources, "cluster": cluster}
    if version is not None:
        options["version"] = version
    found = client.explain(name, **options)
    if not found.candidates:
        client.describe(name)  # nobody offers it: says so, with the nearest names
    if json:
        show_json(found.as_dict())
        return
    rows = [
        ("->" if c.chosen else "", c.node, c.version, "" if c.score is None else f"{c.score:.3f}", c.reason)
        for c in found.candidates
    ]
    show_table(("", "NODE", "VERSION", "SCORE", "REASON"), rows)
    if found.chosen is None:
        note("none of them can be called now; REASON says why")


@click.command()
@as_json
@connection
def members(client: mpreg.SyncClient, *, json: bool) -> None:
    """List the nodes of the cluster, departed ones for ten minutes."""
    found = client.members()
    if json:
        show_json([member.as_dict() for member in found])
        return
    rows = [(m.id, m.state, m.address, "declared" if m.declared else "proved", m.reason or "") for m in found]
    show_table(("NODE", "STATE", "ADDRESS", "IDENTITY", "REASON"), rows)
