"""The private extension module: what the Python package needs of Rust, and nothing else.

Shape of the boundary: the package decides words (names, options, messages), Rust decides everything that happens.
`Caller.call`, `Remote.__call__` and their blocking twins are native methods that subclasses inherit: no Python frame
stands between the user and the encoder. All that is rare passes plain dicts (`request`, `settings`).

Module initialisation registers `Call` with `collections.abc.Coroutine`, and `atexit` and `os.register_at_fork`
handlers; it starts no thread and imports neither asyncio nor anything outside the standard library.
"""

import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Mapping
from contextvars import ContextVar
from types import GenericAlias
from typing import Any, Final, Generic, Literal, NoReturn, Protocol, Self, TypeAlias, TypeVar, final, overload

from typing_extensions import Buffer, disjoint_base

_R = TypeVar("_R")
_T_co = TypeVar("_T_co", covariant=True)

_Finish: TypeAlias = Callable[[list[Any], Mapping[str, Any] | None], Any]

__version__: Final[str]

# --- names: parsed once, by `mpreg-types`; a bad one is `ConfigError` (made by the hook) that quotes it --------------

_NameKind: TypeAlias = Literal[
    "function", "own_function", "function_id", "node", "instance", "cluster", "resource", "tag"
]

def check_name(kind: _NameKind, text: str, /) -> str:
    """`text` if it obeys the grammar of its kind; "own_function" refuses names under `mpreg.` too."""

def check_version(text: str, /) -> str:
    """The version in full: "1.2" becomes "1.2.0"."""

def check_constraint(text: str, /) -> str:
    """The constraint as `VersionConstraint` shows it."""

def nearest(text: str, names: Iterable[str], /) -> list[str]:
    """At most three of `names` that are like `text`, nearest first."""

# --- hooks: set once, when `mpreg._native` is imported; all of them are for the slow way ------------------------------

def set_hooks(
    make_error: Callable[[str, dict[str, Any]], BaseException],
    describe_exception: Callable[[BaseException, tuple[type[BaseException], ...]], dict[str, Any]],
    /,
) -> None:
    """What Rust asks of Python. An exception that a hook raises is a defect and goes to `sys.unraisablehook`.

    `make_error(code, fields)` is called only when the exception is really raised. Fields, all but `message` optional:
    `message`; `executed` ("no", "yes", "unknown"); `node` (as users see it, "eu/pricing/7f3a90"); `path` (cluster and
    node names walked); `attempts` (int); `ledger` (stage "queue", "wire", "interpreter", "loop", "handler"
    -> seconds); `retry_after` (seconds); `retryable` (bool); and for what a function raised `type_name`, `base`, `raises` (list),
    `traceback`, `data` (decoded) and `declared` (the `raises` of the `RemoteCore` that made the call).

    `describe_exception(exception, Registration.raises)` answers `message`, `type_name`, `base`, `raises`, `traceback`
    and `data`: a tuple of alternatives, each `{"args": tuple, "state": dict}`; the first that can be encoded is sent as
    `ErrorBody.data`, none if none can.
    """

def forget_targets() -> None:
    """Drops what `call` has cached for its targets, in every caller: a function was marked again."""

def refuse_on_serving_loop(verb: str, /) -> None:
    """`ConfigError` if functions of some node run on this thread's running loop: waiting there would stop that node."""

def log_to(sink: Callable[[int, str, str, dict[str, str]], None] | None, level: int, /) -> None:
    """Where log lines go: `sink(level, logger, message, fields)` on some loop's thread in batches; None: to stderr, by Rust.

    `level` is that of `logging`. Lines that find no loop within 1 s (Python is stuck) go to stderr if they are warnings.
    """

# --- values (`rust/bindings/src/codec`) -------------------------------------------------------------------------------

@final
class Converter:
    """What a type hint became (`mpreg._hints.compile`): a decoded value in, what the hint asks for out, or `DecodeError`."""

    def __new__(cls, nodes: list[tuple[Any, ...]], root: int) -> Self: ...
    def __call__(self, value: Any) -> Any: ...

