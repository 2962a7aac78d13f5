"""The processes that rows are measured against: floors, meshes of three, worker processes; started for one row at a time."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
PYTHON = sys.executable
NO_SETTINGS: dict[str, str] = {}


class Servers:
    """Where systems listen, started when first asked for, and what clients with TLS prove themselves with."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._addresses: dict[str, str] = {}
        self.client_tls = NO_SETTINGS

    def address(self, server: str) -> str:
        if server not in self._addresses:
            self._start(server)
        return self._addresses[server]

    def _start(self, server: str) -> None:
        if server in {"streams", "uvloop"}:
            program = {"streams": "streams_server.py", "uvloop": "protocol_server.py"}[server]
            self._addresses[server] = self._enter(PYTHON, str(HERE / "floors" / program))
        elif server.endswith("-tls"):
            authority = Authority(self._stack.enter_context(tempfile.TemporaryDirectory()))
            self.client_tls = authority.issue("client", "bench")
            self._mesh("-tls", 500, lambda name: authority.issue("node", name))
        elif server.endswith("-10000"):
            self._mesh("-10000", 5_000)
        elif server == "alone" or server.startswith("workers-"):
            workers = [] if server == "alone" else ["--workers", server.removeprefix("workers-")]
            self._addresses[server] = self._stack.enter_context(running(*workers))
        elif server == "here":
            # Two nodes with a function each; clients have the first one as their entry node.
            node = [PYTHON, str(HERE / "mesh_node.py")]
            self._addresses[server] = self._enter(*node, server, "-", "steps")
            self._enter(*node, "there", self._addresses[server], "steps")
        else:
            self._mesh("", 500)

    def _mesh(
        self, suffix: str, fillers: int, settings: Callable[[str], dict[str, str]] = lambda _: NO_SETTINGS
    ) -> None:
        """Three nodes: the owner of the functions, and two with so many entries each."""
        node = [PYTHON, str(HERE / "mesh_node.py")]
        owner = self._enter(*node, "owner", "-", "functions", settings=settings("owner"))
        self._addresses[f"owner{suffix}"] = owner
        for name in ("other", "third"):
            address = self._enter(*node, name, owner, str(fillers), settings=settings(name))
            self._addresses[f"{name}{suffix}"] = address

    def _enter(self, *command: str, settings: dict[str, str] = NO_SETTINGS) -> str:
        return self._stack.enter_context(started(*command, settings=settings))


@contextlib.contextmanager
def started(*command: str, settings: dict[str, str] = NO_SETTINGS) -> Iterator[str]:
    """A server process; gives the first line it prints."""
    environment = {**os.environ, **settings}
    process = subprocess.Popen([*command], stdout=subprocess.PIPE, text=True, cwd=HERE.parent, env=environment)
    try:
        address = process.stdout.readline().strip()
        if not address:
            sys.exit(f"{' '.join(command)} did not start")
        yield address
    finally:
        stop(process)


@contextlib.contextmanager
def running(*workers: str) -> Iterator[str]:
    """`mpreg run` of worker_node.py; gives its address, where clients wait for it."""
    from mpreg.testing import free_port

    address = f"127.0.0.1:{free_port()}"
    command = [PYTHON, "-c", "from mpreg.cli import main; main()", "run", "worker_node:node", *workers]
    settings = {**os.environ, "MPREG_LISTEN": address, "MPREG_LOG_LEVEL": "warning"}
    process = subprocess.Popen(command, cwd=HERE, env=settings)
    try:
        yield address
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(20)
