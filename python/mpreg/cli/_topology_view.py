"""What `mpreg topology` shows, put together from what the nodes say; pure, and the same for terminal, picture and JSON."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import mpreg

_LIVING = frozenset({"alive", "busy", "suspect"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """A node."""

    id: str
    """`name/instance`."""
    state: str
    address: str
    is_entry: bool
    error: str | None
    """Why it did not answer."""
    clients: int
    workers: int
    in_flight: int
    queued: int
    functions: tuple[str, ...]
    resources: tuple[str, ...]
    """Of the functions it offers."""

    @property
    def is_living(self) -> bool:
        """It may be connected."""
        return self.state in _LIVING

    @property
    def shown_state(self) -> str:
        """With a word for one that membership holds for alive, and that does not answer."""
        return f"{self.state}, no answer" if self.error is not None and self.is_living else self.state


@dataclasses.dataclass(frozen=True)
class Topology:
    """A cluster. Places are counted from 1, in the order of their ids, those that are gone last."""

    cluster: str
    places: tuple[Place, ...]
    links: Mapping[tuple[int, int], float | None]
    """Connections: the smaller number first, with the round trip in seconds if some end knows it."""

    @classmethod
    def of(
        cls,
        entry: str | None,
        members: Sequence[mpreg.Member],
        entries: Iterable[mpreg.FunctionEntry],
        stats: Iterable[mpreg.NodeStats],
    ) -> Topology:
        """From the answers of the entry node and of all others."""
        functions, resources = collections.defaultdict[str, set[str]](set), collections.defaultdict[str, set[str]](set)
        for offered in entries:
            functions[offered.node].add(offered.name)
            resources[offered.node] |= offered.resources
        told = {each.node: each for each in stats}
        ordered = sorted(members, key=lambda member: (member.state not in _LIVING, member.id))
        places: list[Place] = []
        for member in ordered:
            label = f"{member.cluster}/{member.id}"
            of_node = told.get(label)
            places.append(
                Place(
                    id=member.id,
                    state=member.state,
                    address=member.address,
                    is_entry=label == entry,
                    error=of_node.error if of_node else "it is not asked any more",
                    clients=of_node.clients if of_node else 0,
                    workers=of_node.workers if of_node else 0,
                    in_flight=of_node.in_flight if of_node else 0,
                    queued=of_node.queued if of_node else 0,
                    functions=tuple(sorted(functions[label])),
                    resources=tuple(sorted(resources[label])),
                )
            )
        numbers = {f"{member.cluster}/{member.id}": number for number, member in enumerate(ordered, 1)}
        return cls(next((member.cluster for member in members), ""), tuple(places), _links(numbers, told.values()))

    @property
    def living(self) -> int:
        """How many may be connected; they come first."""
        return sum(place.is_living for place in self.places)

    @property
    def is_full(self) -> bool:
        """Every pair is connected."""
        return len(self.links) == self.living * (self.living - 1) // 2

    def neighbours(self, number: int) -> set[int]:
        """Who it is connected to."""
        return {a + b - number for a, b in self.links if number in {a, b}}

    def meets_all(self, number: int) -> bool:
        """It is connected to every other living one."""
        return 1 < self.living == len(self.neighbours(number)) + 1

    def round_trip(self, one: int, other: int) -> float | None:
        """Between the two, if it is known."""
        return self.links.get((min(one, other), max(one, other)))

    def summary(self) -> str:
        """One line."""
        states = collections.Counter(place.shown_state for place in self.places)
        pairs = self.living * (self.living - 1) // 2
        connected = "every pair is connected" if self.is_full else f"{len(self.links)} of {pairs} pairs are connected"
        told = ", ".join(f"{count} {state}" for state, count in states.most_common())
        nodes = "1 node" if len(self.places) == 1 else f"{len(self.places)} nodes"
        return f"Cluster {self.cluster}: {nodes} ({told}); {connected}. * = entry node"

    def matrix(self) -> list[str]:
        """Rows and columns are the living nodes by number; a dot where two are connected."""
        count = self.living
        width = len(str(count))
        rows = [
            f"{row:>{width}} " + "".join(self._cell(row, column) for column in range(1, count + 1))
            for row in range(1, count + 1)
        ]
        heads = [f"{number:>{width}}" for number in range(1, count + 1)]
        return [" " * (width + 1) + "".join(head[line] for head in heads) for line in range(width)] + rows

    def _cell(self, row: int, column: int) -> str:
        if row == column:
            return "\\"
        return "●" if (min(row, column), max(row, column)) in self.links else "·"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: connections by id."""
        return {
            "cluster": self.cluster,
            "nodes": [dataclasses.asdict(place) for place in self.places],
            "connections": [
                {"between": [self.places[a - 1].id, self.places[b - 1].id], "round_trip": trip}
                for (a, b), trip in sorted(self.links.items())
            ],
        }


def _links(numbers: Mapping[str, int], told: Iterable[mpreg.NodeStats]) -> dict[tuple[int, int], float | None]:
    links: dict[tuple[int, int], float | None] = {}
    for stats in told:
        for each in stats.connections:
            if stats.node not in numbers or each.node not in numbers:
                continue  # it came or went between two questions
            a, b = sorted((numbers[stats.node], numbers[each.node]))
            trips = [trip for trip in (links.get((a, b)), each.round_trip) if trip is not None]
            links[a, b] = min(trips, default=None)
    return links


def ranges(numbers: Sequence[int]) -> str:
    """1, 2, 3 and 7 as `1-3 7`."""
    groups = itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in group] for _, group in groups]
    return " ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "-"