@final
class Memory:
    """Bytes that Rust received, as a buffer; kept alive by the memoryviews and arrays over it."""

    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

def encode(value: Any, /, *, limit: int = ...) -> bytes:
    """The encoded form of a value, in one piece; for tests."""

def decode(buffer: Buffer, /, *, cuts: list[int] | None = None) -> Any:
    """The value that `encode` was given. `cuts`: as if the bytes had arrived in segments that end there."""

def call_by_value(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    /,
    *,
    parameters: Iterable[_Parameter] | None = None,
    returns: Converter | None = None,
    first: Any = None,
) -> Any:
    """Calls `function` as a node does: arguments and result travel as bytes; for tests."""

# --- what one call carries while its function runs --------------------------------------------------------------------

@final
class CallContext:
    """Frozen. Made by the dispatcher for each call, and set in `ambient` for its handler."""

    @property
    def call_id(self) -> str: ...
    @property
    def function(self) -> str: ...
    @property
    def caller(self) -> str:
        """`cluster/name/instance` of a node, `cluster/name` of a client."""
    @property
    def cluster(self) -> str:
        """Where the call began."""
    @property
    def path(self) -> tuple[str, ...]: ...
    @property
    def trace_id(self) -> str | None: ...
    @property
    def metadata(self) -> dict[str, Any]:
        """The caller's `metadata=`, decoded at each use."""
    @property
    def remaining(self) -> float:
        """Seconds to the deadline, never below 0."""
    @property
    def cancelled(self) -> bool:
        """The caller gave up, or the deadline passed."""

ambient: Final[ContextVar[CallContext | None]]
"""Calls made under it inherit its deadline, trace and metadata. The dispatcher sets it; `detached()` clears it."""

# --- calling ----------------------------------------------------------------------------------------------------------

