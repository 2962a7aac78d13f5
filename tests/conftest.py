"""What all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from children import Children

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--processes", type=int, default=30, help="how many processes the tests of shapes start")


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    """Processes of this test."""
    children = Children(tmp_path)
    yield children
    children.end()
