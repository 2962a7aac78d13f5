"""What the tests of whole meshes share: one function's node, seen from every place a caller can stand at."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import pytest
from children import Children

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

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


@pytest.fixture(params=WAYS)
async def way(request: pytest.FixtureRequest, mpreg_mesh: Callable[..., LocalMesh]) -> AsyncIterator[Way]:
    """Every way to a function, one after the other."""
    async with mpreg_mesh(nodes=3) as mesh, opened(mesh, request.param) as way:
        yield way


@pytest.fixture
async def far(mpreg_mesh: Callable[..., LocalMesh]) -> AsyncIterator[Way]:
    """The longest way: a client whose entry node is not the callee."""
    async with mpreg_mesh(nodes=3) as mesh, opened(mesh, "client of another node") as way:
        yield way


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    """Processes of this test."""
    children = Children(tmp_path)
    yield children
    children.end()
