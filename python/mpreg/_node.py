"""A node: a process of the mesh that offers functions.

Making one and decorating functions does no I/O and starts no thread, so a module with a node can be imported by callers
and tests. Invariant: `_core` is set exactly while the node is started; a definition stands in `_definitions` and, while
started, in the core, or in neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from mpreg._caller import Caller
from mpreg._config import NODE_FIELDS, program_name, refuse_unknown_arguments
from mpreg._context import Context
from mpreg._errors import ConfigError
from mpreg._fields import hint
from mpreg._functions import Definition, Functions, Offering, mark_of, refuse_twice
from mpreg._lifespan import Lifespan, checked
from mpreg._logging import connect_logging, log_leaving
from mpreg._native import native
from mpreg._portal import Portal
from mpreg._registration import Registration
from mpreg._sources import Surroundings, node_settings, resolve
from mpreg._sync import SyncCaller

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from mpreg._config import Config
    from mpreg._mpreg import CallContext
    from mpreg._part import Part

LeaveReason = Literal["graceful_shutdown", "maintenance", "cluster_rebalance", "manual_removal"]

_REASONS: Final = ("graceful_shutdown", "maintenance", "cluster_rebalance", "manual_removal")
_STOPPED: Final = "this node is not started: use `async with node:`, node.running(), or `mpreg run`"


class Node(Caller, Offering):
    """A process of the mesh. Offers functions with `@node.function`, calls them like a client.

    - `name`: what it is, by default the program's name; processes of one name are replicas.
    - `instance`: told apart from others of that name by it, by default generated; give one only to what exists once.
    - `cluster`: by default "default"; nodes of one cluster find and call each other.
    - `resources`: words for what it has at hand, at most 64, offered by every function of this node.
    - `listen`: its one address, "host:port" or "unix:/path"; by default "127.0.0.1:0". Port 0: the system chooses.
    - `seeds`: addresses of any members of the own cluster.
    - `links`, `trust`, `max_hops`: for calls between clusters, which are not there yet.
    - `lifespan`: async context manager function; what it yields is `node.state` and `ctx.state`.
    - `config`: everything else. What is left out is read at start from `MPREG_*` and `mpreg.toml`.

    Making one does no I/O and starts no thread; a wrong value is a `ConfigError` here.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        instance: str | None = None,
        cluster: str | None = None,
        resources: Iterable[str] | None = None,
        listen: str | None = None,
        seeds: Iterable[str] | None = None,
        links: Iterable[str] | None = None,
        trust: Iterable[str] | None = None,
        max_hops: int | None = None,
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        config: Config | None = None,
    ) -> None:
        given = {
            "name": name, "instance": instance, "cluster": cluster, "resources": resources, "listen": listen,
            "seeds": seeds, "links": links, "trust": trust, "max_hops": max_hops,
        }  # fmt: skip
        self._given = {
            field: NODE_FIELDS[field].convert(value, field) for field, value in given.items() if value is not None
        }
        self._config = config
        self._lifespan = checked(lifespan)
        self._definitions: dict[tuple[str, str], Definition] = {}
        self._lock = threading.Lock()
        self._own: Mapping[str, Any] = {}
        self._state: Any = None
        self._offers = True
        self._core: native.NodeCore | None = None
        self._run: _Run | None = None
        self._detach(_STOPPED)

    def __repr__(self) -> str:
        where = f"at {self._core.address}" if self._core else "not started"
        return f"<Node {self._core.id if self._core else self.name} of {self.cluster}, {where}>"

    # --- what it is ---

    @property
    def name(self) -> str:
        """What it is; replicas share it."""
        return self._value("name") or program_name()

    @property
    def cluster(self) -> str:
        """Its cluster."""
        return self._value("cluster") or "default"

    @property
    def id(self) -> str:
        """`name/instance`, unique within its cluster. Known once started; before and after, `ConfigError`."""
        return self._started().id

    @property
    def instance(self) -> str:
        """The part of its id after "/". Known once started, unless it is fixed."""
        return self._value("instance") or self._started().instance

    @property
    def address(self) -> str:
        """Where it listens, "host:port" with the real port. Known once started; before and after, `ConfigError`."""
        return self._started().address

    @property
    def is_started(self) -> bool:
        """True from the moment it can be called until it has stopped."""
        return self._core is not None

    @property
    def state(self) -> Any:
        """What the lifespan yielded; None while the node is not started."""
        return self._state

    @property
    def blocking(self) -> SyncCaller:
        """The same calling surface without `await`, for other threads than the node's own. `ConfigError` unless started."""
        if self._run is None:
            raise ConfigError(_STOPPED)
        return self._run.blocking

    # --- what it offers ---

    def include(self, functions: Functions) -> None:
        """Offers a group's functions too, also those it gets later. At any time; twice changes nothing.

        A name and version that this node offers already is a `ConfigError`.
        """
        for definition in functions.definitions:
            self._add(definition)
        functions.join(self)

    def remove(self, what: str | Functions | Callable[..., Any], version: str | None = None) -> None:
        """Takes back a function (all versions unless one is given) or a group; running calls finish.

        By name, function object or group; what this node does not offer is a `ConfigError`.
        """
        if isinstance(what, Functions):
            what.part(self)
            keys = {definition.key for definition in what.definitions}
            self._drop(lambda key: key in keys)
            return
        name = what if isinstance(what, str) else mark_of(what).name
        exact = None if version is None else native.check_version(version)
        if not self._drop(lambda key: key[0] == name and exact in (None, key[1])):
            near = hint(name, {key[0] for key in self._definitions})
            raise ConfigError(f"this node offers no {name}{f' {exact}' if exact else ''}{near}")

    def _add(self, definition: Definition) -> None:
        with self._lock:
            old = self._definitions.get(definition.key)
            refuse_twice(old, definition, f"node {self.name}")
            if old is not None:
                return
            if self._core is not None and self._offers:
                self._core.register(Registration.of(definition, self._context))
            self._definitions[definition.key] = definition

    def _drop(self, wanted: Callable[[tuple[str, str]], bool]) -> bool:
        with self._lock:
            keys = [key for key in self._definitions if wanted(key)]
            for key in keys:
                if self._core is not None and self._offers:
                    self._core.remove(*key)
                del self._definitions[key]
        return bool(keys)

    # --- its life ---

    async def start(self) -> None:
        """Joins the mesh. Returns when joined; alone when it has no seeds, or none answered within 3 s.

        `ConfigError`: settings that are wrong or contradict each other, a port in use, a fixed instance that is alive already,
        a node that is started already. What the lifespan raises stops the start.
        """
        await start_in(self, Surroundings.of_process(), {})

    async def stop(self, reason: LeaveReason = "graceful_shutdown") -> None:
        """Drains, says goodbye, stops. Twice changes nothing; afterwards it may be started again.

        Running calls may end for up to `drain_timeout` seconds (10), then they are cancelled. `reason` is what others see in
        `members()`: "graceful_shutdown", "maintenance", "cluster_rebalance" or "manual_removal".
        """
        if reason not in _REASONS:
            raise ConfigError(f"reason takes one of {', '.join(_REASONS)}, not {reason!r}{hint(str(reason), _REASONS)}")
        run = self._run
        if run is None:
            return
        if run.stopping is None:
            run.stopping = asyncio.ensure_future(self._stop(run, reason))
        # Whoever gives up waiting leaves the drain to finish by itself.
        await asyncio.shield(run.stopping)

    async def __aenter__(self) -> Self:
        await self.start()
        self._enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        run = self._run
        await self.stop()
        if run is not None and run.failure is not None:
            if run.body is not None:
                run.body.uncancel()
            raise run.failure

    if not TYPE_CHECKING:
        # A type checker finds these; others are told what to write.

        def __new__(cls, *_: object, **given: object) -> Self:
            refuse_unknown_arguments(given)
            return super().__new__(cls)

        def __enter__(self) -> None:
            raise TypeError("a node needs `async with`; where no loop runs, write `with node.running() as mesh:`")

        def __exit__(self, *_: object) -> None: ...

    def serve(self) -> None:
        """Runs the node until SIGTERM or Ctrl-C, then drains and leaves. For `if __name__ == "__main__":`.

        The same signal again ends the process at once. Needs the main thread and no running loop, else `ConfigError`.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ConfigError("serve() handles signals and needs the main thread; elsewhere use node.running()")
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            raise ConfigError("serve() runs a loop of its own; in this one use `async with node:`")
        asyncio.run(self._serve({}))

    @contextlib.contextmanager
    def running(self) -> Generator[SyncCaller]:
        """Runs the node on a loop of its own in a background thread: `with node.running() as mesh:`.

        Gives the blocking calling surface. Raises what `start` raises.
        """
        native.refuse_on_serving_loop("node.running()")
        portal = Portal()
        try:
            portal.run(self.start)
            run = self._run
            try:
                yield self.blocking
            finally:
                portal.run(self.stop)
            if run is not None and run.failure is not None:
                raise run.failure
        finally:
            portal.close()

    def _enter(self) -> None:
        if self._run is not None:
            self._run.body = asyncio.current_task()

    async def _start(
        self,
        surroundings: Surroundings,
        overrides: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
        without: Iterable[str] = (),
        part: Part | None = None,
    ) -> None:
        if self._run is not None:
            raise ConfigError(f"node {self.name} is started already")
        own = {**self._given, **overrides}
        config = self._config and self._config.without(without)
        resolved = resolve(own, config, surroundings, role="node", defaults=defaults)
        connect_logging(resolved.config.log_level)
        settings = node_settings(resolved) if part is None else {**node_settings(resolved), "part": part.settings}
        run = self._run = _Run(native.NodeCore(settings), resolved.config.timeout)
        self._offers = part is None or part.runs_functions
        self._own, self._timeout = resolved.own, resolved.config.timeout
        try:
            if self._lifespan is not None and self._offers:
                lifespan = Lifespan(self._lifespan)
                self._state = await lifespan.enter()
                run.lifespan = lifespan
            with self._lock:
                for definition in self._definitions.values() if self._offers else ():
                    run.core.register(Registration.of(definition, self._context))
                self._core = run.core
            # Before the start has returned: the first calls may come, and call on, while the others still join.
            self._attach(run.core, self._timeout)
            run.joining = True
            await run.core.start()
        except BaseException:
            await asyncio.shield(self._stop(run, _REASONS[0]))
            raise
        if part is None or not part.runs_functions:
            run.watch_end()

    async def _serve(
        self, overrides: Mapping[str, Any], defaults: Mapping[str, Any] | None = None, part: Part | None = None
    ) -> None:
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()

        def leave(number: int) -> None:
            asked.set()
            log_leaving(signal.Signals(number).name)
            # Asked again, the process ends at once, as it would without us.
            loop.remove_signal_handler(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, leave, number)
        try:
            await self._start(Surroundings.of_process(), overrides, defaults, part=part)
            self._enter()
            try:
                await (asked.wait() if part is None else part.live(self._started(), asked))
            finally:
                await self.__aexit__()
        finally:
            if part is not None:
                await part.end()

    async def _stop(self, run: _Run, reason: str) -> None:
        try:
            if run.joining:
                await run.core.stop(reason)
        finally:
            with self._lock:
                self._core = None
            self._detach(_STOPPED)
            run.close()
            try:
                if run.lifespan is not None:
                    await run.lifespan.leave()
            finally:
                self._state = None
                self._run = None

    def _context(self, facts: CallContext) -> Context:
        return Context(facts, self, self._state)

    def _started(self) -> native.NodeCore:
        if self._core is None:
            raise ConfigError(_STOPPED)
        return self._core

    def _value(self, name: str) -> Any:
        return self._own.get(name) or self._given.get(name)


class _Run:
    """What belongs to one start of a node."""

    def __init__(self, core: native.NodeCore, timeout: float) -> None:
        self.core = core
        self.lifespan: Lifespan | None = None
        self.body: asyncio.Task[Any] | None = None
        self.stopping: asyncio.Future[None] | None = None
        self.failure: ConfigError | None = None
        self.joining = False
        self.blocking = SyncCaller(Portal(asyncio.get_running_loop()))
        self.blocking.surface_of(core, timeout)
        self._watcher: asyncio.Task[None] | None = None

    def watch_end(self) -> None:
        """A node that has to go (its fixed instance is claimed twice) ends the block that runs it."""
        self._watcher = asyncio.create_task(self._until_ended())

    def close(self) -> None:
        self.blocking.end(_STOPPED)
        if self._watcher is not None:
            self._watcher.cancel()

    async def _until_ended(self) -> None:
        try:
            await self.core.ended()
        except ConfigError as error:
            self.failure = error
            if self.body is not None:
                self.body.cancel()


# For `mpreg.testing` and the command line, which belong to this package and yet are no part of a node.
# pyright: reportPrivateUsage=false


async def start_in(
    node: Node, surroundings: Surroundings, overrides: Mapping[str, Any], *, without: Iterable[str] = ()
) -> None:
    """`node.start()` in other surroundings, with settings that win over the node's own, and without some of its config."""
    await node._start(surroundings, overrides, without=without)  # noqa: SLF001


def serve_with(node: Node, overrides: Mapping[str, Any], defaults: Mapping[str, Any], part: Part | None = None) -> None:
    """`node.serve()` with what the command line says, and defaults of its own; as a part of the node, if it has several."""
    asyncio.run(node._serve(overrides, defaults, part))  # noqa: SLF001


def given_to(node: Node) -> tuple[Mapping[str, Any], Config | None]:
    """What its code says: arguments and config."""
    return node._given, node._config  # noqa: SLF001


async def abandon(node: Node) -> None:
    """The node ends as by `kill -9`: nobody is told. Its lifespan is left all the same."""
    run = node._run  # noqa: SLF001
    if run is not None:
        run.core.kill()
        run.joining = False
        # Its address is free again when this returns, as after the death of a process.
        await run.core.ended()
        await node.stop()


def core_of(node: Node) -> native.NodeCore:
    """The extension's side of a started node."""
    return node._started()  # noqa: SLF001
