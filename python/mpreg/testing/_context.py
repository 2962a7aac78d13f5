"""A `Context` for unit tests of a function, without any mesh."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from mpreg._context import Context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpreg._node import Node


@dataclasses.dataclass
class _Facts:
    call_id: str
    function: str
    caller: str
    cluster: str
    path: tuple[str, ...]
    metadata: Mapping[str, Any]
    cancelled: bool
    deadline: float

    @property
    def remaining(self) -> float:
        return max(0.0, self.deadline - time.monotonic())


def context(
    *,
    state: Any = None,
    node: Node | None = None,
    function: str = "test",
    caller: str = "default/test/000000",
    cluster: str = "default",
    metadata: Mapping[str, Any] | None = None,
    timeout: float = 30.0,
    cancelled: bool = False,
) -> Context:
    """`await train(mpreg.testing.context(state=State(...)), "model")` calls a function as a node would.

    `timeout` is what `ctx.remaining` begins with, in seconds; with 0, or `cancelled=True`, `ctx.check()` raises. Without `node`,
    `ctx.node` and `ctx.sync` are a `ConfigError`.
    """
    deadline = time.monotonic() + timeout
    facts = _Facts("test-call", function, caller, cluster, (), dict(metadata or {}), cancelled, deadline)
    return Context(facts, node, state)
