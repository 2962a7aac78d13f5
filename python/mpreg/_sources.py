"""Where settings come from: what the code says, then `MPREG_*`, then the file, then the default.

All of it is read when a node or client starts, never at import. A variable or key that is no setting is refused with the
nearest name, and every refusal names the variable, or the file and line. All that is wrong is found in one pass, so that
`mpreg config check` can list it; a start raises the first of it.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, cast

from mpreg._config import ADDRESS_WORDS, CLIENT_FIELDS, NODE_FIELDS, check_relations, made, settings
from mpreg._errors import ConfigError
from mpreg._fields import hint, path_of
from mpreg._toml import line_of, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mpreg._config import Config
    from mpreg._fields import Field

FILE_NAME: Final = "mpreg.toml"
PREFIX: Final = "MPREG_"
FILE_VARIABLE: Final = "MPREG_CONFIG"
# What Kubernetes, and Docker's links, tell every container about a service that is called `mpreg` or `mpreg-...`.
_SERVICE: Final = re.compile(r"MPREG_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_SERVICE_PORT: Final = re.compile(r"MPREG_([A-Z0-9_]+_)?PORT")
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """Where settings beyond the code are looked up; the test kit hands in an empty one."""

    environ: Mapping[str, str]
    directory: Path | None

    @classmethod
    def of_process(cls) -> Surroundings:
        """The process's environment and working directory, now."""
        try:
            return cls(os.environ, Path.cwd())
        except FileNotFoundError:  # the directory was removed below the process
            return cls(os.environ, None)

    @property
    def file(self) -> Path | None:
        """The file that a start reads: the one that `MPREG_CONFIG` names, else `mpreg.toml` of the working directory.

        Folders above are not searched: whoever may write there would say what this process connects to.
        """
        named = self.environ.get(FILE_VARIABLE)
        if named:
            return (self.directory or Path()) / path_of(named, FILE_VARIABLE)
        path = self.directory / FILE_NAME if self.directory else None
        # A link that leads nowhere is a mistake worth telling, not a missing file.
        return path if path and os.path.lexists(path) else None


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing wrong: `setting` and `where` as far as they are known, "MPREG_THREADS" or "/srv/mpreg.toml:3"."""

    message: str
    setting: str | None = None
    where: str | None = None


@dataclasses.dataclass(frozen=True)
class Resolved:
    """All settings of one start: those of the node or client itself by name, and the rest."""

    own: Mapping[str, Any]
    config: Config
    sources: Mapping[str, str]
    file: Path | None = None


@dataclasses.dataclass
class _Layer:
    """What one place says."""

    values: dict[str, tuple[Any, str]] = dataclasses.field(default_factory=dict[str, "tuple[Any, str]"])
    problems: list[Problem] = dataclasses.field(default_factory=list[Problem])


def resolve(
    own: Mapping[str, Any],
    config: Config | None,
    surroundings: Surroundings,
    *,
    role: Literal["node", "client"],
    defaults: Mapping[str, Any] | None = None,
) -> Resolved:
    """Unites code, environment, file and defaults. `own`: the constructor's arguments, None where the caller gave none."""
    found, problems = examine(own, config, surroundings, role=role, defaults=defaults)
    if found is None:
        more = f" ({len(problems) - 1} more: `mpreg config check`)" if problems[1:] else ""
        raise ConfigError(problems[0].message + more)
    return found