@final
class Call(Coroutine[Any, Any, _T_co]):
    """A call under way: sent when it was made, awaited once, by any task of the loop that made it.

    Awaited it gives the result or raises what the call came to. Good for `asyncio.gather`, `wait_for`, `create_task`,
    `TaskGroup`. Cancelling the task that awaits it cancels the function where it runs. Dropped unawaited it is cancelled with
    a RuntimeWarning.
    """

    # `__await__` hands out the inner exact future's iterator.

    def __await__(self) -> Generator[Any, Any, _T_co]: ...
    def send(self, _value: Any) -> Any:
        """For event loops: it is a coroutine."""
    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        """For event loops."""
    def close(self) -> None:
        """Cancels the call without awaiting it, and without the warning. Twice changes nothing."""
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class Stream(AsyncIterator[_T_co]):
    """Items of a stream, by `async for`: asked for when it was made, read by one task of the loop that made it.

    A batch of items is read without a pass of the loop. Dropped, closed, or its reading task cancelled, it cancels the
    generator; dropped without ever being iterated it warns (RuntimeWarning). What the generator raised, and a connection that
    broke (`ConnectionLostError`), comes after the items before it. Also an async context manager, which closes it at the end.
    """

    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Coroutine[Any, Any, _T_co]: ...
    def ready(self, limit: int) -> list[_T_co]:
        """Takes what is there already, at most `limit` items, without waiting; an empty list if nothing is."""
    def close(self) -> None:
        """Cancels the generator; what was not read is dropped. From any thread; twice changes nothing."""
    def aclose(self) -> Coroutine[Any, Any, None]:
        """The same, to be awaited."""
    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(self, _kind: object, _value: object, _traceback: object) -> Coroutine[Any, Any, None]: ...
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class Step(Generic[_T_co]):
    """A call that is to be made as a part of a graph: a reference to its result, to give to other steps or to `run`.

    Made by `caller.step(...)`. `step["rows"]`, `step[0]` and `step[-1]` refer to a key, field or index of the result, as steps of
    their own. Compares by identity. Length, truth, iteration and `in` are a `TypeError`: the result is not there yet.
    """

    # A name or number is looked up in the result, whose type is known where it is made only.
    def __getitem__(self, key: str | int, /) -> Step[Any]: ...
    # Each raises a `TypeError` that says what to do; as None they are errors for type checkers, too.
    __iter__: None
    __contains__: None
    __len__: None
    def __bool__(self) -> NoReturn: ...
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@disjoint_base
class _Endpoint:
    """Base of the two below; subclassed by Python. `__new__` takes and ignores any arguments.

    Made in another process (fork), every use is `ConfigError` ("made before fork; create it in the child").
    """

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self: ...
    def _attach(self, core: NodeCore | ClientCore, timeout: float) -> None:
        """Calls go through `core` from now on, also those of handles made earlier; `timeout` is their default deadline."""
    def _detach(self, why: str) -> None:
        """Calls raise `ConnectionLostError(why)` at once, `executed="no"`. So it begins, with an empty reason."""
    def _prepare(self, target: Any, /) -> RemoteCore:
        """Written in Python: the handle with default options for a name or function object.

        `call` caches what it returns in a dict keyed by the target (strings by value, functions by identity, bound
        methods by function and object: just their own hash), at most 10,000 per caller; then it starts anew.
        """
    def _run_events(
        self, steps: list[Step[Any]], finish: _Finish, classes: Mapping[str, type[Any]], /, *, timeout: float | None
    ) -> Stream[Any]:
        """Hands a graph to its coordinator and reads, on this loop, what happens: an instance of one of the classes each.

        `classes`: `started(name, node)`, `finished(name, node, seconds, value)`, `failed(name, error)`, and last
        `ended(finish(values, facts))`.
        """
    @overload
    def step(self, target: Callable[..., Coroutine[Any, Any, _R]], /, *args: Any, **kwargs: Any) -> Step[_R]:
        """A call as a step of a graph, for `run` or as an argument of other steps. Nothing is sent yet.

        By function object or name, with the function's own arguments; options stand in `remote(...).step(...)`. Steps may stand
        anywhere among the arguments, also inside lists, tuples and dicts. Arguments are encoded at once: those that do not fit
        the signature of a function object are a `TypeError`, a value that cannot be sent is an `EncodeError`.
        """
    @overload
    def step(self, target: Callable[..., _R], /, *args: Any, **kwargs: Any) -> Step[_R]: ...
    @overload
    def step(self, target: str, /, *args: Any, **kwargs: Any) -> Step[Any]: ...
    def _request(self, verb: str, body: Mapping[str, Any], timeout: float) -> Call[Any]:
        """Looks: a node answers from memory, a client asks its entry node. Plain values in and out.

        Nodes and clusters are given as users see them; what does not apply is absent. A *selection* is `name` or `id`,
        `version`, `resources` (list), `cluster`, `contract`, all but the first optional.

        catalog   {"kind": "function", "function"?: glob, "resources"?: [..], "cluster"?} -> [entry]
                  entry = {name, id, version, node, cluster, resources, tags, scope, signature, doc}
                  kind "node" -> [member]
        describe  {"name"} -> {name, id, signature, doc, versions: [..], resources: [..], entries: [entry]}
        explain   selection + {"sticky"?} -> {chosen: node or None, snapshot: int, candidates: [{node, cluster, version,
                  score: float or None, chosen: bool, reason, route: [..]}]}
        members   {} -> [{id, name, instance, cluster, state, stack, reason, address, declared: bool}]
        wait_for  selection + {"nodes"} -> {"nodes": [..]}; answers when there are that many candidates, else deadline_exceeded
        watch     {"pattern", "token"?: str} -> {"token": str, "reset": bool, "changes": [{what, entry}]}; long poll: answers at
                  the first change after `token`, or empty after 10 s. Without a token, or with one that is too old or of
                  another node, `reset` is true and `changes` lists every entry there is as "added". `what`: "added", "changed",
                  "removed", "conflict".
        ping      {} -> {"node", "version"}
        """
    def _request_blocking(self, verb: str, body: Mapping[str, Any], timeout: float) -> Any:
        """The same for a thread: releases the GIL, looks for signals every 100 ms, cancels on KeyboardInterrupt."""

