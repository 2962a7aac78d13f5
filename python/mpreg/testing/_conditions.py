"""Waiting on conditions instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.05


async def wait_for(
    condition: Callable[[], Any],
    *,
    timeout: float = 10.0,  # noqa: ASYNC109 - the error says what was waited for
    what: str = "",
) -> Any:
    """Returns the first true value of `condition()` (awaited if need be); `AssertionError` that names it after `timeout` seconds.

    `what` is the name for that message, by default the condition's own.
    """
    end = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() >= end:
            label = what or getattr(condition, "__qualname__", repr(condition))
            raise AssertionError(f"not true within {timeout:g} s: {label} (last value: {value!r})")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def free_port() -> int:
    """A port nobody listens on now; only for foreign programs that cannot take port 0. Another one may be faster."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
