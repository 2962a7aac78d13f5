"""Settings of a node or a client: what there is, what each takes, and what they say about one another.

`_sources` looks them up: what the code says, then `MPREG_*` of the environment, then `mpreg.toml`, then the default.
"""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, get_type_hints

from mpreg._errors import ConfigError
from mpreg._fields import (
    Field,
    addresses,
    as_list,
    as_text,
    clusters,
    field_of,
    hint,
    integer,
    name_of,
    optional,
    resource_names,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LogLevel = Literal["debug", "info", "warning", "error"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a node or a client. Times are seconds, sizes bytes. What is not given here is looked up at start.

    Frozen. A wrong name or value is a `ConfigError` here, values that contradict each other are one at the start.
    """

    data_dir: Path | None = None
    """Where a node keeps its key and its data; without it nothing is kept."""
    advertise: str | None = None
    """Address told to others instead of the listen address."""
    insecure: bool = False
    """Listen and dial beyond loopback without keys; taken from code and command line only."""
    secret_file: Path | None = None
    """The shared secret of keyless processes (32 bytes, readable by its owner only)."""
    tls_ca: Path | None = None
    """Authorities of the own cluster (PEM); needs `tls_cert` and `tls_key`."""
    tls_cert: Path | None = None
    """Own certificate chain (PEM); needs `tls_key` and `tls_ca`."""
    tls_key: Path | None = None
    """Own private key (PEM, readable by its owner only); needs `tls_cert` and `tls_ca`."""
    max_value_bytes: int = 1 << 30
    """Largest value; at most half of `receive_bytes`, which is what one peer gets."""
    receive_bytes: int = 2 << 30
    """Large values being received or held at one time."""
    concurrency: int = 10_000
    """`async def` calls running at one time."""
    threads: int = 40
    """Worker threads for plain functions."""
    waiting: int = 10_000
    """Calls waiting for a free slot; more are `OverloadedError`."""
    max_frame_bytes: int = 128 << 10
    """Longest frame that is read."""
    connection_window: int = 16 << 20
    """Bytes under way on one connection before its sender waits."""
    out_high_water: int = 4 << 20
    """Bytes to be written on one connection before those who send wait."""
    pending_calls: int = 65_536
    """Calls of one side of a connection that wait for their reply; further ones wait for their turn."""
    connections: int = 10_000
    """Connections of one node."""
    half_open: int = 1024
    """Handshakes under way at one node; the oldest makes way."""
    full_mesh_max: int = 64
    """Up to so many members every pair keeps a connection; beyond, others are dialled when they are needed."""
    timeout: float = 30.0
    """Deadline of a call that names none; at most a day."""
    handshake_timeout: float = 5.0
    """For a peer to prove who it is."""
    drain_timeout: float = 10.0
    """For running calls to end when a node leaves."""
    probe_interval: float = 0.3
    """Between two membership probes; at least 0.3, so that a stall of 2 s is no death."""
    log_level: LogLevel = "warning"
    """Least level that is logged; `mpreg run` takes "info"."""

    def __new__(cls, **given: object) -> Self:
        """Remembers what the code said, which the generated `__init__` could not tell from a default."""
        _refuse_unknown(given)
        self = super().__new__(cls)
        object.__setattr__(self, "_sources", dict.fromkeys(given, "code"))
        return self

    def __post_init__(self) -> None:
        """Converts and checks each value; relations between them wait for the start, when all are known."""
        for name, field in settings().items():
            object.__setattr__(self, name, field.convert(getattr(self, name), name))

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value came from: "code", "environment MPREG_THREADS", "file /srv/mpreg.toml:3"; absent: default."""
        return types.MappingProxyType(self._sources)

    if TYPE_CHECKING:
        _sources: ClassVar[dict[str, str]]  # of the instance; a plain annotation would make it a field

    def replace(self, **changes: Any) -> Config:
        """A copy in which `changes` count as given in code; a wrong name or value is a `ConfigError`."""
        return made({**self.given(), **changes}, {**self.sources, **dict.fromkeys(changes, "code")})

    def given(self) -> dict[str, Any]:
        """What is not a default."""
        return {name: getattr(self, name) for name in self.sources}

    def without(self, names: Iterable[str]) -> Config:
        """A copy in which these are not given."""
        left = {name: value for name, value in self.given().items() if name not in set(names)}
        return made(left, {name: self.sources[name] for name in left})


def made(values: Mapping[str, Any], sources: Mapping[str, str]) -> Config:
    """A config whose values came from `sources`."""
    config = Config(**values)
    object.__setattr__(config, "_sources", dict(sources))
    return config


def _refuse_unknown(given: Iterable[str]) -> None:
    for name in given:
        if name in NODE_FIELDS:
            raise ConfigError(f"{name} is an argument of Node itself: Node(..., {name}=...)")
        if name not in settings():
            raise ConfigError(f"{name!r} is not a setting of mpreg{hint(name, settings())}")


def check_relations(config: Config) -> None:
    """What one value says about another; everything is known when a node or client starts."""
    certificates = ("tls_ca", "tls_cert", "tls_key")
    missing = [name for name in certificates if getattr(config, name) is None]
    if 0 < len(missing) < len(certificates):
        raise ConfigError(
            f"{', '.join(certificates)} belong together: set {' and '.join(missing)} too, or none of them"
        )
    if config.tls_ca is not None and config.insecure:
        raise ConfigError("insecure=True contradicts tls_ca: leave one of them out")
    if config.max_value_bytes > config.receive_bytes // 2:
        most = config.receive_bytes // 2
        raise ConfigError(f"max_value_bytes={config.max_value_bytes} may be at most half of receive_bytes, {most}")
    for name in ("connection_window", "out_high_water"):
        if getattr(config, name) < config.max_frame_bytes:
            raise ConfigError(f"{name}={getattr(config, name)} must hold a frame of {config.max_frame_bytes} bytes")


def program_name() -> str:
    """The name of a node or client that was given none: the program's, made to fit the grammar."""
    import re
    import sys

    program = Path(sys.argv[0] if sys.argv and sys.argv[0] else "python")
    stem = program.parent.name if program.stem == "__main__" else program.stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:63].strip("-_") or "python"


_MAX_HOPS: Final = 16
_hops: Callable[[Any, str], int] = lambda value, name: integer(value, name, least=0, most=_MAX_HOPS)  # noqa: E731

NODE_FIELDS: Final[Mapping[str, Field]] = types.MappingProxyType({
    "name": Field(lambda value, name: program_name() if value is None else name_of("node")(value, name), name_of("node")),
    "instance": Field(optional(name_of("instance")), name_of("instance")),
    "cluster": Field(name_of("cluster"), name_of("cluster"), "default"),
    "resources": Field(resource_names, as_list(resource_names), ()),
    "listen": Field(text_of, text_of, "127.0.0.1:0"),
    "seeds": Field(addresses, as_list(addresses), ()),
    "links": Field(addresses, as_list(addresses), ()),
    "trust": Field(clusters, as_list(clusters), ()),
    "max_hops": Field(_hops, as_text(_hops), 1),
})  # fmt: skip
"""What a `Node` takes besides its config, and environment and file may say too."""

ADDRESS_WORDS: Final = frozenset({"address", "bind", "host", "port"})
"""What others call `listen`."""


def refuse_unknown_arguments(given: Iterable[str]) -> None:
    """What `Node` does not take, with what to write instead."""
    known = [*NODE_FIELDS, "lifespan", "config"]
    for name in given:
        if name in known:
            continue
        if name in settings():
            raise ConfigError(f"{name} is a setting: Node(..., config=mpreg.Config({name}=...))")
        near = ': write listen="127.0.0.1:7000"' if name in ADDRESS_WORDS else hint(name, known)
        raise ConfigError(f"{name!r} is not an argument of Node{near}")


CLIENT_FIELDS: Final = types.MappingProxyType({name: NODE_FIELDS[name] for name in ("name", "seeds")})

_cached: dict[str, Field] = {}


def settings() -> Mapping[str, Field]:
    """The fields of `Config`, with what each takes."""
    if not _cached:
        hints = get_type_hints(Config)
        _cached.update({f.name: field_of(hints[f.name], f.name) for f in dataclasses.fields(Config)})
    return _cached
