"""What the tests of whole meshes share."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from graph_shop import Shop
from ways import WAYS, Way, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mpreg.testing import LocalMesh


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


@pytest.fixture(params=["member", "client"])
async def shop(request: pytest.FixtureRequest, mpreg_mesh: Callable[..., LocalMesh]) -> AsyncIterator[Shop]:
    """A mesh of three with functions for call graphs; a node of it or a client calls."""
    async with mpreg_mesh(nodes=3) as mesh, contextlib.AsyncExitStack() as stack:
        member = request.param == "member"
        shop = Shop(mesh, mesh.nodes[0] if member else await stack.enter_async_context(mesh.connect(1)))
        await mesh.converged()
        yield shop
