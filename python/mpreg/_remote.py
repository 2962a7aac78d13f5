"""A function and how to call it: options stand here, so that every keyword of a call goes to the function."""

from __future__ import annotations

import collections
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypedDict, TypeVar, cast, overload

from mpreg import _mpreg
from mpreg._errors import ConfigError, EncodeError, MpregError
from mpreg._fields import TIMEOUT_MAX, hint, integer, resource_names, seconds, strings
from mpreg._functions import mark_of
from mpreg._native import native
from mpreg._outcome import Outcome
from mpreg._signature import Signature

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from mpreg._mpreg import BlockingCore, Call, CallerCore, Converter, Step, Stream

_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)
_T = TypeVar("_T")
_RemoteT = TypeVar("_RemoteT", bound="native.RemoteCore")

MAX_HOPS: Final = 16
RETRIES_MAX: Final = 100
NOT_GIVEN: Final = object()


class SelectionOptions(TypedDict, total=False):
    """Which candidates will do."""

    resources: Iterable[str]
    version: str
    cluster: str | None


class RemoteOptions(SelectionOptions, total=False):
    """The keywords of `remote(...)`."""

    timeout: float | None
    max_hops: int | None
    retries: int
    wait: float
    sticky: str | int | None
    metadata: Mapping[str, Any] | None


class Remote(native.RemoteCore, Generic[_P, _R_co]):
    """What `caller.remote(...)` returns: call it like the function. Immutable; good for any number of calls and loops."""

    if TYPE_CHECKING:

        def __call__(self, /, *args: _P.args, **kwargs: _P.kwargs) -> Call[_R_co]:
            """Sends the call; await what it returns. Raises as `Caller.call` does."""
            ...

        # A parameter takes a step in place of its value, so the arguments have no types of their own.
        def step(self, /, *args: Any, **kwargs: Any) -> Step[_R_co]:
            """The call as a step of a graph, for `run` or as an argument of other steps. Nothing is sent yet."""
            ...
    else:
        __call__ = native.RemoteCore.call

    if TYPE_CHECKING:

        @overload
        def stream(
            self: Remote[_P, AsyncIterator[_T] | Iterator[_T]], /, *args: _P.args, **kwargs: _P.kwargs
        ) -> Stream[_T]: ...
        @overload
        def stream(self, /, *args: _P.args, **kwargs: _P.kwargs) -> Stream[_R_co]: ...
        def stream(self, /, *args: Any, **kwargs: Any) -> Any:
            """Asks for the items of a generator; `async for` over what it returns."""
            ...
    else:
        stream = native.RemoteCore.open_stream

    async def call_all(self, /, *args: _P.args, **kwargs: _P.kwargs) -> list[Outcome[_R_co]]:
        """Calls every matching node known now, and answers for each; a node that fails is an `Outcome` with its error.

        Nobody there after `wait` is `FunctionNotFoundError`; arguments that cannot be sent are an `EncodeError`.
        """
        return await call_candidates(await self.candidates(), args, kwargs)


async def call_candidates(
    candidates: Iterable[native.RemoteCore], args: Iterable[Any], kwargs: Mapping[str, Any]
) -> list[Outcome[Any]]:
    """Calls all side by side and waits for each; when the waiting is cancelled, so are those left."""
    under_way: collections.deque[tuple[str | None, Call[Any] | MpregError]] = collections.deque()
    done: list[Outcome[Any]] = []
    try:
        for candidate in candidates:
            under_way.append((candidate.node, _sent(candidate, args, kwargs)))
        while under_way:
            node, call = under_way.popleft()
            done.append(await _outcome(node, call))
    finally:
        for _, call in under_way:
            if not isinstance(call, MpregError):
                call.close()
    return done


