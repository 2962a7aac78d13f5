"""`mpreg doctor`: looks at this machine's settings and, if it is told an address, at the mesh behind it."""

from __future__ import annotations

import dataclasses
import itertools
import os
import platform
import stat
import sys
from typing import TYPE_CHECKING, Any, Literal

import click

import mpreg
from mpreg._sources import Surroundings, resolve
from mpreg.cli._config import about_file
from mpreg.cli._options import as_json
from mpreg.cli._output import show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mpreg._sources import Resolved

State = Literal["ok", "warning", "failed"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: State
    text: str
    remedy: str = ""


@click.command()
@click.option("--connect", "addresses", multiple=True, metavar="ADDRESS", help="Entry node; else MPREG_SEEDS.")
@click.option("--insecure", is_flag=True, help="Talk to other machines without keys.")
@as_json
def doctor(*, addresses: tuple[str, ...], insecure: bool, json: bool) -> None:
    """Check settings, files and the mesh. Exit status 1 if something failed."""
    findings = list(examine(addresses, mpreg.Config(insecure=True) if insecure else None))
    if json:
        show_json([dataclasses.asdict(finding) for finding in findings])
    else:
        show_table(("WHAT", "STATE", "FOUND", "REMEDY"), [(f.what, f.state, f.text, f.remedy) for f in findings])
    sys.exit(int(any(finding.state == "failed" for finding in findings)))


def examine(addresses: tuple[str, ...], config: mpreg.Config | None) -> Iterator[Finding]:
    """All findings, in the order things depend on each other."""
    yield Finding("versions", "ok", f"mpreg {mpreg.__version__}, Python {platform.python_version()}, {sys.platform}")
    surroundings = Surroundings.of_process()
    try:
        resolved = resolve({}, config, surroundings, role="node")
    except mpreg.ConfigError as error:
        yield Finding("settings", "failed", str(error), "correct it and run doctor again")
        return
    yield _settings(resolved)
    yield Finding("settings file", "ok", about_file(surroundings))
    yield from _files(resolved.config)
    yield from _exposure(resolved)
    entries = addresses or tuple(resolved.own["seeds"])
    if entries:
        yield from _mesh(entries, config)
    else:
        yield Finding("mesh", "warning", "no address to look at", "--connect ADDRESS or MPREG_SEEDS")


def _settings(resolved: Resolved) -> Finding:
    told = sorted(f"{name} ({source})" for name, source in resolved.sources.items())
    return Finding("settings", "ok", ", ".join(told) or "all defaults")


def _files(config: mpreg.Config) -> Iterator[Finding]:
    for name in ("secret_file", "tls_ca", "tls_cert", "tls_key"):
        path: Path | None = getattr(config, name)
        if path is not None:
            yield _file(name, path, private=name in {"secret_file", "tls_key"})


def _file(name: str, path: Path, *, private: bool) -> Finding:
    try:
        mode = path.stat().st_mode
        with path.open("rb"):
            pass
    except OSError as error:
        return Finding(name, "failed", f"{path}: {error.strerror}", f"correct {name}, or the file's owner and mode")
    if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Finding(name, "failed", f"{path} can be read by others than its owner", f"chmod 600 {path}")
    if private and path.stat().st_uid != os.getuid():
        return Finding(name, "warning", f"{path} belongs to another user", f"chown it, or set {name} to your own")
    return Finding(name, "ok", str(path))


def _exposure(resolved: Resolved) -> Iterator[Finding]:
    listen: str = resolved.own["listen"]
    local = listen.startswith(("127.", "localhost:", "[::1]:", "unix:", "memory:"))
    if resolved.config.insecure:
        yield Finding("keys", "warning", "insecure: anyone who reaches the port may join", "certificates: tls_cert")
    elif resolved.config.tls_cert is None:
        yield Finding("keys", "ok", "none: processes of this user on this machine only")
        if not local:
            remedy = "tls_ca, tls_cert and tls_key, or an address of this machine"
            yield Finding(
                "listen", "failed", f"{listen} is beyond this machine: without certificates no node starts", remedy
            )
    else:
        yield Finding("keys", "ok", "mutual TLS on every connection")
    _, _, port = listen.rpartition(":")
    if port.isdigit() and port != "0" and not local:
        yield Finding("firewall", "ok", f"TCP port {port} must be open to the other nodes and to clients")


def _mesh(addresses: tuple[str, ...], config: mpreg.Config | None) -> Iterator[Finding]:
    try:
        with mpreg.SyncClient(*addresses, timeout=5.0, config=config) as client:
            members, entries = client.members(), client.catalog()
            entry = client.entry
    except mpreg.MpregError as error:
        yield Finding("mesh", "failed", str(error), "is a node running there, with the same secret or certificates?")
        return
    yield Finding("mesh", "ok", f"entry node {entry}; members: {len(members)}; functions offered: {len(entries)}")
    yield from (
        Finding("member", "warning", f"{member.id} is {member.state}", "look at that process and its network")
        for member in members
        if member.state in {"suspect", "down"}
    )
    yield from (
        Finding("member", "warning", f"{member.id} is busy: {_innermost(member.stack)}", "blocking work: plain def")
        for member in members
        if member.state == "busy"
    )
    yield from _conflicts(entries)


def _innermost(stack: str | None) -> str:
    """The frame that keeps the loop, on one line."""
    frames = (stack or "").strip().split("  File ")
    return " ".join(frames[-1].split())


def _conflicts(entries: Iterable[mpreg.FunctionEntry]) -> Iterator[Finding]:
    def same(entry: mpreg.FunctionEntry) -> Any:
        return (entry.name, entry.version)

    for (name, version), group in itertools.groupby(sorted(entries, key=same), key=same):
        owners = list(group)
        if len({(owner.id, owner.signature) for owner in owners}) > 1:
            where = ", ".join(sorted(owner.node for owner in owners))
            text = f"{name} {version} differs between {where}"
            yield Finding("contract", "warning", text, "give one of them another version")
