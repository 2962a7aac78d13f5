"""Every error of mpreg.

    MpregError
    ├── ConfigError              (also ValueError)       names, settings or arguments are wrong; nothing was sent
    ├── ConnectionLostError      (also ConnectionError)  no connection, or it broke
    ├── AuthError                                        a handshake was refused
    ├── CallError
    │   ├── FunctionNotFoundError (also LookupError)     no live candidate for what was asked
    │   ├── NoRouteError                                 the destination cannot be reached from here
    │   ├── HopBudgetExhaustedError                      every route crosses more borders than allowed
    │   ├── RouteLoopError                               the call came back to where it had been
    │   ├── DeadlineExceededError (also TimeoutError)    the deadline passed
    │   ├── OverloadedError                              a limit refused the call before it started
    │   ├── CancelledByPeerError                         the callee cancelled it
    │   ├── PermissionDeniedError (also PermissionError) rules or trust forbid it
    │   ├── RemoteError          (also what was raised)  the function raised
    │   └── GraphError                                   a step of a call graph failed
    ├── PayloadError
    │   ├── EncodeError                                  a value cannot be sent
    │   ├── DecodeError                                  a value cannot be read, or does not fit its hint
    │   └── TooLargeError                                a value is larger than allowed
    ├── QueueError
    ├── CacheError
    └── ConsensusError

`except ValueError` around a remote call works: what a function raised comes back as a class that is both
`RemoteError` and the nearest listed builtin, or the class itself if both sides declared it with `raises=[...]`.
Invariant: no class is ever found by a name from the wire; only listed builtins and declared classes are used.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Executed = Literal["no", "yes", "unknown"]

_NOTHING: Final[Mapping[str, Any]] = {}
# As in Rust (`ErrorCode::is_retryable`): another candidate may do better.
_RETRYABLE: Final = frozenset(
    {"connection_lost", "overloaded", "rate_limited", "draining", "wrong_incarnation", "no_route"}
)


class MpregError(Exception):
    """Base of all errors of mpreg. Its message says what to do next."""

    code: str = "internal"
    """What went wrong, in snake case ("function_not_found"); for programs, logs and metrics."""
    executed: Executed = "unknown"
    """Whether the function ran: "no" (provably not started), "yes", or "unknown"."""
    node: str | None = None
    """The node that answered, was lost or let the deadline pass ("eu/pricing/7f3a90").

    None: the call never left, or at a deadline the client did not hear which node has it.
    """
    path: tuple[str, ...] = ()
    """Where the call went: clusters walked, a client's entry node, and the nodes tried, in order."""
    ledger: Mapping[str, float] = _NOTHING
    """Seconds by stage: `queue` (no candidate, no credit, no free slot), `wire` (both ways, with what nobody could tell),
    `interpreter` (no free thread), `loop` (it was busy), `handler` (the function with all it waited for)."""
    attempts: int = 0
    """How often the call was sent, by a client to its entry node; 0 if it never left."""
    retry_after: float | None = None
    """Seconds after which a new try makes sense, if that is known."""
    _retryable: bool | None = None

    def __init__(self, message: str = "", **fields: Any) -> None:
        # Not `super()`: behind a declared class it would be the user's own `__init__`, with arguments we cannot know.
        Exception.__init__(self, message)
        self._message = message
        for name, value in fields.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        # KeyError would show quotes, OSError an errno.
        return self._message

    @property
    def retryable(self) -> bool:
        """Calling again is safe and may succeed."""
        if self._retryable is not None:
            # Who made the call knows more: that the function is idempotent.
            return self._retryable
        return self.executed == "no" and self.code in _RETRYABLE


class ConfigError(MpregError, ValueError):
    """Names, settings or arguments are wrong; nothing was sent."""

    code = "config"
    executed = "no"


class ConnectionLostError(MpregError, ConnectionError):
    """No connection, or it broke. A client or node that is closed or not started raises it at once, with `executed` "no"."""

    code = "connection_lost"


class AuthError(MpregError):
    """A handshake was refused; the message names the remedy."""

    code = "auth"
    executed = "no"


class CallError(MpregError):
    """A call failed."""


class FunctionNotFoundError(CallError, LookupError):
    """No live candidate for what was asked. The message says what there is, and the nearest names."""

    code = "function_not_found"
    executed = "no"


class NoRouteError(CallError):
    """The destination cannot be reached from here, as is every other cluster in this version."""

    code = "no_route"
    executed = "no"


class HopBudgetExhaustedError(CallError):
    """Every route crosses more borders than `max_hops` allows. Calls between clusters are not there yet."""

    code = "hop_budget_exhausted"
    executed = "no"


