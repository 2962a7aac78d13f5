"""Several nodes in this process, on the in-memory transport or TCP: the code path of processes, with faults at hand.

Invariant: what the mesh changes on nodes (addresses, seeds) holds for its time only; nodes handed in leave as they came.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from mpreg._client import Connecting
from mpreg._config import Config
from mpreg._errors import ConfigError, MpregError
from mpreg._fields import integer
from mpreg._node import Node, abandon, core_of, start_in
from mpreg.testing._conditions import wait_for
from mpreg.testing._surroundings import secret_file, surroundings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

Shape = Literal["star", "ring", "chain", "full"]
Transport = Literal["memory", "tcp"]
Nodes: TypeAlias = "Node | int | Iterable[Node | int]"
"""One or several nodes, by object or place."""

_SHAPES: Final = ("star", "ring", "chain", "full")
_TRANSPORTS: Final = ("memory", "tcp")
_NODES_MAX: Final = 1_000
_CLUSTERS_MAX: Final = 16
_SLOWEST: Final = 60_000.0
_DEPLOYED: Final = ("advertise", "secret_file", "tls_ca", "tls_cert", "tls_key")
"""What the config of one's own node may say for where it is deployed, and means nothing in memory."""
_numbers: Final = itertools.count()


class LocalMesh:
    """`async with LocalMesh(nodes=5, shape="ring") as mesh:` starts the nodes and stops them at the end.

    - `nodes`: how many, or your own nodes; whatever their `listen`, `seeds`, `links` and `trust` say, they run here,
      in memory also whatever certificates, secret and `advertise` their config names.
    - `clusters`: over how many clusters the nodes are spread in turn; `shape`: who is whose seed.
    - `seed`: makes names of instances the same each time; `transport`: "memory", or "tcp" on loopback, port 0.
    - `config`: of the nodes that the mesh makes.
    """

    def __init__(
        self,
        nodes: int | Sequence[Node] = 3,
        *,
        clusters: int = 1,
        shape: Shape = "star",
        seed: int = 0,
        transport: Transport = "memory",
        config: Config | None = None,
    ) -> None:
        if shape not in _SHAPES or transport not in _TRANSPORTS:
            raise ConfigError(f"shape takes one of {', '.join(_SHAPES)}; transport one of {', '.join(_TRANSPORTS)}")
        integer(clusters, "clusters", least=1, most=_CLUSTERS_MAX)
        self._shape, self._transport, self.seed = shape, transport, seed
        chance = random.Random(seed)  # noqa: S311 - the same names each time are the point
        self._makes = isinstance(nodes, int)
        if isinstance(nodes, int):
            integer(nodes, "nodes", least=1, most=_NODES_MAX)
            if clusters > nodes:
                raise ConfigError(f"{clusters} clusters need as many nodes, not {nodes}")
            self.nodes = [
                Node(
                    f"node-{number}",
                    instance=f"{chance.randrange(1 << 24):06x}",
                    cluster="default" if clusters == 1 else f"cluster-{number % clusters}",
                    config=config,
                )
                for number in range(nodes)
            ]
        else:
            self.nodes = _checked(nodes)
            if clusters != 1 or config is not None:
                raise ConfigError("your own nodes say their cluster and config themselves: Node(cluster=, config=)")
        """All nodes, in the order they were started."""
        self._mesh = f"{os.getpid()}-{next(_numbers)}"
        self._running: list[Node] = []
        self._blocked: set[frozenset[int]] = set()
        self._slowed: set[tuple[int, int]] = set()
        self._paused: set[int] = set()

    def __repr__(self) -> str:
        return f"<LocalMesh of {len(self._running)} nodes, {self._shape}, {self._transport}, seed {self.seed}>"

    @property
    def config(self) -> Config:
        """For clients of one's own: `mpreg.SyncClient(mesh.nodes[0].address, config=mesh.config)`."""
        return Config(secret_file=secret_file())

    def connect(self, *to: Node | int) -> Connecting:
        """A client of these nodes (of the first by default): `async with mesh.connect() as client:`."""
        nodes = [self._live(each) for each in to or (0,)]
        return Connecting(tuple(node.address for node in nodes), None, None, surroundings())

    async def __aenter__(self) -> Self:
        try:
            if self._shape == "star":
                hubs = [self.nodes.index(hub) for hub in _first_of_each(self.nodes)]
                for number in hubs:
                    await self._start(number)
                async with asyncio.TaskGroup() as group:
                    for number in set(range(len(self.nodes))).difference(hubs):
                        group.create_task(self._start(number))
            else:
                for number in range(len(self.nodes)):
                    await self._start(number)
        except BaseExceptionGroup as errors:
            await self._stop()
            # One node's reason says more than a group of the same.
            raise errors.exceptions[0] from None
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    if not TYPE_CHECKING:
        # A type checker finds it; others are told what to write.

        def __enter__(self) -> None:
            raise TypeError(
                "LocalMesh needs `async with`; a test without a loop: fixture mpreg_environ, node.running()"
            )

        def __exit__(self, *_: object) -> None: ...

    async def start(self, node: Node | int) -> None:
        """Starts one of its nodes again after `kill` or `node.stop()`."""
        await self._start(self.nodes.index(self._node(node)))

    async def add(self, node: Node) -> Node:
        """Starts one more node, joined to the first one of its cluster that runs."""
        self.nodes.append(node)
        await self._start(len(self.nodes) - 1)
        return node

    def partition(self, a: Nodes, b: Nodes) -> None:
        """Cuts every node of `a` from every node of `b`, silently and both ways, until `heal()`."""
        for one, other in self._pairs(a, b):
            core_of(one).block(core_of(other), True)  # noqa: FBT003 - a positional parameter of the extension
            self._blocked.add(frozenset((id(one), id(other))))

    def slow(self, a: Nodes, b: Nodes, ms: float) -> None:
        """Adds `ms` milliseconds (0 to 60,000) to each way between `a` and `b`, until `heal()`."""
        if not 0 <= ms <= _SLOWEST:
            raise ConfigError(f"ms takes 0 to {_SLOWEST:g} milliseconds, not {ms!r}")
        for one, other in self._pairs(a, b):
            core_of(one).slow(core_of(other), ms / 1000)
            core_of(other).slow(core_of(one), ms / 1000)
            self._slowed.add((id(one), id(other)))

    def heal(self) -> None:
        """Ends every partition and slowness."""
        for one, other in itertools.combinations(self._running, 2):
            if frozenset((id(one), id(other))) in self._blocked:
                core_of(one).block(core_of(other), False)  # noqa: FBT003 - as above
            if not self._slowed.isdisjoint({(id(one), id(other)), (id(other), id(one))}):
                core_of(one).slow(core_of(other), 0.0)
                core_of(other).slow(core_of(one), 0.0)
        self._blocked.clear()
        self._slowed.clear()

    async def kill(self, node: Node | int) -> None:
        """Ends a node as `kill -9` would: its connections break, nobody is told."""
        gone = self._live(node)
        self._running.remove(gone)
        await abandon(gone)

    def pause(self, node: Node | int) -> None:
        """Stops a node as SIGSTOP would, until `resume`."""
        paused = self._live(node)
        core_of(paused).pause(True)  # noqa: FBT003 - as above
        self._paused.add(id(paused))

    def resume(self, node: Node | int) -> None:
        """Lets a paused node go on."""
        paused = self._live(node)
        core_of(paused).pause(False)  # noqa: FBT003 - as above
        self._paused.discard(id(paused))

    async def converged(self, *, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - told in the error
        """Returns when all nodes that can reach each other see the same members and the same catalog.

        `AssertionError` that says who sees what, after `timeout` seconds.
        """
        doubts: list[str] = []
        if not any(node.is_started for node in self._running):
            raise ConfigError("no node of this mesh runs: write `async with LocalMesh(...) as mesh:`")

        async def agreed() -> bool:
            doubts[:] = [doubt for group in self._groups() if (doubt := await _disagreement(group))]
            return not doubts

        try:
            await wait_for(agreed, timeout=timeout)
        except AssertionError:
            raise AssertionError(f"{self!r} did not converge within {timeout:g} s: {'; '.join(doubts)}") from None

    def _groups(self) -> list[list[Node]]:
        """Nodes of one cluster that no partition separates."""
        left = [node for node in self._running if node.is_started and id(node) not in self._paused]
        groups: list[list[Node]] = []
        while left:
            group = [left.pop(0)]
            for member in group:
                near = [n for n in left if n.cluster == member.cluster and not self._is_cut(member, n)]
                group.extend(near)
                left = [n for n in left if n not in near]
            groups.append(group)
        return groups

    def _is_cut(self, one: Node, other: Node) -> bool:
        return frozenset((id(one), id(other))) in self._blocked

    def _pairs(self, a: Any, b: Any) -> list[tuple[Node, Node]]:
        ones, others = self._several(a), self._several(b)
        return [(one, other) for one in ones for other in others if one is not other]

    def _several(self, which: Any) -> list[Node]:
        if isinstance(which, Node | int):
            return [self._live(which)]
        return [self._live(each) for each in which]

    def _node(self, which: Node | int) -> Node:
        if isinstance(which, int):
            if not -len(self.nodes) <= which < len(self.nodes):
                raise ConfigError(f"this mesh has the nodes 0 to {len(self.nodes) - 1}, not {which}")
            return self.nodes[which]
        if which not in self.nodes:
            raise ConfigError(
                f"{which!r} is no node of this mesh: give it to LocalMesh([...]) or `await mesh.add(node)`"
            )
        return which

    def _live(self, which: Node | int) -> Node:
        node = self._node(which)
        if node not in self._running or not node.is_started:
            raise ConfigError(
                f"{node!r} does not run here: `async with` starts the mesh, `await mesh.start(node)` this one again"
            )
        return node

    async def _start(self, number: int) -> None:
        node = self.nodes[number]
        clusters = {each.cluster for each in self.nodes}
        overrides = {
            "listen": f"memory:{self._mesh}-{number}" if self._transport == "memory" else "127.0.0.1:0",
            "seeds": [seed.address for seed in self._seeds_of(node)],
            "links": [gateway.address for gateway in _first_of_each(self._running) if gateway.cluster != node.cluster],
            "trust": sorted(clusters - {node.cluster}),
        }
        is_deployed = not self._makes and self._transport == "memory"
        await start_in(node, surroundings(), overrides, without=_DEPLOYED if is_deployed else ())
        if node not in self._running:
            self._running.append(node)

    def _seeds_of(self, node: Node) -> list[Node]:
        """Those that run already; a ring is closed by its last node."""
        up = [
            each
            for each in self.nodes
            if each in self._running and each.is_started and each.cluster == node.cluster and each is not node
        ]
        if self._shape == "full" or not up:
            return up
        if self._shape == "star":
            return up[:1]
        closes = self._shape == "ring" and node is self.nodes[-1] and len(up) > 1
        return [up[-1], up[0]] if closes else up[-1:]

    async def _stop(self) -> None:
        for node in self._running:
            if id(node) in self._paused and node.is_started:
                self.resume(node)
        ends = await asyncio.gather(*(node.stop() for node in self._running), return_exceptions=True)
        self._running.clear()
        for end in ends:
            # All have stopped; what a lifespan raised at its end is the test's to see.
            if end is not None:
                raise end


def _checked(nodes: Any) -> list[Node]:
    try:
        given: list[Any] = list(nodes)
    except TypeError:
        given = [nodes]
    if not given or len(set(map(id, given))) < len(given) or not all(isinstance(each, Node) for each in given):
        raise ConfigError(f"nodes takes how many, or a list of your own, each once: [app.node, ...]; not {nodes!r}")
    return given


def _first_of_each(nodes: Sequence[Node]) -> list[Node]:
    """The first node of each cluster."""
    return list({node.cluster: node for node in reversed(nodes)}.values())


async def _disagreement(group: list[Node]) -> str:
    """Why these nodes do not see one mesh: each other alive, nobody else, and one catalog. Empty if they do."""
    ids = {node.id for node in group}
    for node in group:
        try:
            alive = {member.id for member in await node.members() if member.state in ("alive", "busy")}
        except MpregError as error:
            return f"{node.id} does not answer: {error}"
        if alive != ids:
            return f"{node.id} sees {', '.join(sorted(alive))} alive, not {', '.join(sorted(ids))}"
    seen = {core_of(node).fingerprint() for node in group}
    if len(seen) > 1 or "" in seen:
        return f"the catalogs of {', '.join(sorted(ids))} differ"
    return ""


@contextlib.asynccontextmanager
async def local_node(node: Node | str = "test", **options: Any) -> AsyncGenerator[Node]:
    """One node in memory, alone: your own, or a new one with these options of `Node`.

    `async with local_node("shop") as node:`; it is started, and stopped at the end.
    """
    own = Node(node, **options) if isinstance(node, str) else node
    async with LocalMesh([own]):
        yield own
