"""From two readings of `stats()` to what happened between them, per function and per node.

Each node's rates are by its own clock, so that clocks need not agree; a node that was started again begins at nothing.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Any

import mpreg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class FunctionRate:
    """One function over all nodes. Times are seconds at the node, waiting for its turn included."""

    name: str
    version: str
    nodes: int
    calls_per_second: float | None
    errors_per_second: float | None
    in_flight: int
    p50: float | None
    p99: float | None
    calls: int
    errors: int


@dataclasses.dataclass(frozen=True)
class NodeRate:
    """One node over all functions."""

    node: str
    error: str | None
    calls_per_second: float | None
    errors_per_second: float | None
    refused_per_second: float | None
    in_flight: int
    queued: int
    clients: int
    workers: int


@dataclasses.dataclass(frozen=True)
class Rates:
    """The busiest functions first, nodes by name."""

    functions: tuple[FunctionRate, ...]
    nodes: tuple[NodeRate, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class _Added:
    """What one node's function did since the former reading; no `seconds`: there is none to compare with."""

    now: mpreg.FunctionStats
    added: mpreg.FunctionStats
    seconds: float | None

    def rate(self, count: int) -> float | None:
        return count / self.seconds if self.seconds else None


def rates(before: Sequence[mpreg.NodeStats], now: Sequence[mpreg.NodeStats]) -> Rates:
    """Without a former reading of a node its rates are None, and times are those of all calls so far."""
    former = {stats.node: stats for stats in before if stats.error is None}
    by_function: dict[tuple[str, str], list[_Added]] = collections.defaultdict(list)
    nodes: list[NodeRate] = []
    for stats in now:
        earlier = former.get(stats.node)
        again = earlier is not None and earlier.at > stats.at
        seconds = stats.at - earlier.at if earlier and not again else None
        parts = _added(earlier if not again else None, stats, seconds)
        for part in parts:
            by_function[part.now.name, part.now.version].append(part)
        refused = stats.refused - earlier.refused if earlier and not again else 0
        nodes.append(
            NodeRate(
                stats.node,
                stats.error,
                _sum((part.rate(part.added.calls) for part in parts), default=None if seconds is None else 0.0),
                _sum((part.rate(part.added.errors) for part in parts), default=None if seconds is None else 0.0),
                refused / seconds if seconds else None,
                stats.in_flight,
                stats.queued,
                stats.clients,
                stats.workers,
            )
        )
    functions = [_function(name, version, parts) for (name, version), parts in by_function.items()]
    functions.sort(key=lambda f: (-(f.calls_per_second or 0.0), -f.in_flight, -f.calls, f.name, f.version))
    return Rates(tuple(functions), tuple(sorted(nodes, key=lambda node: node.node)))


def _added(earlier: mpreg.NodeStats | None, now: mpreg.NodeStats, seconds: float | None) -> list[_Added]:
    former: Mapping[tuple[str, str], mpreg.FunctionStats] = (
        {(each.name, each.version): each for each in earlier.functions} if earlier else {}
    )
    return [_Added(each, each.since(former.get((each.name, each.version))), seconds) for each in now.functions]


def _function(name: str, version: str, parts: Sequence[_Added]) -> FunctionRate:
    counts: collections.Counter[float] = collections.Counter()
    for part in parts:
        counts.update(dict(part.added.times))
    all_times = mpreg.FunctionStats(name=name, version=version, times=tuple(sorted(counts.items())))
    return FunctionRate(
        name,
        version,
        len(parts),
        _sum(part.rate(part.added.calls) for part in parts),
        _sum(part.rate(part.added.errors) for part in parts),
        sum(part.now.in_flight for part in parts),
        all_times.quantile(0.5),
        all_times.quantile(0.99),
        sum(part.now.calls for part in parts),
        sum(part.now.errors for part in parts),
    )


def _sum(rates: Iterable[float | None], *, default: float | None = None) -> float | None:
    """Of those that are known."""
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else default
