"""Every example runs as it stands and prints what its comments say."""

from __future__ import annotations

from pathlib import Path

import pytest
from snippets import run

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("program", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_prints_what_it_says(program: Path, tmp_path: Path) -> None:
    run(program, tmp_path)
