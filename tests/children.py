"""Real processes for tests: scripts that join a mesh of the test by its address."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from mpreg.testing import child_environment, wait_for

if TYPE_CHECKING:
    from pathlib import Path

NODE = """
import asyncio, ctypes, os, sys
import mpreg

name, *instance = sys.argv[1].split("/")
node = mpreg.Node(name, instance=instance[0] if instance else None)

@node.function
async def where() -> tuple[str, int]:
    return node.id, os.getpid()

@node.function
async def work(x: int) -> int:
    await asyncio.sleep(0)
    return x

@node.function
async def hang() -> None:
    await asyncio.Event().wait()

@node.function("hang.again", idempotent=True)
async def hang_again() -> int:
    if os.path.exists(sys.argv[2]):
        return os.getpid()
    await asyncio.Event().wait()

def read(pipe: str) -> None:
    # Until the test writes to it.
    os.read(os.open(pipe, os.O_RDWR), 1)

@node.function
async def block_the_loop(pipe: str) -> None:
    read(pipe)

@node.function
def hold_the_gil(pipe: str) -> None:
    # PyDLL calls without releasing it.
    ctypes.PyDLL(None).read(os.open(pipe, os.O_RDWR), ctypes.create_string_buffer(1), 1)

@node.function
async def die() -> None:
    os._exit(3)

if __name__ == "__main__":
    node.serve()
"""


class Children:
    """Starts processes and ends those that the test left running."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Child] = []
        self.flag = folder / "flag"
        """What `hang.again` looks for."""

    def node(self, name: str, seed: str, *, script: str = NODE, **settings: str) -> Child:
        """A process that runs `script`, by default a node that serves."""
        return self.run(script, name, str(self.flag), seeds=seed, **settings)

    def run(self, script: str, *arguments: str, **settings: str) -> Child:
        path = self._folder / f"child_{len(self._running)}.py"
        path.write_text(script)
        return self.python(str(path), *arguments, **settings)

    def python(self, *arguments: str, **settings: str) -> Child:
        """`python ARGUMENTS` in the test's folder; `settings` are `MPREG_*`."""
        log = self._folder / f"child_{len(self._running)}"
        child = Child([sys.executable, *arguments], log, settings)
        self._running.append(child)
        return child

    def end(self) -> None:
        for child in self._running:
            child.end()


class Child:
    """One process, with what it wrote."""

    def __init__(self, command: list[str], log: Path, settings: dict[str, str]) -> None:
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            environment = child_environment(**settings)
            # A session of its own: whatever it started is ended with it.
            self.process = subprocess.Popen(
                command, stdout=out, stderr=err, env=environment, cwd=log.parent, start_new_session=True
            )
        self.pid = self.process.pid

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit_code(self) -> int:
        """Waits for its end."""
        await wait_for(lambda: self.process.poll() is not None, what=f"the end of {self.process.args}: {self.err}")
        return self.process.wait()

    async def says(self, text: str) -> None:
        """Waits until it printed `text`."""
        await wait_for(lambda: text in self.out, what=f"{text!r} in {self.out!r} {self.err!r}")

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def end(self) -> None:
        # One that ended well has waited for its own processes.
        if self.process.poll() != 0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


async def gathered(*awaitables: object) -> list:
    """Results and errors alike."""
    return await asyncio.gather(*awaitables, return_exceptions=True)
