"""Settings: what the code says, then `MPREG_*` of the environment, then `mpreg.toml`, then the default.

Everything is read when a node or client starts, never at import. An unknown or contradictory setting is `ConfigError`
with the nearest valid name; `Config.sources` says where each value came from.
"""

from __future__ import annotations

import dataclasses
import os
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, cast, get_args, get_origin, get_type_hints

from mpreg import _mpreg
from mpreg._errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

FILE_NAME: Final = "mpreg.toml"
PREFIX: Final = "MPREG_"
TIMEOUT_MAX: Final = 86_400.0
"""Seconds; there is no infinite call."""
RESOURCES_MAX: Final = 64
"""Of one function or node, and of one call's wishes; peers close a connection on which more come."""

LogLevel = Literal["debug", "info", "warning", "error"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a node or a client. Times are seconds, sizes bytes. What is not given here is looked up at start."""

    data_dir: Path | None = None
    """Where a node keeps its key and its data; without it nothing is kept."""
    advertise: str | None = None
    """Address told to others instead of the listen address."""
    insecure: bool = False
    """Listen and dial beyond loopback without keys. Only in code or on the command line, never by environment or file."""
    secret_file: Path | None = None
    """The shared secret of keyless processes; the user's own by default."""
    tls_ca: Path | None = None
    """Authorities of the own cluster (PEM)."""
    tls_cert: Path | None = None
    """Own certificate chain (PEM); needs `tls_key`."""
    tls_key: Path | None = None
    """Own private key (PEM, readable by its owner only); needs `tls_cert`."""
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
        _refuse_unknown(given, _settings(), "setting")
        self = super().__new__(cls)
        object.__setattr__(self, "_sources", dict.fromkeys(given, "code"))
        return self

    def __post_init__(self) -> None:
        """Converts and checks each value; relations between them wait for the start, when all are known."""
        for name, field in _settings().items():
            object.__setattr__(self, name, field.convert(getattr(self, name), name))

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value came from: "code", "environment MPREG_THREADS", "file /srv/mpreg.toml"; absent: default."""
        return types.MappingProxyType(self._sources)

    if TYPE_CHECKING:
        _sources: ClassVar[dict[str, str]]  # of the instance; a plain annotation would make it a field

    def replace(self, **changes: Any) -> Config:
        """A copy in which `changes` count as given in code."""
        return _made({**self.given(), **changes}, {**self.sources, **dict.fromkeys(changes, "code")})

    def given(self) -> dict[str, Any]:
        """What is not a default."""
        return {name: getattr(self, name) for name in self.sources}


@dataclasses.dataclass(frozen=True)
class _Field:
    """How one setting is read from code, TOML and text."""

    convert: Callable[[Any, str], Any]
    parse: Callable[[str, str], Any]
    default: Any = None


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """Where settings beyond the code are looked up; the test kit hands in an empty one."""

    environ: Mapping[str, str]
    directory: Path | None

    @classmethod
    def of_process(cls) -> Surroundings:
        """The process's environment and working directory, now."""
        return cls(os.environ, Path.cwd())


@dataclasses.dataclass(frozen=True)
class Resolved:
    """All settings of one start: those of the node or client itself by name, and the rest."""

    own: Mapping[str, Any]
    config: Config
    sources: Mapping[str, str]


def resolve(
    own: Mapping[str, Any], config: Config | None, surroundings: Surroundings, *, role: Literal["node", "client"]
) -> Resolved:
    """Unites code, environment, file and defaults. `own`: the constructor's arguments, None where the caller gave none."""
    fields = NODE_FIELDS if role == "node" else CLIENT_FIELDS
    known = {**_settings(), **NODE_FIELDS}
    code = {**(config.given() if config else {}), **{name: v for name, v in own.items() if v is not None}}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in (_from_file(surroundings.directory, known), _from_environment(surroundings.environ, known)):
        for name, (value, source) in layer.items():
            values[name], sources[name] = value, source
    values.update(code)
    sources.update(dict.fromkeys(code, "code"))
    settings = {name: value for name, value in values.items() if name in _settings()}
    mine = {name: field.convert(values.get(name, field.default), name) for name, field in fields.items()}
    made = _made(settings, {name: source for name, source in sources.items() if name in settings})
    _check_relations(made)
    return Resolved(mine, made, sources)


def _check_relations(config: Config) -> None:
    if (config.tls_cert is None) != (config.tls_key is None):
        missing = "tls_key" if config.tls_key is None else "tls_cert"
        raise ConfigError(f"tls_cert and tls_key belong together: set {missing} too")
    if config.tls_cert is not None and config.tls_ca is None:
        raise ConfigError("tls_cert without tls_ca could verify nobody: set tls_ca to the cluster's ca.pem")
    if config.tls_ca is not None and config.insecure:
        raise ConfigError("insecure=True contradicts tls_ca: leave one of them out")
    if config.max_value_bytes > config.receive_bytes // 2:
        most = config.receive_bytes // 2
        raise ConfigError(f"max_value_bytes={config.max_value_bytes} may be at most half of receive_bytes, {most}")
    for name in ("connection_window", "out_high_water"):
        if getattr(config, name) < config.max_frame_bytes:
            raise ConfigError(f"{name}={getattr(config, name)} must hold a frame of {config.max_frame_bytes} bytes")


def node_settings(resolved: Resolved) -> dict[str, Any]:
    """What `NodeCore` takes: the fields of Rust's `NodeConfig`."""
    # Rust reads sequences as lists; a tuple would travel as what it is.
    own = {name: list(cast("tuple[str, ...]", v)) if isinstance(v, tuple) else v for name, v in resolved.own.items()}
    return {**own, "settings": _native(resolved.config)}


def client_settings(resolved: Resolved, addresses: Sequence[str]) -> dict[str, Any]:
    """What `ClientCore` takes: the fields of Rust's `ClientConfig`."""
    return {"name": resolved.own["name"], "addresses": list(addresses), "settings": _native(resolved.config)}


def _native(config: Config) -> dict[str, Any]:
    """Every field that Rust knows, defaults filled in: paths as text, times as float seconds."""
    python_only = {"log_level", "timeout"}
    values = {name: getattr(config, name) for name in _settings() if name not in python_only}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def seconds(value: Any, name: str, *, least: float = 0.0, most: float = TIMEOUT_MAX) -> float:
    """A time in seconds within its bounds, as float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} takes seconds as a number, not {_shown(value)}")
    if not least <= value <= most:  # also refuses NaN
        raise ConfigError(f"{name} takes {least:g} to {most:g} seconds, not {value!r}")
    return float(value)


def strings(value: Any, name: str) -> tuple[str, ...]:
    """Any iterable of strings, sorted and once each; a plain string is refused, because its letters are never meant."""
    if isinstance(value, str | bytes):
        raise ConfigError(f"{name} takes a set or list of strings, not one string: {name}={{{value!r}}}")
    try:
        items = list(value)
    except TypeError:
        raise ConfigError(f"{name} takes a set or list of strings, not {_shown(value)}") from None
    for item in items:
        if not isinstance(item, str):
            raise ConfigError(f"{name} takes strings, not {_shown(item)}")
    return tuple(sorted(set(items)))


def resource_names(value: Any, name: str = "resources") -> tuple[str, ...]:
    """Resources, each in its grammar; no more than any node takes."""
    found = tuple(_mpreg.check_name("resource", each) for each in strings(value, name))
    if len(found) > RESOURCES_MAX:
        raise ConfigError(f"{name} takes at most {RESOURCES_MAX} resources, not {len(found)}")
    return found


def integer(value: Any, name: str, *, least: int, most: int) -> int:
    """A whole number within its bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name} takes a whole number, not {_shown(value)}")
    if not least <= value <= most:
        raise ConfigError(f"{name} takes {least} to {most}, not {value}")
    return value


