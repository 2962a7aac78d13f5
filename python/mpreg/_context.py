"""What a function learns about the call it serves."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any, Protocol

from mpreg._errors import CancelledByPeerError, ConfigError, DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from mpreg._node import Node
    from mpreg._sync import SyncCaller

_progress_log = logging.getLogger("mpreg.progress")


class CallFacts(Protocol):
    """What a `Context` is made from: the extension's `CallContext`, or the test kit's stand-in."""

    @property
    def call_id(self) -> str: ...
    @property
    def function(self) -> str: ...
    @property
    def caller(self) -> str: ...
    @property
    def cluster(self) -> str: ...
    @property
    def path(self) -> tuple[str, ...]: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def remaining(self) -> float: ...
    @property
    def cancelled(self) -> bool: ...


class Context:
    """The call being served. A function asks for it by annotating its first parameter:

    `async def train(ctx: mpreg.Context, model: str) -> str: ...`. Callers do not see that parameter. Calls made while
    the function runs inherit deadline, trace and metadata, whether or not it asked.
    """

    __slots__ = ("__weakref__", "_facts", "_node", "_state")

    def __init__(self, facts: CallFacts, node: Node | None, state: Any) -> None:
        self._facts = facts
        self._node = node
        self._state = state

    def __repr__(self) -> str:
        return f"<Context of {self.function} for {self.caller}, {self.remaining:.3f} s left>"

    @property
    def node(self) -> Node:
        """The node that runs this function; for calls from an `async def`."""
        if self._node is None:
            raise ConfigError("this Context was made without a node: mpreg.testing.context(node=...)")
        return self._node

    @property
    def sync(self) -> SyncCaller:
        """The node's calling surface without `await`, for plain functions in worker threads; on a loop, `ConfigError`."""
        if _on_a_loop():
            raise ConfigError("ctx.sync would block the event loop: use `await ctx.node.call(...)` here")
        return self.node.blocking

    @property
    def state(self) -> Any:
        """What the node's lifespan yielded, in this process."""
        return self._state

    @property
    def call_id(self) -> str:
        """The same for all attempts of one call."""
        return self._facts.call_id

    @property
    def function(self) -> str:
        """The name it was called by."""
        return self._facts.function

    @property
    def caller(self) -> str:
        """`cluster/name/instance` of a node, `cluster/name` of a client."""
        return self._facts.caller

    @property
    def cluster(self) -> str:
        """Where the call began."""
        return self._facts.cluster

    @property
    def path(self) -> tuple[str, ...]:
        """Clusters walked, origin first; empty within one cluster."""
        return tuple(self._facts.path)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the caller gave as `metadata=`, strings by name."""
        return self._facts.metadata

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, never below 0."""
        return self._facts.remaining

    @property
    def cancelled(self) -> bool:
        """The caller gave up or the deadline passed. Only threads need to look: an `async def` is cancelled."""
        return self._facts.cancelled

    def check(self) -> None:
        """Raises `DeadlineExceededError` or `CancelledByPeerError` if nobody waits for the result any more."""
        if self._facts.remaining <= 0:
            raise DeadlineExceededError(f"the deadline of {self.function} passed while it ran", executed="yes")
        if self._facts.cancelled:
            raise CancelledByPeerError(f"the caller of {self.function} gave up", executed="yes")

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Says how far the function is; a line of the logger `mpreg.progress` at level DEBUG."""
        _progress_log.debug("%s: %s of %s %s", self.function, done, "?" if total is None else total, note)


@contextlib.contextmanager
def detached() -> Generator[None]:
    """Calls made inside inherit neither deadline nor trace nor metadata, so they may outlive the handler."""
    from mpreg._native import native

    token = native.ambient.set(None)
    try:
        yield
    finally:
        native.ambient.reset(token)


def _on_a_loop() -> bool:
    # Without asyncio in the process no loop can run on this thread.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
