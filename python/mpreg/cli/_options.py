"""Options that every verb talking to a mesh has, and the client they make."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import mpreg
from mpreg._fields import hint

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpreg._client import Connecting

_F = TypeVar("_F", bound="Callable[..., Any]")

_PATH = click.Path(path_type=Path, exists=True, dir_okay=False)


class Verbs(click.Group):
    """Names the nearest verb for an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that is meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message}{hint(args[0], self.commands)}", ctx) from None


def as_json(command: _F) -> _F:
    """`--json`: for programs."""
    return click.option("--json", "json", is_flag=True, help="One JSON document on stdout.")(command)


@dataclasses.dataclass(frozen=True)
class Entrance:
    """How to get into a mesh."""

    addresses: tuple[str, ...]
    timeout: float | None
    config: mpreg.Config

    def connect(self) -> Connecting:
        """For a loop."""
        return mpreg.connect(*self.addresses, timeout=self.timeout, config=self.config)

    def open(self) -> mpreg.SyncClient:
        """Without one."""
        return mpreg.SyncClient(*self.addresses, timeout=self.timeout, config=self.config)


def entrance(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--connect` and its like become the argument `way_in`; nothing is connected yet."""

    @click.option("--connect", "addresses", multiple=True, metavar="ADDRESS", help="Entry node; else MPREG_SEEDS.")
    @click.option("--timeout", type=float, default=None, metavar="SECONDS", help="Deadline of each request.")
    @click.option("--tls-ca", type=_PATH, help="Authorities of the cluster (PEM).")
    @click.option("--tls-cert", type=_PATH, help="Own certificate (PEM).")
    @click.option("--tls-key", type=_PATH, help="Own key (PEM).")
    @click.option("--insecure", is_flag=True, help="Talk to other machines without keys.")
    @functools.wraps(command)
    def with_entrance(*, addresses: tuple[str, ...], timeout: float | None, **options: Any) -> Any:
        names = ("tls_ca", "tls_cert", "tls_key", "insecure")
        given = {name: value for name in names if (value := options.pop(name))}
        return command(way_in=Entrance(addresses, timeout, mpreg.Config(**given)), **options)

    return with_entrance


def connection(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--connect` and its like become the argument `client`, a connected `SyncClient`."""

    @functools.wraps(command)
    def with_client(*, way_in: Entrance, **options: Any) -> Any:
        with way_in.open() as client:
            return command(client=client, **options)

    return entrance(with_client)
