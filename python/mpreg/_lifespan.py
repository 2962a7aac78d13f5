"""A node's lifespan: entered and left by one task of its own.

`start` and `stop` may be called by different tasks, but what users write inside a lifespan (task groups, timeouts) must
end in the task that began it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any, cast

from mpreg._errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

_log = logging.getLogger("mpreg.node")


def checked(lifespan: Any) -> Callable[[], AbstractAsyncContextManager[Any]] | None:
    """An async context manager function, or None."""
    if lifespan is None:
        return None
    if inspect.isasyncgenfunction(lifespan) or not callable(lifespan):
        raise ConfigError("lifespan takes an async context manager function: put @contextlib.asynccontextmanager on it")
    return cast("Callable[[], AbstractAsyncContextManager[Any]]", lifespan)


class Lifespan:
    """One entry of a lifespan."""

    def __init__(self, open_: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._open = open_
        self._leave = asyncio.Event()
        self._entered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(), name="mpreg-lifespan")

    async def enter(self) -> Any:
        """What it yields; its own error if it fails before."""
        try:
            await asyncio.wait({self._task, self._entered}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if self._entered.done():
            self._task.add_done_callback(self._tell_early_end)
            return self._entered.result()
        self._entered.cancel()
        await self._task
        raise ConfigError("the lifespan ended without a yield")

    async def leave(self) -> None:
        """Runs what stands after the yield."""
        self._leave.set()
        await self._task

    async def _live(self) -> None:
        async with self._open() as state:
            self._entered.set_result(state)
            await self._leave.wait()

    def _tell_early_end(self, task: asyncio.Task[None]) -> None:
        if not self._leave.is_set():
            error = None if task.cancelled() else task.exception()
            _log.error(
                "the lifespan ended while its node was running; it is raised when the node stops", exc_info=error
            )
