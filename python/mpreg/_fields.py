"""What one setting takes, and how its value is read from code, from TOML and from the text of a variable.

Invariant: a value that has passed its field is one that Rust takes; a refusal names the setting, quotes what was given,
and says what is taken. `label` is how the reader knows the value: an argument, a variable, or a key with its file and line.
"""

from __future__ import annotations

import dataclasses
import os
import types
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from mpreg import _mpreg
from mpreg._errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TIMEOUT_MAX: Final = 86_400.0
"""Seconds; there is no infinite call."""
RESOURCES_MAX: Final = 64
"""Of one function or node, and of one call's wishes; peers close a connection on which more come."""


@dataclasses.dataclass(frozen=True)
class Field:
    """How one setting is read from code and TOML (`convert`) and from text (`parse`)."""

    convert: Callable[[Any, str], Any]
    parse: Callable[[str, str], Any]
    default: Any = None


def seconds(value: Any, name: str, *, least: float = 0.0, most: float = TIMEOUT_MAX) -> float:
    """A time in seconds within its bounds, as float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} takes seconds as a number, not {shown(value)}")
    if not least <= value <= most:  # also refuses NaN
        raise ConfigError(f"{name} takes {least:g} to {most:g} seconds, not {shown(value)}")
    return float(value)


def strings(value: Any, name: str) -> tuple[str, ...]:
    """Any iterable of strings, sorted and once each; a plain string is refused, because its letters are never meant."""
    return tuple(sorted(addresses(value, name)))


def addresses(value: Any, name: str) -> tuple[str, ...]:
    """As `strings`, but in the order given, which is the order tried; a set has none and is sorted."""
    if isinstance(value, str | bytes):
        raise ConfigError(f"{name} takes a set or list of strings, not one string: write [{shown(value)}]")
    try:
        items = list(value)
    except TypeError:
        raise ConfigError(f"{name} takes a set or list of strings, not {shown(value)}") from None
    for item in items:
        if not isinstance(item, str):
            raise ConfigError(f"{name} takes strings, not {shown(item)}")
    return tuple(dict.fromkeys(sorted(items) if isinstance(value, AbstractSet) else items))


def resource_names(value: Any, name: str = "resources") -> tuple[str, ...]:
    """Resources, each in its grammar; no more than any node takes."""
    found = tuple(_checked("resource", each, name) for each in strings(value, name))
    if len(found) > RESOURCES_MAX:
        raise ConfigError(f"{name} takes at most {RESOURCES_MAX} resources, not {len(found)}")
    return found


def integer(value: Any, name: str, *, least: int, most: int) -> int:
    """A whole number within its bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name} takes a whole number, not {shown(value)}")
    if not least <= value <= most:
        raise ConfigError(f"{name} takes {least} to {most}, not {shown(value)}")
    return value


def hint(text: str, names: Iterable[str]) -> str:
    """` (did you mean ...?)`, or nothing."""
    near = _mpreg.nearest(text, names)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _boolean(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} takes True or False, not {shown(value)}")
    return value


def text_of(value: Any, name: str) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} takes a string, not {shown(value)}")
    return value


def path_of(value: Any, name: str) -> Path:
    """A path; `~` is the home."""
    text: Any = os.fspath(value) if isinstance(value, os.PathLike) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - of any kind
    if not isinstance(text, str) or not text:
        raise ConfigError(f"{name} takes a path, not {shown(value)}")
    if "-----BEGIN" in text or "\n" in text:
        # It is not quoted: keys belong in no log.
        raise ConfigError(f"{name} takes the path of a file, not what stands in the file")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{name}: nobody has the home of {text!r}") from error


def _parse_number(text: str, name: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ConfigError(f"{name} takes a number, not {text!r}")


def as_list(convert: Callable[[Any, str], Any]) -> Callable[[str, str], Any]:
    """Reads strings with commas between them, then converts them."""
    return lambda text, name: convert([part.strip() for part in text.split(",") if part.strip()], name)


def name_of(kind: Literal["node", "instance", "cluster"]) -> Callable[[Any, str], str]:
    """Converts a name of that kind."""
    return lambda value, name: _checked(kind, text_of(value, name), name)


def clusters(value: Any, name: str) -> tuple[str, ...]:
    """Names of clusters."""
    return tuple(_checked("cluster", each, name) for each in strings(value, name))


def _checked(kind: Literal["node", "instance", "cluster", "resource"], text: str, name: str) -> str:
    try:
        return _mpreg.check_name(kind, text)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def optional(convert: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Converts what is not None."""
    return lambda value, name: None if value is None else convert(value, name)


def as_text(convert: Callable[[Any, str], Any]) -> Callable[[str, str], Any]:
    """Reads a number from text, then converts it."""
    return lambda text, name: convert(_parse_number(text, name), name)


def field_of(kind: Any, name: str) -> Field:
    """The rules of a `Config` field, by its annotation and the bounds below."""
    if get_origin(kind) is types.UnionType:
        inner = field_of(next(arg for arg in get_args(kind) if arg is not type(None)), name)
        return Field(optional(inner.convert), inner.parse)
    if get_origin(kind) is Literal:
        return _one_of(get_args(kind))
    if kind is bool:
        # No text is a boolean: there is none that the environment may set.
        return Field(_boolean, _boolean)
    if kind is int:
        least, most = INTEGER_BOUNDS[name]
        number: Callable[[Any, str], Any] = lambda value, label: integer(value, label, least=least, most=most)  # noqa: E731
        return Field(number, as_text(number))
    if kind is float:
        low, high = SECONDS_BOUNDS[name]
        time: Callable[[Any, str], Any] = lambda value, label: seconds(value, label, least=low, most=high)  # noqa: E731
        return Field(time, as_text(time))
    return Field(path_of, path_of) if kind is Path else Field(text_of, text_of)


def _one_of(choices: tuple[str, ...]) -> Field:
    def convert(value: Any, name: str) -> str:
        if value not in choices:
            near = hint(value, choices) if isinstance(value, str) else ""
            raise ConfigError(f"{name} takes one of {', '.join(choices)}, not {shown(value)}{near}")
        return str(value)

    return Field(convert, convert)


INTEGER_BOUNDS: Final = {
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
SECONDS_BOUNDS: Final = {
    "timeout": (0.001, TIMEOUT_MAX),
    "handshake_timeout": (0.01, 300.0),
    "drain_timeout": (0.0, TIMEOUT_MAX),
    "probe_interval": (0.3, 60.0),
}


def shown(value: Any) -> str:
    """What was given, if it is short enough to be quoted."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits, which TOML may write in hexadecimal
        return f"a very large {type(value).__name__}"
    return text if len(text) <= 60 else f"a {type(value).__name__}"  # noqa: PLR2004 - long enough to recognise it