def hint(text: str, names: Iterable[str]) -> str:
    """` (did you mean ...?)`, or nothing."""
    near = _mpreg.nearest(text, names)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _made(values: Mapping[str, Any], sources: Mapping[str, str]) -> Config:
    made = Config(**values)
    object.__setattr__(made, "_sources", dict(sources))
    return made


def _refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    names = list(known)
    for name in given:
        if name not in names:
            raise ConfigError(f"{name!r} is not a {what} of mpreg{hint(name, names)}")


def _from_environment(environ: Mapping[str, str], known: Mapping[str, _Field]) -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable[len(PREFIX) :].lower()
        if name not in known:
            near = hint(variable, [PREFIX + each.upper() for each in known if each != "insecure"])
            raise ConfigError(f"{variable} in the environment is not a setting of mpreg{near}")
        _refuse_insecure(name, f"the environment ({variable})")
        # An empty variable is the shell's way to say "not set".
        if text:
            found[name] = (known[name].parse(text, variable), f"environment {variable}")
    return found


def _from_file(directory: Path | None, known: Mapping[str, _Field]) -> dict[str, tuple[Any, str]]:
    path = directory / FILE_NAME if directory else None
    if path is None or not path.is_file():
        return {}
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    _refuse_unknown(table, known, f"setting (in {path})")
    for name in table:
        _refuse_insecure(name, str(path))
    return {name: (known[name].convert(value, f"{name} in {path}"), f"file {path}") for name, value in table.items()}


