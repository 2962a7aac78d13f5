"""The calling surface without `await`: `SyncClient`, `ctx.sync`, and what `node.running()` gives.

Invariant: `call` is the extension's own method, needs no event loop, releases the GIL while it waits and answers
Ctrl-C. Only what has many calls under way at once (`submit`, `map`, `call_all`) uses a loop in the background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, overload

from mpreg import _looks as looks
from mpreg._events import CLASSES
from mpreg._graph import asked, timeout_of
from mpreg._map import CONCURRENCY, SyncMap, prepared
from mpreg._native import native
from mpreg._opening import open_settings
from mpreg._portal import Portal
from mpreg._remote import NOT_GIVEN, RemoteOptions, SelectionOptions, call_candidates, prepare
from mpreg._sources import Surroundings
from mpreg._streams import SyncStream
from mpreg._watch import SyncWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from typing import Unpack

    from typing_extensions import TypeForm

    from mpreg._config import Config
    from mpreg._context import Context
    from mpreg._events import AnyEvent
    from mpreg._graph import RunReport
    from mpreg._map import Errors
    from mpreg._mpreg import NodeCore, Step
    from mpreg._outcome import Outcome
    from mpreg._views import Explanation, FunctionDescription, FunctionEntry, Member, NodeStats

_P = ParamSpec("_P")
_R = TypeVar("_R")
_A = TypeVar("_A")
_B = TypeVar("_B")
_C = TypeVar("_C")
_D = TypeVar("_D")
_E = TypeVar("_E")
_R_co = TypeVar("_R_co", covariant=True)
_T = TypeVar("_T")


class _NotContext:
    """For type checkers: only parameters typed `object`, `Any` or by a type variable accept it."""


class SyncRemote(native.RemoteCore, Generic[_P, _R_co]):
    """What `SyncCaller.remote(...)` returns: call it like the function, it waits for the result. Immutable; for all threads."""

    if TYPE_CHECKING:
        _portal: Portal

        def __call__(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R_co:
            """Calls and waits."""
            ...

        def step(self, /, *args: Any, **kwargs: Any) -> Step[_R_co]:
            """The call as a step of a graph, for `run` or as an argument of other steps. Nothing is sent yet."""
            ...
    else:
        __call__ = native.RemoteCore.call_blocking

        def __init__(self, caller: SyncCaller, /, **_: object) -> None:
            # The extension's `__new__` has taken the options already.
            self._portal = caller.portal

    def submit(self, /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_R_co]:
        """Starts the call and returns at once; cancelling the future cancels the call."""
        return self._portal.submit(lambda: self.call(*args, **kwargs))

    @overload
    def stream(
        self: SyncRemote[_P, AsyncIterator[_T] | Iterator[_T]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> SyncStream[_T]: ...
    @overload
    def stream(self, /, *args: _P.args, **kwargs: _P.kwargs) -> SyncStream[_R_co]: ...
    def stream(self, /, *args: Any, **kwargs: Any) -> Any:
        """Asks for the items of a generator; `for` over what it returns, in one thread."""
        return SyncStream[Any](self._portal, lambda: self.open_stream(*args, **kwargs))

    def call_all(self, /, *args: _P.args, **kwargs: _P.kwargs) -> list[Outcome[_R_co]]:
        """Calls every matching node known now, and answers for each; a node that fails is an `Outcome` with its error."""
        candidates = self.candidates_blocking()
        return self._portal.run(lambda: call_candidates(candidates, args, kwargs))


class SyncCaller(native.BlockingCore):
    """Calls functions of the mesh and looks at it, from any thread: `SyncClient`, `ctx.sync`, `node.blocking`, `node.running()`.

    The verbs of `Caller`, with the same arguments and errors; they wait where those are awaited, and Ctrl-C ends the wait. On
    a thread whose loop runs a node's functions they are a `ConfigError`, because that node would stop.
    """

    _timeout: float = 30.0

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        """Where `submit`, `map` and `call_all` run."""

    if TYPE_CHECKING:

        @overload
        def call(self, fn: Callable[_P, Coroutine[Any, Any, _R]], /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
        @overload
        def call(
            self,
            fn: Callable[Concatenate[Context, _P], Coroutine[Any, Any, _R]],
            /,
            *args: _P.args,
            **kwargs: _P.kwargs,
        ) -> _R: ...
        @overload
        def call(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
        @overload
        def call(self, fn: Callable[Concatenate[Context, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
        @overload
        def call(self, fn: str, /, *args: Any, **kwargs: Any) -> Any: ...
        def call(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            """Calls a function by its object (typed) or its name and waits for the result; see `Caller.call`."""
            ...

    @overload
    def stream(
        self, fn: Callable[_P, AsyncIterator[_T] | Iterator[_T]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> SyncStream[_T]: ...
    @overload
    def stream(
        self,
        fn: Callable[Concatenate[Context, _P], AsyncIterator[_T] | Iterator[_T]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> SyncStream[_T]: ...
    @overload
    def stream(self, fn: str, /, *args: Any, **kwargs: Any) -> SyncStream[Any]: ...
    def stream(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """The items of a generator, by its object (typed) or its name: `for item in caller.stream(f, ...)`.

        See `Caller.stream`.
        """
        handle = self._prepare(fn)
        return SyncStream[Any](self.portal, lambda: handle.open_stream(*args, **kwargs))

    @overload
    def submit(
        self, fn: Callable[_P, Coroutine[Any, Any, _R]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Future[_R]: ...
    @overload
    def submit(
        self,
        fn: Callable[Concatenate[Context, _P], Coroutine[Any, Any, _R]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Future[_R]: ...
    @overload
    def submit(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]: ...
    @overload
    def submit(
        self, fn: Callable[Concatenate[Context, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Future[_R]: ...
    @overload
    def submit(self, fn: str, /, *args: Any, **kwargs: Any) -> Future[Any]: ...
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Starts a call and returns a `concurrent.futures.Future`; cancelling that cancels the call."""
        handle = self._prepare(fn)
        return self.portal.submit(lambda: handle.call(*args, **kwargs))

    @overload
    def remote(
        self,
        fn: Callable[Concatenate[_NotContext, _P], Coroutine[Any, Any, _R]],
        /,
        **options: Unpack[RemoteOptions],
    ) -> SyncRemote[Concatenate[Any, _P], _R]: ...
    @overload
    def remote(
        self, fn: Callable[Concatenate[Context, _P], Coroutine[Any, Any, _R]], /, **options: Unpack[RemoteOptions]
    ) -> SyncRemote[_P, _R]: ...
    @overload
    def remote(
        self, fn: Callable[_P, Coroutine[Any, Any, _R]], /, **options: Unpack[RemoteOptions]
    ) -> SyncRemote[_P, _R]: ...
    @overload
    def remote(
        self, fn: Callable[Concatenate[_NotContext, _P], _R], /, **options: Unpack[RemoteOptions]
    ) -> SyncRemote[Concatenate[Any, _P], _R]: ...
    @overload
    def remote(
        self, fn: Callable[Concatenate[Context, _P], _R], /, **options: Unpack[RemoteOptions]
    ) -> SyncRemote[_P, _R]: ...
    @overload
    def remote(self, fn: Callable[_P, _R], /, **options: Unpack[RemoteOptions]) -> SyncRemote[_P, _R]: ...
    @overload
    def remote(self, fn: str, /, *, returns: TypeForm[_T], **options: Unpack[RemoteOptions]) -> SyncRemote[..., _T]: ...
    @overload
    def remote(self, fn: str, /, **options: Unpack[RemoteOptions]) -> SyncRemote[..., Any]: ...
    def remote(self, fn: Any, /, *, returns: Any = NOT_GIVEN, **options: Any) -> Any:
        """A handle for a function with options for all its calls; see `Caller.remote`."""
        return self._handle(fn, options, returns)

    @overload
    def map(
        self, fn: Callable[[_T], Coroutine[Any, Any, _R]], items: Iterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[_R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[Context, _T], Coroutine[Any, Any, _R]], items: Iterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[_R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: SyncRemote[..., _R], items: Iterable[Any], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[_R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[_T], _R], items: Iterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[_R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[Context, _T], _R], items: Iterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[_R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: str, items: Iterable[Any], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[Any]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[_T], Coroutine[Any, Any, _R]], items: Iterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[Outcome[_R]]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[Context, _T], Coroutine[Any, Any, _R]], items: Iterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[Outcome[_R]]: ...  # fmt: skip
    @overload
    def map(
        self, fn: SyncRemote[..., _R], items: Iterable[Any], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[Outcome[_R]]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[_T], _R], items: Iterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[Outcome[_R]]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[Context, _T], _R], items: Iterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[Outcome[_R]]: ...  # fmt: skip
    @overload
    def map(
        self, fn: str, items: Iterable[Any], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> SyncMap[Outcome[Any]]: ...  # fmt: skip
    def map(
        self,
        fn: Any,
        items: Any,
        /,
        *,
        concurrency: int = CONCURRENCY,
        ordered: bool = True,
        errors: Errors = "raise",
        kwargs: Mapping[str, Any] | None = None,
    ) -> SyncMap[Any]:
        """Calls `fn` for each item, at most `concurrency` (1 to 65,536) at one time; see `Caller.map`.

        Items are read, and results given, on the calling thread.
        """
        handle = prepared(fn if isinstance(fn, native.RemoteCore) else self._prepare(fn), errors)
        more = dict(kwargs or {})
        return SyncMap(
            lambda item: self.portal.submit(lambda: handle.call(item, **more)),
            items,
            concurrency=concurrency,
            ordered=ordered,
            errors=errors,
        )

    @overload
    def run(self, step: Step[_T], /, *, timeout: float | None = ...) -> _T: ...
    @overload
    def run(self, a: Step[_A], b: Step[_B], /, *, timeout: float | None = ...) -> tuple[_A, _B]: ...
    @overload
    def run(self, a: Step[_A], b: Step[_B], c: Step[_C], /, *, timeout: float | None = ...) -> tuple[_A, _B, _C]: ...
    @overload
    def run(
        self, a: Step[_A], b: Step[_B], c: Step[_C], d: Step[_D], /, *, timeout: float | None = ...
    ) -> tuple[_A, _B, _C, _D]: ...
    @overload
    def run(
        self, a: Step[_A], b: Step[_B], c: Step[_C], d: Step[_D], e: Step[_E], /, *, timeout: float | None = ...
    ) -> tuple[_A, _B, _C, _D, _E]: ...
    @overload
    def run(self, steps: Sequence[Step[_T]], /, *, timeout: float | None = ...) -> list[_T]: ...
    @overload
    def run(
        self, *steps: Step[Any] | Sequence[Step[Any]], report: Literal[True], timeout: float | None = ...
    ) -> RunReport: ...
    def run(self, *steps: Any, timeout: float | None = None, report: bool = False) -> Any:
        """Runs a call graph and waits for the values of `steps`; see `Caller.run`."""
        wanted, finish = asked(steps, report=report)
        return self._run_graph(wanted, finish, report=report, timeout=timeout_of(timeout))

    def run_events(self, *steps: Step[Any] | Sequence[Step[Any]], timeout: float | None = None) -> SyncStream[AnyEvent]:
        """Runs a call graph and tells what happens; `for event in client.run_events(step)`; see `Caller.run_events`."""
        wanted, finish = asked(steps, report=True, verb="run_events")
        limit = timeout_of(timeout)
        return SyncStream(self.portal, lambda: self._run_events(wanted, finish, CLASSES, timeout=limit), "run_events")

    def catalog(
        self, *, function: str | None = None, resources: Iterable[str] = (), cluster: str | None = None
    ) -> list[FunctionEntry]:
        """The functions of the own cluster; see `Caller.catalog`."""
        question = looks.catalog_question(function, resources, cluster)
        return looks.catalog_answer(self._request_blocking("catalog", question, self._timeout))

    def describe(self, fn: str | Callable[..., Any], /) -> FunctionDescription:
        """Signature, doc, versions and resources of a function, and who offers it; else `FunctionNotFoundError`."""
        return looks.describe_answer(self._request_blocking("describe", looks.describe_question(fn), self._timeout))

    def explain(
        self, fn: str | Callable[..., Any], /, *, sticky: str | int | None = None, **options: Unpack[SelectionOptions]
    ) -> Explanation:
        """Where a call would go now, and for every other candidate why not there; see `Caller.explain`."""
        question = looks.explain_question(fn, {**options, "sticky": sticky})
        return looks.explain_answer(self._request_blocking("explain", question, self._timeout))

    def members(self) -> list[Member]:
        """The nodes of the own cluster, itself included, departed ones for ten minutes; clients never."""
        return looks.members_answer(self._request_blocking("members", {}, self._timeout))

    def stats(self, *, timeout: float = 2.0) -> list[NodeStats]:
        """What each node of the own cluster has done since its start, and whom it is connected to; see `Caller.stats`."""
        candidates = looks.stats_handle(self, timeout).candidates_blocking()
        return looks.stats_answer(self.portal.run(lambda: call_candidates(candidates, (), {})))

    def wait_for(
        self,
        fn: str | Callable[..., Any],
        /,
        *,
        nodes: int = 1,
        timeout: float = 10.0,
        **options: Unpack[SelectionOptions],
    ) -> None:
        """Returns when `fn` can be called on that many nodes; `DeadlineExceededError` after `timeout` seconds (10)."""
        question, limit = looks.wait_question(fn, nodes, timeout, options)
        self._request_blocking("wait_for", question, limit)

    def watch(self, pattern: str = "*", *, existing: bool = False) -> SyncWatch:
        """Changes of functions whose name fits the glob, each once, from now on; `existing=True`: first those there are."""
        return SyncWatch(self._request_blocking, pattern, existing=existing)

    def surface_of(self, core: NodeCore, timeout: float) -> None:
        """Makes this the surface of a started node."""
        self._timeout = timeout
        self._attach(core, timeout)

    def end(self, why: str) -> None:
        """From now on calls raise `ConnectionLostError` with this reason."""
        self._detach(why)

    def _prepare(self, target: Any, /) -> SyncRemote[Any, Any]:
        return self._handle(target, {}, NOT_GIVEN)

    def _handle(self, target: Any, options: Mapping[str, Any], returns: Any) -> SyncRemote[Any, Any]:
        return prepare(SyncRemote[Any, Any], self, target, options, returns)


class SyncClient(SyncCaller):
    """A client for threads: connected when it is made, closed by `with` or `close()`. Thread-safe.

    - `addresses`: nodes to enter by ("host:port", "unix:/path"), in the order they are tried; none: `MPREG_SEEDS`.
    - `timeout`: deadline of calls that name none, in seconds (30).
    - `config`: certificates and other settings; what it leaves out is read from `MPREG_*` and `mpreg.toml`.

    Tries for 5 s, then `ConnectionLostError` that names each try; `AuthError` if it was refused; `ConfigError` without any address.
    """

    def __init__(self, *addresses: str, timeout: float | None = None, config: Config | None = None) -> None:
        native.refuse_on_serving_loop("mpreg.SyncClient(...)")
        super().__init__(Portal())
        settings, self._timeout = open_settings(addresses, timeout, config, Surroundings.of_process())
        self._core = native.ClientCore(settings)
        self._core.open_blocking()
        self._attach(self._core, self._timeout)

    def __repr__(self) -> str:
        return f"<SyncClient of {self.entry or 'nobody'}>"

    @property
    def entry(self) -> str | None:
        """The node it is connected to now, `cluster/name/instance`; None between two."""
        return self._core.entry

    def close(self) -> None:
        """Cancels what is under way and disconnects. Twice changes nothing."""
        self.portal.close()
        self._detach("this client is closed; make a new one")
        self._core.close_blocking()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    if not TYPE_CHECKING:

        async def __aenter__(self) -> None:
            self.close()
            raise TypeError("SyncClient needs `with`; in a coroutine write `async with mpreg.connect(...) as client:`")

        async def __aexit__(self, *_: object) -> None: ...
