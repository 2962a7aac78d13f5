"""Many real processes of one mesh, on sockets whose paths are known before they start, so that any shape can be made of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mpreg.testing import child_environment, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mpreg

NURSERY = Path(__file__).with_name("fleet_nursery.py")
HUBS = 4
"""Of the shape multi-hub: in a ring, each with its share of the others."""
LONG = 25.0
"""Seconds that anything is waited for: other tests use the machine, too."""

SEEDS = {
    "star": lambda number, _: [0] if number else [],
    "chain": lambda number, _: [number - 1] if number else [],
    # The first one looks for the last one until it is there.
    "ring": lambda number, count: [(number - 1) % count],
    "multi-hub": lambda number, _: [(number + 1) % HUBS] if number < HUBS else [number % HUBS],
}


class Fleet:
    """The processes that run, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "fleet.err"
        self.running: dict[str, int] = {}
        """Process ids."""
        with self._log.open("wb") as err:
            self._nursery = subprocess.Popen(
                [sys.executable, str(NURSERY)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                env=child_environment(),
                cwd=folder,
                # With all that it forks it is ended at once.
                start_new_session=True,
            )

    def address(self, name: str) -> str:
        return f"unix:{self._folder}/{name}"

    async def form(self, shape: str, count: int) -> None:
        """All start at once: those whose seed is not there yet look for it again."""
        for number in range(count):
            await self.start(f"n{number}", [f"n{seed}" for seed in SEEDS[shape](number, count)])

    async def start(self, name: str, seeds: Sequence[str]) -> None:
        order = json.dumps([name, self.address(name), [self.address(seed) for seed in seeds]])
        self.running[name] = await asyncio.to_thread(self._fork, order)

    def _fork(self, order: str) -> int:
        stdin, stdout = self._nursery.stdin, self._nursery.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{order}\n".encode())
        stdin.flush()
        answer = stdout.readline()
        assert answer, self.err
        _, pid = json.loads(answer)
        return pid

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.running[name], number)

    async def leave(self, name: str) -> None:
        """Asks it to; returns when it is gone."""
        self.signal(name, signal.SIGTERM)
        pid = self.running[name]
        await wait_for(lambda: not is_running(pid), timeout=LONG, what=f"the end of {name}")
        del self.running[name]

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        del self.running[name]

    @property
    def err(self) -> str:
        return self._log.read_text()

    def accused(self) -> set[str]:
        """Who was held for dead by anyone at any time: each node says so in its log."""
        return set(re.findall(r"down: it is called no more .* member=([^/\s]+)", self.err))

    async def views_are_complete(self, seen_by: mpreg.Node) -> None:
        """Those that each process holds for alive are exactly those that run, and `seen_by`."""
        for name in self.running:
            await wait_for(lambda name=name: self._is_complete(seen_by, name), timeout=LONG, what=f"the view of {name}")

    async def _is_complete(self, seen_by: mpreg.Node, name: str) -> bool:
        view = await seen_by.remote(f"view.{name}", wait=LONG)()
        alive = {other for other, state in view.items() if state in ("alive", "busy")}
        return alive == {seen_by.name, *self.running} - {name}

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._nursery.pid, signal.SIGKILL)
        self._nursery.wait()
        for pipe in (self._nursery.stdin, self._nursery.stdout):
            assert pipe is not None
            pipe.close()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
