"""Pools and processes by every start method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from children import Children


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
async def test_a_pool_that_calls_and_processes_that_serve(children: Children, method: str) -> None:
    child = children.python("pool.py", method)
    assert await child.exit_code() == 0, child.err
    assert child.out.splitlines() == ["[0, 2, 4, 6, 8]", "[0, 0]"]
    assert child.err == ""