def _refuse_insecure(name: str, place: str) -> None:
    if name == "insecure":
        raise ConfigError(f"insecure may only be written in code or on the command line, not in {place}")


_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


def _boolean(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} takes True or False, not {_shown(value)}")
    return value


def _parse_boolean(text: str, name: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ConfigError(f"{name} takes true or false, not {text!r}")
    return text.lower() in _TRUE


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} takes a string, not {_shown(value)}")
    return value


def _path(value: Any, name: str) -> Path:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ConfigError(f"{name} takes a path, not {_shown(value)}")
    return Path(os.fspath(value)).expanduser()


def _parse_number(text: str, name: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ConfigError(f"{name} takes a number, not {text!r}")


def _parse_strings(text: str, name: str) -> tuple[str, ...]:
    return strings([part.strip() for part in text.split(",") if part.strip()], name)


def _name(kind: Literal["node", "instance", "cluster"]) -> Callable[[Any, str], str]:
    return lambda value, name: _mpreg.check_name(kind, _text(value, name))


def _clusters(value: Any, name: str) -> tuple[str, ...]:
    return tuple(_mpreg.check_name("cluster", each) for each in strings(value, name))


def _optional(convert: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda value, name: None if value is None else convert(value, name)


def _as_text(convert: Callable[[Any, str], Any]) -> Callable[[str, str], Any]:
    return lambda text, name: convert(_parse_number(text, name), name)


def _field(kind: Any, name: str) -> _Field:
    """The rules of a `Config` field, by its annotation and the bounds below."""
    if get_origin(kind) is types.UnionType:
        inner = _field(next(arg for arg in get_args(kind) if arg is not type(None)), name)
        return _Field(_optional(inner.convert), inner.parse)
    if get_origin(kind) is Literal:
        return _one_of(get_args(kind))
    if kind is bool:
        return _Field(_boolean, _parse_boolean)
    if kind is int:
        least, most = _INTEGER_BOUNDS[name]
        number: Callable[[Any, str], Any] = lambda value, label: integer(value, label, least=least, most=most)  # noqa: E731
        return _Field(number, _as_text(number))
    if kind is float:
        low, high = _SECONDS_BOUNDS[name]
        time: Callable[[Any, str], Any] = lambda value, label: seconds(value, label, least=low, most=high)  # noqa: E731
        return _Field(time, _as_text(time))
    return _Field(_path, _path) if kind is Path else _Field(_text, _text)


def _one_of(choices: tuple[str, ...]) -> _Field:
    def convert(value: Any, name: str) -> str:
        if value not in choices:
            near = hint(value, choices) if isinstance(value, str) else ""
            raise ConfigError(f"{name} takes one of {', '.join(choices)}, not {_shown(value)}{near}")
        return str(value)

    return _Field(convert, convert)


_INTEGER_BOUNDS: Final = {
    "max_value_bytes": (64 << 10, 1 << 40),
    "receive_bytes": (128 << 10, 1 << 41),
    "concurrency": (1, 10_000_000),
    "threads": (1, 10_000),
    "waiting": (0, 10_000_000),
    "max_frame_bytes": (128 << 10, 16 << 20),
    "connection_window": (128 << 10, 1 << 40),
    "out_high_water": (128 << 10, 1 << 40),
    "pending_calls": (1, 10_000_000),
    "connections": (1, 10_000_000),
    "half_open": (1, 1_000_000),
    "full_mesh_max": (2, 10_000),
}
_SECONDS_BOUNDS: Final = {
    "timeout": (0.001, TIMEOUT_MAX),
    "handshake_timeout": (0.01, 300.0),
    "drain_timeout": (0.0, TIMEOUT_MAX),
    "probe_interval": (0.3, 60.0),
}


def program_name() -> str:
    """The name of a node or client that was given none: the program's, made to fit the grammar."""
    import re
    import sys

    program = Path(sys.argv[0] if sys.argv and sys.argv[0] else "python")
    stem = program.parent.name if program.stem == "__main__" else program.stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:63].strip("-_") or "python"


_MAX_HOPS: Final = 16
_hops: Callable[[Any, str], int] = lambda value, name: integer(value, name, least=0, most=_MAX_HOPS)  # noqa: E731

NODE_FIELDS: Final[Mapping[str, _Field]] = types.MappingProxyType({
    "name": _Field(lambda value, name: _name("node")(value or program_name(), name), _name("node")),
    "instance": _Field(_optional(_name("instance")), _name("instance")),
    "cluster": _Field(_name("cluster"), _name("cluster"), "default"),
    "resources": _Field(resource_names, lambda t, n: resource_names(_parse_strings(t, n), n), ()),
    "listen": _Field(_text, _text, "127.0.0.1:0"),
    "seeds": _Field(strings, _parse_strings, ()),
    "links": _Field(strings, _parse_strings, ()),
    "trust": _Field(_clusters, lambda t, n: _clusters(_parse_strings(t, n), n), ()),
    "max_hops": _Field(_hops, _as_text(_hops), 1),
})  # fmt: skip
"""What a `Node` takes besides its config, and environment and file may say too."""

_ADDRESS_WORDS: Final = frozenset({"address", "bind", "host", "port"})


def refuse_unknown_arguments(given: Iterable[str]) -> None:
    """What `Node` does not take, with what to write instead."""
    known = [*NODE_FIELDS, "lifespan", "config"]
    for name in given:
        if name in known:
            continue
        if name in _settings():
            raise ConfigError(f"{name} is a setting: Node(..., config=mpreg.Config({name}=...))")
        near = ': write listen="127.0.0.1:7000"' if name in _ADDRESS_WORDS else hint(name, known)
        raise ConfigError(f"{name!r} is not an argument of Node{near}")


CLIENT_FIELDS: Final = types.MappingProxyType({name: NODE_FIELDS[name] for name in ("name", "seeds")})

_cached: dict[str, _Field] = {}


def _settings() -> Mapping[str, _Field]:
    if not _cached:
        hints = get_type_hints(Config)
        _cached.update({f.name: _field(hints[f.name], f.name) for f in dataclasses.fields(Config)})
    return _cached


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"  # noqa: PLR2004 - long enough to recognise it