class RouteLoopError(CallError):
    """The call came back to where it had been."""

    code = "route_loop"
    executed = "no"


class DeadlineExceededError(CallError, TimeoutError):
    """The deadline passed; `executed` says what is known of the function."""

    code = "deadline_exceeded"


class OverloadedError(CallError):
    """A limit refused the call before it started. `code` may also be "rate_limited" or "draining"."""

    code = "overloaded"
    executed = "no"


class CancelledByPeerError(CallError):
    """The callee cancelled the call."""

    code = "cancelled_by_peer"


class PermissionDeniedError(CallError, PermissionError):
    """Rules or trust forbid it; the message names what to add. Rules are not there yet."""

    code = "permission_denied"
    executed = "no"


class RemoteError(CallError):
    """The function raised. Also an instance of what it raised: `except ValueError` works.

    With `code` "bad_arguments" and `executed` "no" the arguments did not fit the signature; it is a `TypeError`, too.
    """

    code = "remote"
    executed = "yes"
    type_name: str = "Exception"
    """The class as the callee names it ("shop.OutOfStock")."""
    data: tuple[Any, ...] | None = None
    """The exception's `args`, or None if they could not be sent."""
    traceback: str | None = None
    """The callee's traceback as text, within one cluster."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The class was made here and has no name to import; it is made again from what it stands for.
        state = {**self.__dict__, **_os_error_state(self)}
        return (_rebuild, (type(self).__bases__[-1], self._message, self.args, state))


class GraphError(CallError):
    """A step of a call graph failed; its own error is `__cause__`. `executed`, `node` and `attempts` are that step's."""

    code = "graph"
    step: str | None = None
    """The name of its function. None: it is not known which one, as when the run's deadline passed here first; then the
    cause is a `DeadlineExceededError`."""


class PayloadError(MpregError):
    """A value cannot travel; the message names the path inside it."""


class EncodeError(PayloadError):
    """A value cannot be sent: its type, or how deep it nests. Of a result, `executed` is "yes"."""

    code = "encode"
    executed = "no"


class DecodeError(PayloadError):
    """A value cannot be read, or does not fit its hint. Of an argument, `executed` is "no", of a result "yes"."""

    code = "decode"


class TooLargeError(PayloadError):
    """A value is larger than allowed: `max_value_bytes`, here or there. Of a result, `executed` is "yes"."""

    code = "too_large"
    executed = "no"


class QueueError(MpregError):
    """A queue refused or lost something. Queues are not there yet."""

    code = "queue"


class CacheError(MpregError):
    """A cache refused something. Caches are not there yet."""

    code = "cache"


class ConsensusError(MpregError):
    """No majority, or a lease was lost. Consensus is not there yet."""

    code = "consensus"


_CLASS_OF_CODE: Final[Mapping[str, type[MpregError]]] = {
    "config": ConfigError,
    "connection_lost": ConnectionLostError,
    "auth": AuthError,
    "function_not_found": FunctionNotFoundError,
    "no_route": NoRouteError,
    "hop_budget_exhausted": HopBudgetExhaustedError,
    "route_loop": RouteLoopError,
    "deadline_exceeded": DeadlineExceededError,
    "overloaded": OverloadedError,
    "rate_limited": OverloadedError,
    "draining": OverloadedError,
    "wrong_incarnation": ConnectionLostError,
    "cancelled_by_peer": CancelledByPeerError,
    "permission_denied": PermissionDeniedError,
    "graph": GraphError,
    "result_lost": CallError,
    "encode": EncodeError,
    "decode": DecodeError,
    "too_large": TooLargeError,
    "wrong_verb": ConfigError,
    "internal": CallError,
}

# Nearest first is decided by the raised class's own order of bases, so the order here means nothing.
_BUILTIN_BASES: Final[Mapping[str, type[Exception]]] = {
    base.__name__: base
    for base in (
        ValueError, TypeError, LookupError, KeyError, IndexError, AttributeError, ArithmeticError, ZeroDivisionError,
        OverflowError, RuntimeError, NotImplementedError, AssertionError, OSError, FileNotFoundError, PermissionError,
        ConnectionError, TimeoutError, EOFError,
    )
}  # fmt: skip

_OS_ERROR_STATE: Final = ("errno", "strerror", "filename", "filename2")
_classes: Final[dict[type[BaseException], type[RemoteError]]] = {}


