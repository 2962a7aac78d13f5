"""mpreg: call any Python function anywhere in your fleet.

Every name is loaded at its first use (PEP 562), so importing mpreg costs next to nothing and starts nothing.
"""

from __future__ import annotations

# Type checkers know this name; importing it from `typing` would cost twenty times what the rest of this file does.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, Final

    from mpreg._caller import Caller, Remote
    from mpreg._client import Client, connect
    from mpreg._config import Config
    from mpreg._context import Context, detached
    from mpreg._errors import (
        AuthError,
        CacheError,
        CallError,
        CancelledByPeerError,
        ConfigError,
        ConnectionLostError,
        ConsensusError,
        DeadlineExceededError,
        DecodeError,
        EncodeError,
        FunctionNotFoundError,
        GraphError,
        HopBudgetExhaustedError,
        MpregError,
        NoRouteError,
        OverloadedError,
        PayloadError,
        PermissionDeniedError,
        QueueError,
        RemoteError,
        RouteLoopError,
        TooLargeError,
    )
    from mpreg._events import RunEvent, RunFinished, StepFailed, StepFinished, StepStarted
    from mpreg._functions import Functions
    from mpreg._graph import RunReport, StepReport
    from mpreg._logging import LogContext
    from mpreg._map import Map, SyncMap
    from mpreg._mpreg import Call, Step, Stream, __version__
    from mpreg._node import Node
    from mpreg._outcome import Outcome
    from mpreg._streams import SyncStream
    from mpreg._sync import SyncCaller, SyncClient, SyncRemote
    from mpreg._views import (
        Candidate,
        Change,
        ConnectionStats,
        Explanation,
        FunctionDescription,
        FunctionEntry,
        FunctionStats,
        Member,
        NodeStats,
    )
    from mpreg._watch import SyncWatch, Watch

__all__ = [
    "AuthError",
    "CacheError",
    "Call",
    "CallError",
    "Caller",
    "CancelledByPeerError",
    "Candidate",
    "Change",
    "Client",
    "Config",
    "ConfigError",
    "ConnectionLostError",
    "ConnectionStats",
    "ConsensusError",
    "Context",
    "DeadlineExceededError",
    "DecodeError",
    "EncodeError",
    "Explanation",
    "FunctionDescription",
    "FunctionEntry",
    "FunctionNotFoundError",
    "FunctionStats",
    "Functions",
    "GraphError",
    "HopBudgetExhaustedError",
    "LogContext",
    "Map",
    "Member",
    "MpregError",
    "NoRouteError",
    "Node",
    "NodeStats",
    "Outcome",
    "OverloadedError",
    "PayloadError",
    "PermissionDeniedError",
    "QueueError",
    "Remote",
    "RemoteError",
    "RouteLoopError",
    "RunEvent",
    "RunFinished",
    "RunReport",
    "Step",
    "StepFailed",
    "StepFinished",
    "StepReport",
    "StepStarted",
    "Stream",
    "SyncCaller",
    "SyncClient",
    "SyncMap",
    "SyncRemote",
    "SyncStream",
    "SyncWatch",
    "TooLargeError",
    "Watch",
    "__version__",
    "connect",
    "detached",
]

# Where each name lives; all other names are errors of `_errors`.
_HOMES: Final = {
    "_caller": ("Caller", "Remote"),
    "_client": ("Client", "connect"),
    "_config": ("Config",),
    "_context": ("Context", "detached"),
    "_events": ("RunEvent", "RunFinished", "StepFailed", "StepFinished", "StepStarted"),
    "_functions": ("Functions",),
    "_graph": ("RunReport", "StepReport"),
    "_logging": ("LogContext",),
    "_map": ("Map", "SyncMap"),
    "_mpreg": ("Call", "Step", "Stream", "__version__"),
    "_node": ("Node",),
    "_outcome": ("Outcome",),
    "_streams": ("SyncStream",),
    "_sync": ("SyncCaller", "SyncClient", "SyncRemote"),
    "_views": (
        "Candidate",
        "Change",
        "ConnectionStats",
        "Explanation",
        "FunctionDescription",
        "FunctionEntry",
        "FunctionStats",
        "Member",
        "NodeStats",
    ),
    "_watch": ("SyncWatch", "Watch"),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mpreg' has no attribute {name!r}")
    import importlib

    module = importlib.import_module(f"mpreg.{_HOME_OF.get(name, '_errors')}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
