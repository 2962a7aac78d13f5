"""Programs people have, as docs/guides/recipes.md shows them: its code is what runs here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from snippets import GUIDES, blocks

import mpreg
from mpreg.testing import LocalMesh, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def modules(tmp_path: Path) -> None:
    """The modules of the page, in the test's folder."""
    for block in blocks(GUIDES / "recipes.md"):
        if block.how.startswith("file="):
            (tmp_path / block.how.removeprefix("file=")).write_text(block.code)


@pytest.fixture
async def hub() -> AsyncIterator[mpreg.Node]:
    """A member that programs join by, and that sees them come and go."""
    async with LocalMesh([mpreg.Node("hub")], transport="tcp") as mesh:
        yield mesh.nodes[0]


class Server:
    """A web server on a unix socket (no ports), or at an address."""

    def __init__(self, where: Path | str) -> None:
        transport = httpx.AsyncHTTPTransport(uds=None if isinstance(where, str) else str(where))
        self._http = httpx.AsyncClient(
            transport=transport, base_url=where if isinstance(where, str) else "http://server"
        )

    async def get(self, path: str) -> httpx.Response:
        """Waits until it is up."""
        answers: list[httpx.Response] = []

        async def answered() -> bool:
            try:
                answers.append(await self._http.get(path, timeout=10))
            except httpx.ConnectError:
                return False
            return True

        await wait_for(answered, timeout=20)
        return answers[0]

    async def close(self) -> None:
        await self._http.aclose()


@pytest.fixture
async def servers() -> AsyncIterator[type[Server]]:
    """Makes them, and closes them in the end."""
    made: list[Server] = []

    def make(where: Path | str) -> Server:
        made.append(Server(where))
        return made[-1]

    yield make
    await asyncio.gather(*(server.close() for server in made))