def examine(
    own: Mapping[str, Any],
    config: Config | None,
    surroundings: Surroundings,
    *,
    role: Literal["node", "client"],
    defaults: Mapping[str, Any] | None = None,
) -> tuple[Resolved | None, Sequence[Problem]]:
    """As `resolve`, but tells everything that is wrong; without a result exactly if something is."""
    known = {**settings(), **NODE_FIELDS}
    try:
        path = surroundings.file
    except ConfigError as error:
        return None, [Problem(str(error), where=FILE_VARIABLE)]
    # The environment first: whoever set a variable a minute ago looks for their own mistake.
    environment, file = _from_environment(surroundings.environ, known), _from_file(path, known)
    problems = [*environment.problems, *file.problems]
    if problems:
        return None, problems
    layers = {**file.values, **environment.values}
    code = {**(config.given() if config else {}), **{name: v for name, v in own.items() if v is not None}}
    values = {**(defaults or {}), **{name: value for name, (value, _) in layers.items()}, **code}
    sources = {**{name: source for name, (_, source) in layers.items()}, **dict.fromkeys(code, "code")}
    try:
        fields = NODE_FIELDS if role == "node" else CLIENT_FIELDS
        mine = {name: field.convert(values.get(name, field.default), name) for name, field in fields.items()}
        rest = made(
            {name: value for name, value in values.items() if name in settings()},
            {name: source for name, source in sources.items() if name in settings()},
        )
        check_relations(rest)
    except ConfigError as error:
        return None, [Problem(str(error))]
    return Resolved(mine, rest, sources, path), []


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
    values = {name: getattr(config, name) for name in settings() if name not in python_only}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def _from_environment(environ: Mapping[str, str], known: Mapping[str, Field]) -> _Layer:
    names = {PREFIX + name.upper(): name for name in known}
    layer = _Layer()
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE or _tells_of_a_service(variable, text):
            continue
        name = names.get(variable)
        try:
            if name is None:
                _refuse_unknown(variable, "the environment", [*names, FILE_VARIABLE])
            else:
                _refuse_insecure(name, f"the environment ({variable})")
                # An empty variable is the shell's way to say "not set".
                if text:
                    layer.values[name] = (known[name].parse(text, variable), f"environment {variable}")
        except ConfigError as error:
            layer.problems.append(Problem(str(error), name, variable))
    return layer


def _tells_of_a_service(variable: str, text: str) -> bool:
    if _SERVICE.fullmatch(variable):
        return True
    # `MPREG_PORT=7000` is somebody's mistake.
    return _SERVICE_PORT.fullmatch(variable) is not None and _SERVICE_ADDRESS.match(text) is not None


def _from_file(path: Path | None, known: Mapping[str, Field]) -> _Layer:
    layer = _Layer()
    if path is None:
        return layer
    try:
        text, table = read_table(path)
    except ConfigError as error:
        layer.problems.append(Problem(str(error), where=str(path)))
        return layer
    for name, given in table.items():
        line = line_of(name, text)
        where = f"{path}:{line}" if line else str(path)
        try:
            if name not in known:
                _refuse_heading(name, given, where)
                _refuse_unknown(name, where, known)
            _refuse_insecure(name, where)
            value = known[name].convert(given, f"{name} in {where}")
            # A path in a file is meant from where the file is, whatever directory the process was started in.
            layer.values[name] = (path.parent / value if isinstance(value, Path) else value, f"file {where}")
        except ConfigError as error:
            layer.problems.append(Problem(str(error), name if name in known else None, where))
    return layer


def _refuse_heading(name: str, given: Any, where: str) -> None:
    if isinstance(given, dict):
        raise ConfigError(f"[{name}] in {where} is no heading of {FILE_NAME}: settings stand in it without one")


def _refuse_unknown(given: str, where: str, known: Iterable[str]) -> NoReturn:
    names = [name for name in known if name.removeprefix(PREFIX).lower() != "insecure"]
    if given.removeprefix(PREFIX).lower() in ADDRESS_WORDS:
        near = f" (did you mean {next(name for name in names if name.lower().endswith('listen'))}?)"
    else:
        near = hint(given, names)
    raise ConfigError(f"{given} in {where} is not a setting of mpreg{near}")


def _refuse_insecure(name: str, where: str) -> None:
    if name == "insecure":
        raise ConfigError(
            f"insecure may only be written in code or on the command line, mpreg.Config(insecure=True) or --insecure, "
            f"not in {where}"
        )
