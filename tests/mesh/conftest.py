"""What the tests of whole meshes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
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
