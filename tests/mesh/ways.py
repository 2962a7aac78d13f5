"""One function's node, seen from every place a caller can stand at."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import mpreg
    from mpreg.testing import LocalMesh

WAYS = ("own node", "member", "client of the callee", "client of another node")


@dataclasses.dataclass
class Way:
    """Functions are offered by `server` and called by `caller`."""

    mesh: LocalMesh
    server: mpreg.Node
    caller: mpreg.Node | mpreg.Client
    name: str

    @property
    def function(self) -> Callable:
        """The server's decorator."""
        return self.server.function


@contextlib.asynccontextmanager
async def opened(mesh: LocalMesh, name: str) -> AsyncIterator[Way]:
    server, other = mesh.nodes[1], mesh.nodes[2]
    await mesh.converged()
    if name == "own node":
        yield Way(mesh, server, server, name)
    elif name == "member":
        yield Way(mesh, server, other, name)
    else:
        async with mesh.connect(server if name == "client of the callee" else other) as client:
            yield Way(mesh, server, client, name)
