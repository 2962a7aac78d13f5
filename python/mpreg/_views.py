"""What one sees of a mesh: plain frozen records, made from the dicts that nodes answer with.

A newer node may answer with more fields than are known here; they are left out, so old programs keep working.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class _View:
    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From what a node answered."""
        values = {field.name: row[field.name] for field in dataclasses.fields(cls) if field.name in row}
        return cls(**{name: cls._converted(name, value) for name, value in values.items()})

    @classmethod
    def _converted(cls, name: str, value: Any) -> Any:
        return frozenset(value) if name == "resources" else value

    def as_dict(self) -> dict[str, Any]:
        """Plain values only, for JSON: sets sorted."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FunctionEntry(_View):
    """One function on one node."""

    name: str
    """What it is called by."""
    id: str
    """What it is across renames; its name unless it was given one."""
    version: str
    """Three numbers, "1.2.0", with a pre-release behind them if it is one."""
    node: str
    """Who offers it: `cluster/name/instance`."""
    cluster: str
    """Its node's."""
    resources: frozenset[str]
    """The function's and its node's."""
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Free annotations."""
    scope: Literal["local", "cluster", "global"] = "global"
    """Who may see and call it."""
    signature: str = ""
    """As callers see it, "(sku: str, *, qty: int = 1) -> float"; a `Context` is left out."""
    doc: str = ""
    """Its docstring."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FunctionDescription(_View):
    """A function with all who offer it; signature and doc are those of its highest version."""

    name: str
    """What it is called by."""
    id: str
    """What it is across renames."""
    signature: str
    """As callers see it."""
    doc: str
    """Its docstring."""
    versions: tuple[str, ...]
    """Highest first."""
    resources: frozenset[str]
    """All that some node offers it with."""
    entries: tuple[FunctionEntry, ...]
    """It on each node that offers it, in each of its versions."""

    @classmethod
    def _converted(cls, name: str, value: Any) -> Any:
        if name == "entries":
            return tuple(FunctionEntry.of(row) for row in value)
        return tuple(value) if name == "versions" else super()._converted(name, value)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Who offers it, sorted: `cluster/name/instance`."""
        return tuple(sorted({entry.node for entry in self.entries}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member(_View):
    """A node of the own cluster, as the answering node sees it."""

    id: str
    """`name/instance`."""
    name: str
    """What it is; replicas share it."""
    cluster: str
    """Its cluster, the same for all."""
    state: Literal["alive", "busy", "suspect", "down", "left"]
    """"busy": alive, but its event loop has not come for its work for a second."""
    stack: str | None = None
    """Of a busy one: what keeps its loop, as a Python stack; or why that cannot be seen."""
    reason: str | None = None
    """Why it left."""
    address: str = ""
    """Where it listens; empty if that is not known here."""
    declared: bool = False
    """True: its identity is its own word (no certificate)."""

    @classmethod
    def _converted(cls, name: str, value: Any) -> Any:
        return (value or "") if name == "address" else super()._converted(name, value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate(_View):
    """One possible callee, and why it was chosen or not."""

    node: str
    """`cluster/name/instance`."""
    cluster: str
    """Its node's."""
    version: str
    """The version that it offers."""
    score: float | None
    """Calls under way at its node, as far as that is known; smaller is better. None if it was ruled out before scoring."""
    reason: str
    """Why not it ("lower version", "lacks a resource", "draining", "as good as the chosen one"), or "chosen"."""
    chosen: bool = False
    """True for one of them at most."""
    route: tuple[str, ...] = ()
    """The nodes on the way to it, both ends included; empty if there is none."""

    @classmethod
    def _converted(cls, name: str, value: Any) -> Any:
        return tuple(value) if name == "route" else super()._converted(name, value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explanation(_View):
    """How a call would be placed now."""

    chosen: str | None
    """Where the call would go: `cluster/name/instance`. None: nowhere, and `candidates` say why."""
    candidates: tuple[Candidate, ...]
    """Best first, those ruled out last."""

    @classmethod
    def _converted(cls, name: str, value: Any) -> Any:
        return tuple(Candidate.of(row) for row in value) if name == "candidates" else super()._converted(name, value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change(_View):
    """Something that happened in the catalog."""

    what: Literal["added", "changed", "removed", "conflict"]
    """"conflict": two owners differ in what they call by one name and version."""
    entry: FunctionEntry
    """The function as it is now; of a removed one, as it was."""

    @classmethod
    def _converted(cls, name: str, value: Any) -> Any:
        if name == "entry" and not isinstance(value, FunctionEntry):
            return FunctionEntry.of(value)
        return value


@dataclasses.dataclass(frozen=True, kw_only=True)
class FunctionStats(_View):
    """What became of the calls of one function on one node, counted since it was offered."""

    name: str
    """Of the function."""
    version: str
    """Which of its versions."""
    in_flight: int = 0
    """Running now."""
    calls: int = 0
    """That have ended."""
    errors: int = 0
    """Of those, the ones that gave no value: raised, refused, cancelled, lost."""
    seconds: float = 0.0
    """Of all answered calls together, each from its arrival at the node to its answer."""
    times: tuple[tuple[float, int], ...] = ()
    """How many calls took how long: (less than so many seconds, calls), ascending; each bound a quarter above the last."""

    def quantile(self, part: float) -> float | None:
        """Seconds within which that part of the calls was answered, like 0.99, a quarter too many at most; None without calls."""
        wanted = part * sum(count for _, count in self.times)
        for bound, count in self.times:
            wanted -= count
            if wanted <= 0:
                return bound
        return None

    def since(self, earlier: FunctionStats | None) -> FunctionStats:
        """What was added since an earlier reading; everything if the node was started again meanwhile."""
        if earlier is None or earlier.calls > self.calls:
            return self
        before = dict(earlier.times)
        added = ((bound, count - before.get(bound, 0)) for bound, count in self.times)
        return dataclasses.replace(
            self,
            calls=self.calls - earlier.calls,
            errors=self.errors - earlier.errors,
            seconds=self.seconds - earlier.seconds,
            times=tuple((bound, count) for bound, count in added if count > 0),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConnectionStats(_View):
    """A connection to another member."""

    node: str
    """Who is at the other end: `cluster/name/instance`."""
    round_trip: float | None = None
    """In seconds, smoothed; None: not measured yet."""
    in_flight: int = 0
    """Calls sent there and not answered yet."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeStats(_View):
    """What a node has done since its start, and whom it is connected to."""

    node: str
    """`cluster/name/instance`."""
    error: str | None = None
    """Why it did not answer; then nothing else is known."""
    at: float = 0.0
    """When it answered, in seconds of a clock of its own: what lies between two readings."""
    in_flight: int = 0
    """Calls running."""
    queued: int = 0
    """Calls waiting for a slot, a candidate or credit."""
    refused: int = 0
    """Calls answered with an error before their function began."""
    clients: int = 0
    """Connected clients."""
    workers: int = 0
    """Worker processes."""
    functions: tuple[FunctionStats, ...] = ()
    """Those that were called, by name and version."""
    connections: tuple[ConnectionStats, ...] = ()
    """To other members."""


def _plain(value: Any) -> Any:
    if isinstance(value, _View):
        return value.as_dict()
    if isinstance(value, frozenset):
        return sorted(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value