class CallerCore(_Endpoint):
    """Base of `Node` and `Client`."""

    def call(self, target: Any, /, *args: Any, **kwargs: Any) -> Call[Any]:
        """Hot. `ConfigError` on a thread without a running loop, naming `SyncClient` and `ctx.sync`."""
    def stream(self, target: Any, /, *args: Any, **kwargs: Any) -> Stream[Any]:
        """The same for the items of a generator."""
    def _run_graph(
        self, steps: list[Step[Any]], finish: _Finish, /, *, report: bool, timeout: float | None
    ) -> Call[Any]:
        """Hands a graph to its coordinator. What `finish(values, facts)` returns is the result of the call.

        `facts`, if there is a report: {"steps": [{"name", "node", "cluster", "began_us", "ended_us", "bytes", "after"}],
        "critical_path": [index], "hops", "total_us"}, else None. `timeout` None: as `_attach` said.
        """

class BlockingCore(_Endpoint):
    """Base of `SyncClient` and of `ctx.sync`."""

    def call(self, target: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Hot. Blocks as `_request_blocking` does. On a thread whose running loop runs handlers: `ConfigError`."""
    def _run_graph(self, steps: list[Step[Any]], finish: _Finish, /, *, report: bool, timeout: float | None) -> Any:
        """The same, blocking."""

@disjoint_base
class RemoteCore:
    """A function and how to call it, prepared once; immutable, for all threads. Subclassed by Python."""

    def __new__(
        cls,
        caller: _Endpoint,
        /,
        *,
        name: str | None = None,  # either this
        id: str | None = None,  # or this
        version: str = "*",
        resources: Iterable[str] | None = None,
        cluster: str | None = None,  # None: own first; "*": any
        contract: str | None = None,  # as in `Registration.contract`
        timeout: float | None = None,  # None: as `_attach` said
        max_hops: int | None = None,
        retries: int = 2,
        wait: float = 0.5,
        sticky: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        convert: Converter | None = None,  # of the result: what `_hints.compile` returned
        raises: tuple[type[BaseException], ...] | None = None,
        idempotent: bool = False,  # the function object was declared so; a catalog at hand knows better
        check: Callable[..., object] | None = None,  # takes a step's arguments: `TypeError` unless they fit
    ) -> Self:
        """Names, version and resources are parsed here: `ConfigError` before any I/O."""
    def call(self, /, *args: Any, **kwargs: Any) -> Call[Any]: ...
    def call_blocking(self, /, *args: Any, **kwargs: Any) -> Any: ...
    def open_stream(self, /, *args: Any, **kwargs: Any) -> Stream[Any]: ...
    def step(self, /, *args: Any, **kwargs: Any) -> Step[Any]:
        """Binds (`check`) and encodes the arguments at once; steps among them are left out and remembered."""
    def candidates(self) -> Call[list[RemoteCore]]:
        """For `call_all`: a handle for each candidate known now (`Target::Direct`, no retries elsewhere).

        Waits up to `wait` for the first one, then `FunctionNotFoundError`, as a call does.
        """
    def candidates_blocking(self) -> list[RemoteCore]: ...
    def with_outcome(self, make: Callable[[str | None, Any], Any]) -> RemoteCore:
        """The same handle; a call that returned gives `make(node, result)`, with who answered."""
    @property
    def node(self) -> str | None:
        """As users see it, for what `candidates` returned; else None."""

# --- offering ---------------------------------------------------------------------------------------------------------

class _Parameter(Protocol):
    """One parameter as the caller sees it (the `Context` is left out)."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> int:
        """`inspect.Parameter.kind`: 0 positional only, 1 either, 2 *args, 3 keyword only, 4 **kwargs."""
    @property
    def required(self) -> bool: ...
    @property
    def convert(self) -> Converter | None:
        """What `_hints.compile` returned for its annotation (for 2 and 4: of each item)."""

class _Registration(Protocol):
    """All that Rust reads of a function when it is registered (`mpreg._functions.Registration`)."""

    @property
    def name(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def resources(self) -> frozenset[str]: ...
    @property
    def tags(self) -> Mapping[str, str]: ...
    @property
    def scope(self) -> Literal["local", "cluster", "global"]: ...
    @property
    def idempotent(self) -> bool: ...
    @property
    def concurrency(self) -> int | None: ...
    @property
    def timeout(self) -> float | None: ...
    @property
    def contract(self) -> str:
        """Parameter names, kinds, presence of defaults, annotations and return as written: SHA-256 of it is the hash."""
    @property
    def signature(self) -> str: ...
    @property
    def doc(self) -> str: ...
    @property
    def mode(self) -> Literal["async", "thread", "inline"]: ...
    @property
    def streaming(self) -> bool:
        """A generator: its answer is a stream of items."""
    @property
    def pump(self) -> Callable[..., Coroutine[Any, Any, None]] | None:
        """Of an asynchronous generator: `pump(generator, push)` is the coroutine that drives it."""
    @property
    def function(self) -> Callable[..., Any]: ...
    @property
    def make_context(self) -> Callable[[CallContext], object] | None:
        """If set, its result is the first argument."""
    @property
    def parameters(self) -> tuple[_Parameter, ...]:
        """Arguments are bound by this before anything starts: misfit = `bad_arguments` (`RemoteError` + `TypeError`)."""
    @property
    def raises(self) -> tuple[type[BaseException], ...]: ...

@final
class NodeCore:
    """One start of a node. Handlers run on the loop that called `start`."""

    def __new__(cls, settings: Mapping[str, Any]) -> Self:
        """`mpreg._sources.node_settings`: every field is there, defaults filled in. Parses addresses; no I/O, no thread."""
    def register(self, registration: _Registration) -> None:
        """Any thread, before or after `start`; callable from this node when it returns."""
    def remove(self, name: str, version: str) -> None:
        """Running calls finish."""
    def start(self) -> Call[None]:
        """Binds, announces, joins: returns when joined, or alone after at most 3 s. `ConfigError` for a port in use."""
    def stop(self, reason: str) -> Call[None]:
        """Drains, says GOODBYE, closes. Twice changes nothing."""
    def ended(self) -> Call[None]:
        """Done when the node has stopped; raises the `ConfigError` that ended it (a fixed instance claimed twice)."""
    @property
    def id(self) -> str:
        """`name/instance`."""
    @property
    def instance(self) -> str: ...
    @property
    def address(self) -> str:
        """Where it listens, with the real port; "" before `start`."""
    # For `mpreg.testing` only.
    def fingerprint(self) -> str:
        """Equal on two nodes that see the same members and the same catalog; empty until calls go by what is seen."""
    def kill(self) -> None:
        """Connections break without a word, as by `kill -9`; nothing drains."""
    def pause(self, paused: bool) -> None:
        """As SIGSTOP and SIGCONT: nothing is read, written or timed meanwhile."""
    def block(self, other: NodeCore, blocked: bool) -> None:
        """Both ways: what is under way between the two is lost, connections break, dials are refused silently."""
    def slow(self, other: NodeCore, seconds: float) -> None:
        """What this node sends to `other` arrives that much later."""

@final
class ClientCore:
    """A client's connections and call tables."""

    def __new__(cls, settings: Mapping[str, Any]) -> Self:
        """`mpreg._sources.client_settings`: `addresses`, `token`, and the fields of the config. Parses addresses; no I/O."""
    def open(self) -> Call[None]:
        """Tries all addresses for 5 s, then `ConnectionLostError` that names each try."""
    def open_blocking(self) -> None: ...
    def close(self) -> Call[None]: ...
    def close_blocking(self) -> None: ...
    @property
    def entry(self) -> str | None:
        """The node it is connected to, as users see it."""
