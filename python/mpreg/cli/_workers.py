"""The parent of `mpreg run --workers N`: starts the workers, starts those again that die, and ends them with the node.

The first worker starts alone: what is wrong with the code is told once, and ends the command. From then on a worker that
ends is started again, at once if it was asked to end, else after a pause that grows while it keeps dying.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import mpreg
from mpreg.cli._sources import changes

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from mpreg._mpreg import NodeCore
    from mpreg.cli._worker import Order

_log = logging.getLogger("mpreg.workers")

_PAUSE_MIN: Final = 0.1
"""Before a worker that died is started again; doubles up to the longest."""
_PAUSE_MAX: Final = 10.0
_SETTLED: Final = 10.0
"""A worker that lived so long died of something else than the one before."""
_END_MAX: Final = 10.0
"""What workers get to leave their lifespans when the node has stopped."""
_SOCKET_MAX: Final = 100
"""Longer paths are no addresses of a socket."""


class Workers:
    """The part of the node that is the member."""

    runs_functions = False

    def __init__(self, order: Order, count: int, *, reload: bool) -> None:
        self._count, self._reload = count, reload
        # Nobody else may enter it (0700).
        self._folder = Path(tempfile.mkdtemp(prefix="mpreg-"))
        if len(bytes(self._folder)) > _SOCKET_MAX:
            self._folder.rmdir()
            self._folder = Path(tempfile.mkdtemp(prefix="mpreg-", dir="/tmp"))
        self._order = dataclasses.replace(order, socket=str(self._folder / "parent"))
        self.settings = {"parent": {"socket": self._order.socket, "workers": count}}
        self._keepers: list[_Keeper] = []

    async def live(self, core: NodeCore, asked: asyncio.Event) -> None:
        """Starts them; returns when the command was asked to end."""
        order = dataclasses.replace(self._order, instance=core.instance, address=core.address)
        stop = asyncio.ensure_future(asked.wait())
        restarts: asyncio.Task[None] | None = None
        try:
            for numbers in (range(1, 2), range(2, self._count + 1)):
                keepers = [
                    _Keeper(f"{core.id}#{n}", dataclasses.replace(order, number=n), reload=self._reload)
                    for n in numbers
                ]
                self._keepers += keepers
                await _first_of(stop, [keeper.started for keeper in keepers])
                if stop.done():
                    return
            _log.info("%s: workers=%d", core.id, self._count)
            if self._reload:
                restarts = asyncio.create_task(self._restart_on_changes())
            await stop
        finally:
            stop.cancel()
            if restarts is not None:
                restarts.cancel()

    async def end(self) -> None:
        """The node has stopped, and said so to its workers: they end by themselves."""
        try:
            for keeper in self._keepers:
                keeper.end()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_all_ended(self._keepers), _END_MAX)
            for keeper in self._keepers:
                keeper.kill_late()
            await _all_ended(self._keepers)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _restart_on_changes(self) -> None:
        async for path in changes(Path.cwd()):
            _log.info("%s has changed: the workers are started again", path)
            for keeper in self._keepers:
                keeper.restart()


async def _first_of(stop: asyncio.Future[Any], starts: list[asyncio.Future[None]]) -> None:
    """Until all have started, or one could not, which is raised; or until the stop."""
    pending = set(starts)
    while pending and not stop.done():
        done, _ = await asyncio.wait({stop, *pending}, return_when=asyncio.FIRST_COMPLETED)
        pending -= done
        for start in done - {stop}:
            start.result()


async def _all_ended(keepers: list[_Keeper]) -> None:
    for keeper in keepers:
        # What ended one is told by its `started`, or has been logged.
        await asyncio.wait({keeper.ended})


class _Keeper:
    """One place among the workers: its process, and the next one when that has ended."""

    def __init__(self, name: str, order: Order, *, reload: bool) -> None:
        self._name, self._order = name, order
        self._environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"} if reload else None
        self._process: Process | None = None
        self._ready = False
        self._ending = asyncio.Event()
        self._now = asyncio.Event()
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.create_task(self._keep())

    def restart(self) -> None:
        """Has it drain and end, and starts the next one at once."""
        self._now.set()
        self._signal(signal.SIGTERM)

    def end(self) -> None:
        """No next one. Who has not connected yet has nothing to drain."""
        self._ending.set()
        self._now.set()
        if not self._ready:
            self._signal(signal.SIGTERM)

    def kill_late(self) -> None:
        """If it did not end in time."""
        if self.ended.done():
            return
        _log.warning("%s did not end within %g s: it is killed", self._name, _END_MAX)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _keep(self) -> None:
        loop, pause = asyncio.get_running_loop(), _PAUSE_MIN
        while True:
            self._now.clear()
            begun = loop.time()
            try:
                how = _told(await self._run_one())
            except OSError as error:  # no process can be made
                how = str(error)
            if self._ending.is_set() or not self._may_go_on(how):
                return
            if self._now.is_set():
                pause = _PAUSE_MIN
                continue
            pause = _PAUSE_MIN if loop.time() - begun > _SETTLED else pause
            _log.warning("%s ended with %s: it is started again in %g s", self._name, how, pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), pause)
            if self._ending.is_set():
                return
            pause = min(2 * pause, _PAUSE_MAX)

    def _may_go_on(self, how: str) -> bool:
        """Not if it has never started: nobody knows that it ever will."""
        if self.started.done():
            return True
        self.started.set_exception(
            mpreg.ConfigError(f"worker {self._name} ended with {how} before it was ready; its error stands above")
        )
        # Told once, also if nobody waits for it any more.
        self.started.exception()
        return False

    async def _run_one(self) -> int:
        """One process, from its start to its end: its status."""
        ours, its = socket.socketpair()
        with ours:
            ours.setblocking(False)  # noqa: FBT003 - its only parameter
            with its:
                self._process = await asyncio.create_subprocess_exec(
                    # A group of its own: Ctrl-C is for the parent, which drains.
                    *(sys.executable, "-m", "mpreg.cli._worker", self._name),
                    stdin=its.fileno(),
                    process_group=0,
                    env=self._environment,
                )
            if self._ending.is_set():
                self._signal(signal.SIGTERM)
            loop = asyncio.get_running_loop()
            # It ends before it has read all if something is wrong with the interpreter.
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(ours, self._order.to_json())
                ours.shutdown(socket.SHUT_WR)
                self._ready = await loop.sock_recv(ours, 1) != b""
            if self._ready and not self.started.done():
                self.started.set_result(None)
            status = await self._process.wait()
            self._ready = False
        return status


def _told(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
