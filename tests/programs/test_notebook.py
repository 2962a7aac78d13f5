"""Notebooks, cell by cell, in a real kernel."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import AsyncKernelManager
from snippets import GUIDES, blocks

from mpreg.testing import child_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOTEBOOKS = [block.code for block in blocks(GUIDES / "recipes.md") if block.how == "notebook"]
SHOWN = re.compile(r"^.*\S  # (.+)\Z", re.MULTILINE)


class Kernel:
    def __init__(self, client: Any) -> None:
        self._client = client

    async def run(self, cell: str) -> str:
        """What the cell prints, or its last value."""
        told: list[str] = []

        def hear(message: dict) -> None:
            content = message["content"]
            told.append(content.get("text") or content.get("data", {}).get("text/plain", ""))

        reply = await self._client._async_execute_interactive(cell, timeout=20, output_hook=hear)
        content = reply["content"]
        if content["status"] == "error":
            raise AssertionError(f"{content['ename']}: {content['evalue']}")
        return "".join(told).strip()


@pytest.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Kernel]:
    # On unix sockets: no ports.
    manager = AsyncKernelManager(transport="ipc", ip=str(tmp_path / "k"))
    await manager.start_kernel(env=child_environment(), cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=20)
        yield Kernel(client)
    finally:
        client.stop_channels()
        with contextlib.suppress(RuntimeError):
            await manager.shutdown_kernel(now=True)


async def test_every_cell_shows_what_it_says(kernel: Kernel) -> None:
    assert len(NOTEBOOKS) == 2
    shown = 0
    for notebook in NOTEBOOKS:
        for cell in notebook.split("# %%\n")[1:]:
            told = await kernel.run(cell)
            expected = SHOWN.search(cell.rstrip())
            if expected:
                shown += 1
                assert told == expected[1], cell
    assert shown >= 4


async def test_what_would_wait_for_itself_says_so(kernel: Kernel) -> None:
    await kernel.run("import mpreg; node = mpreg.Node('cell'); await node.start()")
    with pytest.raises(AssertionError, match=r"ConfigError: mpreg.SyncClient\(...\) would block .*use `await`"):
        await kernel.run("mpreg.SyncClient(node.address)")
    with pytest.raises(AssertionError, match=r"ConfigError: node cell is started already"):
        await kernel.run("await node.start()")
    # It is left as it is: the kernel ends with a node running.