def _sent(candidate: native.RemoteCore, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Call[Any] | MpregError:
    try:
        return candidate.call(*args, **kwargs)
    except (ConfigError, EncodeError):
        # The same for every node: it is the arguments that are wrong.
        raise
    except MpregError as error:
        return error


async def _outcome(node: str | None, call: Call[Any] | MpregError) -> Outcome[Any]:
    if isinstance(call, MpregError):
        return Outcome(node=node, error=call)
    try:
        return Outcome(node=node, value=await call)
    except Exception as error:  # noqa: BLE001 - whatever the function raised is this node's outcome
        return Outcome(node=node, error=error)


def prepare(
    make: type[_RemoteT],
    caller: CallerCore | BlockingCore,
    target: Any,
    options: Mapping[str, Any],
    returns: Any = NOT_GIVEN,
) -> _RemoteT:
    """A handle for a name or function object with its options checked, before any I/O."""
    given = _checked(options)
    if isinstance(target, str):
        _mpreg.check_name("function", target)
        return make(caller, name=target, convert=_result_hint(returns), **given)
    if isinstance(target, native.RemoteCore):
        raise ConfigError("this is a handle already: call it directly, handle(...)")
    if isinstance(target, types.CoroutineType):
        target.close()
        name: str = target.__name__
        raise ConfigError(f"{name}(...) is a call made here: give the function and its arguments, call({name}, ...)")
    if not callable(target):
        raise ConfigError(f"{target!r} cannot be called: give a function's name, or a function of a node")
    if returns is not NOT_GIVEN:
        raise ConfigError(
            "returns= is for calls by name; a function object says by its return annotation what comes back"
        )
    mark = mark_of(target)
    given.setdefault("version", mark.constraint)
    signature = Signature.of(target)
    return make(
        caller,
        name=mark.name,
        contract=mark.contract,
        convert=signature.convert_result,
        raises=mark.raises,
        idempotent=mark.idempotent,
        check=signature.check,
        **given,
    )


def selection(target: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The same as plain values, for questions about candidates."""
    given = _checked(options)
    chosen = {name: given[name] for name in ("version", "cluster", "sticky") if given.get(name) is not None}
    if "resources" in given:
        chosen["resources"] = list(given["resources"])
    if isinstance(target, str):
        return {"name": _mpreg.check_name("function", target), **chosen}
    mark = mark_of(target)
    return {"name": mark.name, "version": mark.constraint, "contract": mark.contract, **chosen}


def name_of(target: Any) -> str:
    """The name of a function given by name or object."""
    return _mpreg.check_name("function", target) if isinstance(target, str) else mark_of(target).name


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    known = {**SelectionOptions.__annotations__, **RemoteOptions.__annotations__}
    for name in options:
        if name not in known:
            raise ConfigError(f"{name!r} is not an option of remote(){hint(name, known)}")
    return {name: _CHECKS[name](value) for name, value in options.items() if value is not None}


def _metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"metadata takes a mapping of strings, not {value!r}")
    metadata = dict(cast("Mapping[str, Any]", value))
    strings(metadata, "metadata")
    return metadata


def _sticky(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ConfigError(f"sticky takes a string or a whole number, not {value!r}")
    return str(value)


def _version(value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f'version takes a constraint like ">=1.2,<2", not {value!r}')
    return _mpreg.check_constraint(value)


def _cluster(value: Any) -> str:
    return "*" if value == "*" else _mpreg.check_name("cluster", value)


def _seconds(name: str, least: float) -> Callable[[Any], float]:
    return lambda value: seconds(value, name, least=least, most=TIMEOUT_MAX)


def _number(name: str, most: int) -> Callable[[Any], int]:
    return lambda value: integer(value, name, least=0, most=most)


_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "resources": resource_names,
    "version": _version,
    "cluster": _cluster,
    "timeout": _seconds("timeout", 0.001),
    "max_hops": _number("max_hops", MAX_HOPS),
    "retries": _number("retries", RETRIES_MAX),
    "wait": _seconds("wait", 0.0),
    "sticky": _sticky,
    "metadata": _metadata,
}


def _result_hint(returns: Any) -> Converter | None:
    from mpreg._hints import compile as compile_hint

    return None if returns is NOT_GIVEN else compile_hint(returns)
