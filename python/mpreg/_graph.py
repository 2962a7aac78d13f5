"""Runs of call graphs: what `run(...)` was asked for, what it gives, and the report of who did what.

The steps themselves (`Step`) and everything that happens with them are Rust's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from mpreg._errors import ConfigError
from mpreg._fields import TIMEOUT_MAX, seconds
from mpreg._native import native

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mpreg._mpreg import Step

_T = TypeVar("_T")

Finish: TypeAlias = "Callable[[list[Any], Mapping[str, Any] | None], Any]"
"""Makes of the wanted values and the report what the caller gets."""

_HOW: Final = "{0}(step), {0}(a, b) or {0}([a, b, ...]) with steps made by client.step(...) or remote(...).step(...)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepReport:
    """One step of a run."""

    name: str
    """The function as the caller named it."""
    node: str
    """Who ran it: `cluster/name/instance`."""
    cluster: str
    """That node's."""
    started: float
    """Seconds from the start of the run to when the step was sent."""
    seconds: float
    """From then until its result was known."""
    bytes: int
    """Length of its encoded result."""
    after: tuple[int, ...] = ()
    """The steps whose results it waited for, as indices into `RunReport.steps`."""
    critical: bool = False
    """True: it lies on the critical path."""


class RunReport:
    """Who did what in a run of a call graph, and the values asked for.

    `steps`: each step in the order in which they were made. `critical_path`: names of the steps that the whole waited
    for, in order. `hops`: cluster borders crossed. `seconds`: of the whole run, at its coordinator.
    """

    def __init__(self, values: Mapping[Step[Any], Any], facts: Mapping[str, Any]) -> None:
        self._values = values
        self._critical: tuple[int, ...] = tuple(facts["critical_path"])
        self.steps: tuple[StepReport, ...] = tuple(
            _step(row, critical=index in self._critical) for index, row in enumerate(facts["steps"])
        )
        self.critical_path: tuple[str, ...] = tuple(self.steps[index].name for index in self._critical)
        self.hops: int = facts["hops"]
        self.seconds: float = facts["total_us"] / 1e6

    def __repr__(self) -> str:
        nodes = len({step.node for step in self.steps})
        return f"<RunReport: {len(self.steps)} steps on {nodes} nodes in {self.seconds:.3f} s>"

    def value(self, step: Step[_T], /) -> _T:
        """The value of a step that `run` was asked for."""
        try:
            return cast("_T", self._values[step])
        except (KeyError, TypeError):
            raise ConfigError(f"{step!r} was not asked for in this run: name it in run(...), too") from None

    def svg(self) -> str:
        """A drawing to show in a browser or notebook: a lane for each node, a bar for each step, arrows for its inputs.

        The critical path is highlighted. The text stands alone: it needs no font, script or other file.
        """
        from mpreg._timeline import drawing

        return drawing(self.steps, self._critical, self.seconds)

    def _repr_svg_(self) -> str:
        """For notebooks."""
        return self.svg()


def asked(steps: tuple[object, ...], *, report: bool, verb: str = "run") -> tuple[list[Step[Any]], Finish]:
    """The steps that `run(*steps)` wants, and what becomes of their values; `ConfigError` for anything else."""
    if not steps:
        raise ConfigError(f"{verb}() needs the steps whose values are wanted: {_HOW.format(verb)}")
    first = steps[0]
    shape: Finish
    if len(steps) == 1 and isinstance(first, Sequence) and not isinstance(first, str | bytes):
        wanted, shape = _checked(cast("Sequence[object]", first), verb), _as_list
    else:
        wanted, shape = _checked(steps, verb), (_as_one if len(steps) == 1 else _as_tuple)
    return wanted, (_reporting(wanted) if report else shape)


def timeout_of(timeout: object) -> float | None:
    """`timeout=` of a run in seconds; None: what the caller was opened with."""
    return None if timeout is None else seconds(timeout, "timeout", least=0.001, most=TIMEOUT_MAX)


def _checked(steps: Sequence[object], verb: str) -> list[Step[Any]]:
    for step in steps:
        if not isinstance(step, native.Step):
            raise ConfigError(f"{verb}() cannot run {_described(step)}: write {_HOW.format(verb)}")
    return cast("list[Step[Any]]", list(steps))


def _described(value: object) -> str:
    if isinstance(value, native.Call):
        return "a Call, which is under way already"
    if isinstance(value, native.RemoteCore) or callable(value):
        return f"{value!r}, which is not a step yet"
    return repr(value)


def _as_one(values: list[Any], _: object) -> Any:
    return values[0]


def _as_tuple(values: list[Any], _: object) -> Any:
    return tuple(values)


def _as_list(values: list[Any], _: object) -> Any:
    return values


def _reporting(wanted: list[Step[Any]]) -> Finish:
    return lambda values, facts: RunReport(dict(zip(wanted, values, strict=True)), facts or {})


def _step(row: Mapping[str, Any], *, critical: bool) -> StepReport:
    return StepReport(
        name=row["name"],
        node=row["node"],
        cluster=row["cluster"],
        started=row["began_us"] / 1e6,
        seconds=(row["ended_us"] - row["began_us"]) / 1e6,
        bytes=row["bytes"],
        after=tuple(row["after"]),
        critical=critical,
    )
