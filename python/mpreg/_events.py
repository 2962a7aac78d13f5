"""What happens in a run of a call graph, as `run_events(...)` tells it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpreg._graph import RunReport


@dataclasses.dataclass(frozen=True)
class RunEvent:
    """Something that happened in a run: `StepStarted`, `StepFinished`, `StepFailed` or `RunFinished`."""


@dataclasses.dataclass(frozen=True)
class StepStarted(RunEvent):
    """A step was sent to the node that runs it; again, if that one did not run it, or its result was lost."""

    name: str
    """The function as the caller named it."""
    node: str
    """Who runs it: `cluster/name/instance`."""


@dataclasses.dataclass(frozen=True)
class StepFinished(RunEvent):
    """A step has returned."""

    name: str
    """The function as the caller named it."""
    node: str
    """Who ran it: `cluster/name/instance`."""
    seconds: float
    """From when it was sent until its result was known."""
    value: Any = None
    """Its result, if the run was asked for it as a whole, and it has no more than 64 KiB; else None."""


@dataclasses.dataclass(frozen=True)
class StepFailed(RunEvent):
    """A step made the run fail; the `GraphError` of the run comes next, and `error` is its cause."""

    name: str
    """The function as the caller named it."""
    error: BaseException
    """What went wrong, with its own class."""


@dataclasses.dataclass(frozen=True)
class RunFinished(RunEvent):
    """The run is over: the last event."""

    report: RunReport
    """The values asked for, and who did what."""


AnyEvent: TypeAlias = "StepStarted | StepFinished | StepFailed | RunFinished"
"""For type checkers, which then know that a `match` over these leaves nothing out."""

CLASSES: Final[Mapping[str, type[Any]]] = {
    "started": StepStarted,
    "finished": StepFinished,
    "failed": StepFailed,
    "ended": RunFinished,
}
"""As the extension asks for them."""
