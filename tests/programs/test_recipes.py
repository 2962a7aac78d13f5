"""No module of the recipes goes untested."""

from __future__ import annotations

from pathlib import Path

import pytest
from snippets import GUIDES, blocks

MODULES = [b.how.removeprefix("file=") for b in blocks(GUIDES / "recipes.md") if b.how.startswith("file=")]
TESTS = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_run_by_a_test(module: str) -> None:
    assert module.removesuffix(".py") in TESTS
