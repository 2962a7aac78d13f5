"""The calling surface that `Node` and `Client` share.

Invariant: `call` is the extension's own method; nothing of Python stands between it and the encoder. The overloads
here exist for type checkers only. Their order matters: with arguments at hand the plain function comes first, because
a parameter typed `object` accepts a `Context` too; without arguments (`remote`) it comes last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, overload

from mpreg import _looks as looks
from mpreg._events import CLASSES
from mpreg._graph import asked, timeout_of
from mpreg._map import CONCURRENCY, Map, prepared
from mpreg._native import native
from mpreg._remote import NOT_GIVEN, Remote, RemoteOptions, SelectionOptions, call_candidates, prepare
from mpreg._watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
    from typing import Unpack

    from typing_extensions import TypeForm

    from mpreg._context import Context
    from mpreg._events import AnyEvent
    from mpreg._graph import RunReport
    from mpreg._map import Errors
    from mpreg._mpreg import Call, Step, Stream
    from mpreg._outcome import Outcome
    from mpreg._views import Explanation, FunctionDescription, FunctionEntry, Member, NodeStats

__all__ = ["Caller", "Remote"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_A = TypeVar("_A")
_B = TypeVar("_B")
_C = TypeVar("_C")
_D = TypeVar("_D")
_E = TypeVar("_E")
_T = TypeVar("_T")


class _NotContext:
    """For type checkers: only parameters typed `object`, `Any` or by a type variable accept it."""


class Caller(native.CallerCore):
    """Calls functions of the mesh and looks at it: what `mpreg.Node` and a client of `mpreg.connect()` have in common.

    All times are seconds. Everything that is sent may raise the errors of [calls](../guides/errors.md); a node or client that
    is not started, or closed, is a `ConnectionLostError` at once. For threads there is `SyncCaller`.
    """

    _timeout: float = 30.0

    if TYPE_CHECKING:

        @overload
        def call(
            self, fn: Callable[_P, Coroutine[Any, Any, _R]], /, *args: _P.args, **kwargs: _P.kwargs
        ) -> Call[_R]: ...
        @overload
        def call(
            self,
            fn: Callable[Concatenate[Context, _P], Coroutine[Any, Any, _R]],
            /,
            *args: _P.args,
            **kwargs: _P.kwargs,
        ) -> Call[_R]: ...
        @overload
        def call(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Call[_R]: ...
        @overload
        def call(
            self, fn: Callable[Concatenate[Context, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs
        ) -> Call[_R]: ...
        @overload
        def call(self, fn: str, /, *args: Any, **kwargs: Any) -> Call[Any]: ...
        def call(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            """Calls a function by its object (typed) or its name; every argument goes to it. Options stand in `remote`.

            The call is on its way when this returns: await the `Call` for the result. Raises at once, before anything is sent,
            `ConfigError` (a function object that no node offers, no running loop here), `EncodeError` and `TooLargeError`; what
            the function raised, and whatever else went wrong, comes when it is awaited.
            """
            ...

        @overload
        def stream(
            self, fn: Callable[_P, AsyncIterator[_T] | Iterator[_T]], /, *args: _P.args, **kwargs: _P.kwargs
        ) -> Stream[_T]: ...
        @overload
        def stream(
            self,
            fn: Callable[Concatenate[Context, _P], AsyncIterator[_T] | Iterator[_T]],
            /,
            *args: _P.args,
            **kwargs: _P.kwargs,
        ) -> Stream[_T]: ...
        @overload
        def stream(self, fn: str, /, *args: Any, **kwargs: Any) -> Stream[Any]: ...
        def stream(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            """The items of a generator, by its object (typed) or its name: `async for item in caller.stream(f, ...)`.

            The deadline covers the time to the first item. Leaving the loop, `aclose()` or dropping it cancels the
            generator. A function that is no generator is a `ConfigError` that names `call`, before it starts.
            """
            ...

    @overload
    def remote(
        self,
        fn: Callable[Concatenate[_NotContext, _P], Coroutine[Any, Any, _R]],
        /,
        **options: Unpack[RemoteOptions],
    ) -> Remote[Concatenate[Any, _P], _R]: ...
    @overload
    def remote(
        self, fn: Callable[Concatenate[Context, _P], Coroutine[Any, Any, _R]], /, **options: Unpack[RemoteOptions]
    ) -> Remote[_P, _R]: ...
    @overload
    def remote(
        self, fn: Callable[_P, Coroutine[Any, Any, _R]], /, **options: Unpack[RemoteOptions]
    ) -> Remote[_P, _R]: ...
    @overload
    def remote(
        self, fn: Callable[Concatenate[_NotContext, _P], _R], /, **options: Unpack[RemoteOptions]
    ) -> Remote[Concatenate[Any, _P], _R]: ...
    @overload
    def remote(
        self, fn: Callable[Concatenate[Context, _P], _R], /, **options: Unpack[RemoteOptions]
    ) -> Remote[_P, _R]: ...
    @overload
    def remote(self, fn: Callable[_P, _R], /, **options: Unpack[RemoteOptions]) -> Remote[_P, _R]: ...
    @overload
    def remote(self, fn: str, /, *, returns: TypeForm[_T], **options: Unpack[RemoteOptions]) -> Remote[..., _T]: ...
    @overload
    def remote(self, fn: str, /, **options: Unpack[RemoteOptions]) -> Remote[..., Any]: ...
    def remote(self, fn: Any, /, *, returns: Any = NOT_GIVEN, **options: Any) -> Any:
        """A handle for a function, by object (typed) or name, with options for all its calls; nothing is sent yet.

        - `resources`: the callee must have them all; at most 64.
        - `version`: a constraint like ">=1.2,<2" or "^1.2"; exactly "1.2.0". For a function object: compatible with its own.
        - `cluster`: one, or "*"; in this version another one than the own is `NoRouteError`.
        - `timeout`: seconds for the whole call, further attempts included, 0.001 to 86,400; by default the caller's.
        - `retries`: further attempts where the function provably did not start, or is idempotent; 0 to 100, by default 2.
        - `wait`: seconds for a candidate to appear, by default 0.5; then it is `FunctionNotFoundError`.
        - `max_hops`: cluster borders it may cross, 0 to 16; `sticky`: calls with one text or number go to one candidate.
        - `metadata`: strings by name, at most 4 KiB, that travel along to `ctx.metadata`.
        - `returns`: the result's type, for calls by name; without it a result is plain values.

        An option that means nothing is a `ConfigError` here.
        """
        return prepare(Remote[Any, Any], self, fn, options, returns)

    @overload
    def map(
        self, fn: Callable[[_T], Coroutine[Any, Any, _R]], items: Iterable[_T] | AsyncIterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> Map[_R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[Context, _T], Coroutine[Any, Any, _R]], items: Iterable[_T] | AsyncIterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> Map[_R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Remote[..., _R], items: Iterable[Any] | AsyncIterable[Any], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> Map[_R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[_T], _R], items: Iterable[_T] | AsyncIterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> Map[_R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[Context, _T], _R], items: Iterable[_T] | AsyncIterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> Map[_R]: ...  # fmt: skip
    @overload
    def map(
        self, fn: str, items: Iterable[Any] | AsyncIterable[Any], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["raise"] = ..., kwargs: Mapping[str, Any] = ...,
    ) -> Map[Any]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[_T], Coroutine[Any, Any, _R]], items: Iterable[_T] | AsyncIterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> Map[Outcome[_R]]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[Context, _T], Coroutine[Any, Any, _R]], items: Iterable[_T] | AsyncIterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> Map[Outcome[_R]]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Remote[..., _R], items: Iterable[Any] | AsyncIterable[Any], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> Map[Outcome[_R]]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[_T], _R], items: Iterable[_T] | AsyncIterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> Map[Outcome[_R]]: ...  # fmt: skip
    @overload
    def map(
        self, fn: Callable[[Context, _T], _R], items: Iterable[_T] | AsyncIterable[_T], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> Map[Outcome[_R]]: ...  # fmt: skip
    @overload
    def map(
        self, fn: str, items: Iterable[Any] | AsyncIterable[Any], /, *,
        concurrency: int = ..., ordered: bool = ..., errors: Literal["yield"], kwargs: Mapping[str, Any] = ...,
    ) -> Map[Outcome[Any]]: ...  # fmt: skip
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
    ) -> Map[Any]:
        """Calls `fn` for each item, at most `concurrency` at one time, and gives the results as `async for`.

        `items` may be asynchronous and endless: it is read only as fast as results leave. `fn` is a function object, a
        name or a handle; each item is its first argument, `kwargs` goes to every call and each call has its own
        deadline. `concurrency` is 1 to 65,536, by default 256. `ordered=False` gives results as they come.
        `errors="yield"` gives an `Outcome` per item; else the first error ends the map, and cancels the rest.
        """
        handle = prepared(fn if isinstance(fn, native.RemoteCore) else self._prepare(fn), errors)
        more = dict(kwargs or {})
        return Map(
            lambda item: handle.call(item, **more), items, concurrency=concurrency, ordered=ordered, errors=errors
        )

    @overload
    def run(self, step: Step[_T], /, *, timeout: float | None = ...) -> Call[_T]: ...
    @overload
    def run(self, a: Step[_A], b: Step[_B], /, *, timeout: float | None = ...) -> Call[tuple[_A, _B]]: ...
    @overload
    def run(
        self, a: Step[_A], b: Step[_B], c: Step[_C], /, *, timeout: float | None = ...
    ) -> Call[tuple[_A, _B, _C]]: ...
    @overload
    def run(
        self, a: Step[_A], b: Step[_B], c: Step[_C], d: Step[_D], /, *, timeout: float | None = ...
    ) -> Call[tuple[_A, _B, _C, _D]]: ...
    @overload
    def run(
        self, a: Step[_A], b: Step[_B], c: Step[_C], d: Step[_D], e: Step[_E], /, *, timeout: float | None = ...
    ) -> Call[tuple[_A, _B, _C, _D, _E]]: ...
    @overload
    def run(self, steps: Sequence[Step[_T]], /, *, timeout: float | None = ...) -> Call[list[_T]]: ...
    @overload
    def run(
        self, *steps: Step[Any] | Sequence[Step[Any]], report: Literal[True], timeout: float | None = ...
    ) -> Call[RunReport]: ...
    def run(self, *steps: Any, timeout: float | None = None, report: bool = False) -> Any:
        """Runs a call graph: one request, whose steps run where their functions live, each as soon as it can.

        Gives the value of `run(step)`, a tuple for `run(a, b)`, a list for `run([a, b, ...])`; any steps may be asked
        for, and parts of their results (`step["rows"]`). `report=True` gives a `RunReport` instead. `timeout`: seconds
        for the whole run. A step that fails is a `GraphError` with the step's own error as its cause.
        """
        wanted, finish = asked(steps, report=report)
        return self._run_graph(wanted, finish, report=report, timeout=timeout_of(timeout))

    def run_events(self, *steps: Step[Any] | Sequence[Step[Any]], timeout: float | None = None) -> Stream[AnyEvent]:
        """Runs a call graph and tells what happens: `async for event in client.run_events(step)`.

        `StepStarted`, `StepProgress`, `StepFinished` for each step, and last `RunFinished` with the report, which has the
        values. A run that fails ends with a `StepFailed` and then raises what `run` would raise. Leaving the loop cancels
        the run.
        """
        wanted, finish = asked(steps, report=True, verb="run_events")
        return self._run_events(wanted, finish, CLASSES, timeout=timeout_of(timeout))

    async def catalog(
        self, *, function: str | None = None, resources: Iterable[str] = (), cluster: str | None = None
    ) -> list[FunctionEntry]:
        """The functions of the own cluster, one entry for each node that offers one.

        `function` is a glob over names ("shop.*"); `resources` must all be there.
        """
        question = looks.catalog_question(function, resources, cluster)
        return looks.catalog_answer(await self._request("catalog", question, self._timeout))

    async def describe(self, fn: str | Callable[..., Any], /) -> FunctionDescription:
        """Signature, doc, versions and resources of a function, and who offers it; else `FunctionNotFoundError`."""
        return looks.describe_answer(await self._request("describe", looks.describe_question(fn), self._timeout))

    async def explain(
        self, fn: str | Callable[..., Any], /, *, sticky: str | int | None = None, **options: Unpack[SelectionOptions]
    ) -> Explanation:
        """Where a call with these options (`resources`, `version`, `cluster`) would go now, and for every other candidate why
        not there. Nothing is called.
        """
        question = looks.explain_question(fn, {**options, "sticky": sticky})
        return looks.explain_answer(await self._request("explain", question, self._timeout))

    async def members(self) -> list[Member]:
        """The nodes of the own cluster, itself included, departed ones for ten minutes; clients never."""
        return looks.members_answer(await self._request("members", {}, self._timeout))

    async def stats(self, *, timeout: float = 2.0) -> list[NodeStats]:  # noqa: ASYNC109 - each node's deadline
        """What each node of the own cluster has done since its start, and whom it is connected to.

        All are asked at one time; one that does not answer within `timeout` seconds says so in its `error`. Rates are
        what lies between two readings: `FunctionStats.since`.
        """
        return looks.stats_answer(await call_candidates(await looks.stats_handle(self, timeout).candidates(), (), {}))

    async def wait_for(
        self,
        fn: str | Callable[..., Any],
        /,
        *,
        nodes: int = 1,
        timeout: float = 10.0,  # noqa: ASYNC109 - carried as a deadline to the node that waits
        **options: Unpack[SelectionOptions],
    ) -> None:
        """Returns when `fn` can be called on that many nodes; `DeadlineExceededError` after `timeout` seconds (10)."""
        question, limit = looks.wait_question(fn, nodes, timeout, options)
        await self._request("wait_for", question, limit)

    def watch(self, pattern: str = "*", *, existing: bool = False) -> Watch:
        """Changes of functions whose name fits the glob, each once, from now on; `existing=True`: first those there are."""
        return Watch(self._request, pattern, existing=existing)

    def _prepare(self, target: Any, /) -> Remote[Any, Any]:
        return prepare(Remote[Any, Any], self, target, {})
