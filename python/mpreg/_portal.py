"""A loop that threads hand work to: a node's own, or one made when a blocking surface first needs it.

Blocking calls do not come here (Rust serves them without any loop); `submit`, `map` and `call_all` do, because they
have many calls under way at once.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, TypeVar

from mpreg._errors import ConfigError, ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

_T = TypeVar("_T")


class Portal:
    """Runs coroutines for other threads, each in the caller's context."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._loop = loop
        self._thread: threading.Thread | None = None
        self._end: asyncio.Event | None = None
        self._closed = False

    def submit(self, start: Callable[[], Awaitable[_T]]) -> Future[_T]:
        """`start` runs on the loop; its awaitable's result is the future's. Cancelling the future cancels the work."""

        async def run() -> _T:
            return await start()

        work = run()
        try:
            return asyncio.run_coroutine_threadsafe(work, self._running_loop())
        except BaseException:
            work.close()
            raise

    def run(self, start: Callable[[], Awaitable[_T]]) -> _T:
        """Waits for it; Ctrl-C cancels the work."""
        future = self.submit(start)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancels what is left and ends the thread, if it is the portal's own. Twice changes nothing."""
        with self._lock:
            self._closed = True
            thread, loop, self._thread, self._loop = self._thread, self._loop, None, None
        if thread is not None and loop is not None and self._end is not None and self._pid == os.getpid():
            loop.call_soon_threadsafe(self._end.set)
            thread.join()

    def check_process(self) -> None:
        """`ConfigError` in a child made by fork, which has no such thread."""
        if self._pid != os.getpid():
            raise ConfigError("it was made before fork; create it in the child")

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        self.check_process()
        with self._lock:
            if self._closed:
                raise ConnectionLostError("this client is closed; make a new one", executed="no")
            if self._loop is None:
                self._start_thread()
            loop = self._loop
        if loop is None or loop.is_closed():
            raise ConnectionLostError("the loop of this node has ended: start the node again", executed="no")
        return loop

    def _start_thread(self) -> None:
        ready = threading.Event()

        async def live() -> None:
            self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
            ready.set()
            await self._end.wait()

        def main() -> None:
            # The runner cancels and awaits whatever is left.
            with asyncio.Runner() as runner:
                runner.run(live())

        self._thread = threading.Thread(target=main, name="mpreg-portal", daemon=True)
        self._thread.start()
        ready.wait()
