"""Code from documents and examples, run as a user would: in a process of its own, what it prints compared.

A fenced block ```` ```python run ```` is a whole program; ```` ```python file=NAME ```` is a module that the programs after it
in the same document may import. What a program prints stands behind its `print(...)  # like this`. Modules of the recipes
that need a server, and the cells of ```` ```python notebook ````, are run by tests/programs.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

from mpreg.testing import child_environment

GUIDES = Path(__file__).parents[1] / "docs/guides"
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXPECTED = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)


@dataclasses.dataclass
class Block:
    """A fenced block: `how` is what stands behind the language."""

    language: str
    how: str
    code: str


def blocks(document: Path) -> list[Block]:
    return [Block(language, how.strip(), code) for language, how, code in FENCE.findall(document.read_text())]


def run(program: Path, directory: Path) -> None:
    """Runs it; its exit status must be 0, nothing on stderr, and what it prints what it says it prints."""
    expected = EXPECTED.findall(program.read_text())
    assert expected, "a program that shows nothing proves nothing"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=directory,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), f"status {done.returncode}, on stderr:\n{done.stderr}"
    assert done.stdout.splitlines() == expected, f"printed:\n{done.stdout}"
