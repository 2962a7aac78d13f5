"""Looking at the mesh: what each verb asks, and how its answer becomes records. Shared by both calling surfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mpreg import _mpreg
from mpreg._fields import TIMEOUT_MAX, integer, resource_names, seconds
from mpreg._native import native
from mpreg._remote import name_of, selection
from mpreg._views import (
    ConnectionStats,
    Explanation,
    FunctionDescription,
    FunctionEntry,
    FunctionStats,
    Member,
    NodeStats,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mpreg._mpreg import BlockingCore, CallerCore, RemoteCore
    from mpreg._outcome import Outcome

_NODES_MAX: Final = 10_000


def catalog_question(function: str | None, resources: Iterable[str], cluster: str | None) -> dict[str, Any]:
    """`function` is a glob: `*` = any characters, dots included."""
    question: dict[str, Any] = {"kind": "function"}
    if function is not None:
        question["function"] = function
    if wanted := resource_names(resources):
        question["resources"] = list(wanted)
    if cluster is not None:
        question["cluster"] = _mpreg.check_name("cluster", cluster)
    return question


def catalog_answer(rows: Iterable[Mapping[str, Any]]) -> list[FunctionEntry]:
    """Sorted by name, version and node."""
    return sorted(map(FunctionEntry.of, rows), key=lambda entry: (entry.name, entry.version, entry.cluster, entry.node))


def describe_question(target: Any) -> dict[str, Any]:
    """For a name or function object."""
    return {"name": name_of(target)}


describe_answer: Final = FunctionDescription.of
explain_answer: Final = Explanation.of


def explain_question(target: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """With the options of `remote` that take part in the choice."""
    return selection(target, options)


def members_answer(rows: Iterable[Mapping[str, Any]]) -> list[Member]:
    """Sorted by id."""
    return sorted(map(Member.of, rows), key=lambda member: member.id)


def stats_handle(caller: CallerCore | BlockingCore, timeout: float) -> RemoteCore:
    """Its candidates are all members that may answer, each to be called by itself."""
    limit = seconds(timeout, "timeout", least=0.001, most=TIMEOUT_MAX)
    return native.RemoteCore(caller, name="mpreg.stats", timeout=limit)


def stats_answer(outcomes: Iterable[Outcome[Mapping[str, Any]]]) -> list[NodeStats]:
    """Sorted by node."""
    return sorted(map(_stats_of, outcomes), key=lambda stats: stats.node)


def _stats_of(outcome: Outcome[Mapping[str, Any]]) -> NodeStats:
    if outcome.error is not None:
        return NodeStats(node=outcome.node or "", error=str(outcome.error))
    row = outcome.value
    functions = (
        FunctionStats.of({
            **each,
            "seconds": each["total_us"] / 1e6,
            "times": tuple((bound / 1e6, count) for bound, count in each["times"]),
        })
        for each in row["functions"]
    )  # fmt: skip
    connections = (
        ConnectionStats.of({**each, "round_trip": each["rtt_us"] and each["rtt_us"] / 1e6})
        for each in row["connections"]
    )
    return NodeStats.of({
        **row,
        "at": row["at_us"] / 1e6,
        "functions": tuple(sorted(functions, key=lambda each: (each.name, each.version))),
        "connections": tuple(sorted(connections, key=lambda each: each.node)),
    })  # fmt: skip


def wait_question(target: Any, nodes: int, timeout: float, options: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """The question and how long the answer may take."""
    limit = seconds(timeout, "timeout", least=0.001, most=TIMEOUT_MAX)
    wanted = integer(nodes, "nodes", least=1, most=_NODES_MAX)
    return {**selection(target, options), "nodes": wanted}, limit
