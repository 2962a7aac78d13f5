"""The three terminals of the first guide, line by line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from snippets import GUIDES, blocks

from mpreg.testing import child_environment

ADDRESS = "127.0.0.1:7000"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for block in blocks(GUIDES / "first-mesh.md"):
        if block.how.startswith("file="):
            (tmp_path / block.how.removeprefix("file=")).write_text(block.code)
    return tmp_path


def environment(**settings: str) -> dict[str, str]:
    """With the command of this Python first."""
    return {**child_environment(**settings), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def started(line: str, place: Path) -> tuple[subprocess.Popen[str], str]:
    """A node, with the system's choice of a port; and its address, once it says so."""
    process = subprocess.Popen(
        ["sh", "-c", f"exec {line.replace(ADDRESS, '127.0.0.1:0')}"],
        cwd=place, env=environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for said in process.stderr:
        if found := re.search(r"started .*address=(\S+)", said):
            return process, found[1]
    raise AssertionError(f"{line}: ended with {process.wait()}")


def test_three_terminals(place: Path) -> None:
    first, second, third = (block.code for block in blocks(GUIDES / "first-mesh.md") if block.language == "sh")
    nodes = []
    try:
        node, address = started(first.strip(), place)
        nodes.append(node)
        told = []
        for line in second.splitlines():
            if line.startswith("export "):
                assert line == f"export MPREG_SEEDS={ADDRESS}"
                continue
            text, _, remark = line.partition("  # ")
            done = subprocess.run(
                ["sh", "-c", text],
                cwd=place,
                env=environment(seeds=address),
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, remark.strip() in done.stderr) == (1 if remark else 0, True), done.stderr
            told.append(done.stdout)
        assert told[0] == "19.0\n"
        assert "shop.price" in told[2]
        assert "What it costs." in told[3]
        join, look = third.splitlines()
        node, _ = started(join.replace(ADDRESS, address), place)
        nodes.append(node)
        members = subprocess.run(
            ["sh", "-c", look], cwd=place, env=environment(seeds=address), capture_output=True, text=True, check=True
        )
        assert members.stdout.count("alive") == 2
    finally:
        for node in nodes:
            node.terminate()
        assert [node.wait() for node in nodes] == [0] * len(nodes)
        for node in nodes:
            if node.stderr is not None:
                node.stderr.close()