def make_error(code: str, fields: dict[str, Any]) -> MpregError:
    """The exception for an error of the mesh, from the plain fields Rust knows. Called only when it is raised."""
    fields = dict(fields)
    message: str = fields.pop("message", "") or code.replace("_", " ")
    fields["path"] = tuple(fields.get("path", ()))
    fields["_retryable"] = fields.pop("retryable", None)
    if code in {"remote", "bad_arguments"}:
        return _make_remote(code, message, fields)
    for name in ("type_name", "base", "raises", "traceback", "data", "declared"):
        fields.pop(name, None)
    return _CLASS_OF_CODE.get(code, CallError)(message, code=code, **fields)


def describe_exception(error: BaseException, declared: Sequence[type[BaseException]]) -> dict[str, Any]:
    """What the caller needs to raise `error` again: the callee's half of `make_error`."""
    import traceback

    args, state = error.args, _state_of(error, declared)
    return {
        "message": _text_of(error),
        "type_name": _name_of(type(error)),
        "base": next((c.__name__ for c in type(error).__mro__ if _BUILTIN_BASES.get(c.__name__) is c), None),
        "raises": [_name_of(c) for c in type(error).__mro__ if c in declared],
        "traceback": "".join(traceback.format_exception(error)),
        "data": ({"args": args, "state": state}, {"args": args, "state": {}}),
    }


def _make_remote(code: str, message: str, fields: dict[str, Any]) -> RemoteError:
    data: dict[str, Any] = fields.pop("data", None) or {}
    declared: tuple[type[BaseException], ...] = fields.pop("declared", ())
    raises: list[str] = fields.pop("raises", [])
    base: type[BaseException] | None = _BUILTIN_BASES.get(fields.pop("base", None) or "")
    if code == "bad_arguments":
        base = TypeError
        fields.setdefault("executed", "no")
    known = _declared_class(raises, declared)
    error = _instance(known, message) if known else None
    error = error or _instance(base, message) or RemoteError(message)
    for name, value in data.get("state", {}).items():
        # State of a class that is not declared here means nothing here; `errno` does.
        if known or name in _OS_ERROR_STATE:
            setattr(error, name, value)
    for name, value in {**fields, "code": code}.items():
        setattr(error, name, value)
    if "args" in data:
        error.data = error.args = tuple(data["args"])
    _add_notes(error)
    return error


def _declared_class(raises: Sequence[str], declared: Sequence[type[BaseException]]) -> type[BaseException] | None:
    """The nearest declared class that the callee declared too.

    A script's classes live in `__main__` on one side only, so the name inside the module decides when no full name fits.
    """
    by_name = {c.__qualname__: c for c in reversed(declared)} | {_name_of(c): c for c in reversed(declared)}
    names = [name for full in raises for name in (full, full.rpartition(".")[2])]
    return next((by_name[name] for name in names if name in by_name), None)


def _remote_class(base: type[BaseException]) -> type[RemoteError]:
    made = _classes.get(base)
    if made is None:
        space = {"__module__": base.__module__ if base.__module__ != "builtins" else "mpreg", "__doc__": base.__doc__}
        made = _classes[base] = type(base.__name__, (RemoteError, base), space)
    return made


def _instance(base: type[BaseException] | None, message: str) -> RemoteError | None:
    if base is None:
        return None
    try:
        return _remote_class(base)(message)
    except Exception:  # noqa: BLE001 - a class that cannot be combined or made so: then the next base will do
        return None


def _rebuild(base: type[BaseException], message: str, args: tuple[Any, ...], state: dict[str, Any]) -> RemoteError:
    error = (_instance(base, message) if base is not CallError else None) or RemoteError(message)
    for name, value in state.items():
        setattr(error, name, value)
    error.args = args
    return error


def _add_notes(error: RemoteError) -> None:
    """Where it came from, shown by Python below the local traceback; the message stays what the function said."""
    if error.node:
        did = f"raised as {error.type_name} on" if error.code == "remote" else "refused by"
        error.add_note(f"{did} {error.node}")
    if error.traceback:
        error.add_note("".join(f"  | {line}\n" for line in error.traceback.splitlines()).rstrip())


def _name_of(cls: type[BaseException]) -> str:
    return cls.__qualname__ if cls.__module__ == builtins.__name__ else f"{cls.__module__}.{cls.__qualname__}"


def _text_of(error: BaseException) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - a user's own `__str__`
        return type(error).__name__


def _state_of(error: BaseException, declared: Sequence[type[BaseException]]) -> dict[str, Any]:
    state = _os_error_state(error)
    if isinstance(error, tuple(declared)):
        state |= {name: value for name, value in vars(error).items() if not name.startswith("_")}
    return state


def _os_error_state(error: BaseException) -> dict[str, Any]:
    """What an `OSError` keeps beside its arguments and its `__dict__`."""
    if not isinstance(error, OSError):
        return {}
    return {name: value for name in _OS_ERROR_STATE if (value := getattr(error, name, None)) is not None}
