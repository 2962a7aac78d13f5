"""`mpreg demo` as a user runs it, and its parts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.demo import api, sources
from mpreg.demo.node import Shelf, make_node
from mpreg.testing import LocalMesh, child_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(120)

COMMAND = [sys.executable, "-c", "from mpreg.cli import main; main()"]


def command(*arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*COMMAND, *arguments], env=child_environment(), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def by_grep(word: str) -> int:
    return int(subprocess.run(sources.grep_command(word), shell=True, check=True, capture_output=True).stdout)


@pytest.fixture(scope="module")
def kept() -> Iterator[tuple[subprocess.Popen[str], dict]]:
    """The demo, left up, and what it printed."""
    with command("demo", "--keep", "--json", "--word", "nonlocal") as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()


def test_the_count_is_that_of_grep(kept: tuple) -> None:
    _, report = kept
    assert report["total"] == by_grep("nonlocal") > 0
    assert report["searched"] == len(sources.files()) == sum(node["files"] for node in report["nodes"])
    assert report["grep"] == sources.grep_command("nonlocal")


def test_the_files_are_ranked(kept: tuple) -> None:
    _, report = kept
    counts = [ranked["count"] for ranked in report["top"]]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) == min(10, report["found_in"])
    text = (sources.folder() / report["top"][0]["path"]).read_bytes()
    assert text.count(b"nonlocal") >= counts[0]


def test_five_nodes_share_the_work(kept: tuple) -> None:
    _, report = kept
    assert len(report["nodes"]) == 5
    assert sorted(shard for node in report["nodes"] for shard in node["shards"]) == list(range(sources.SHARDS))
    assert sum(node["words"] for node in report["nodes"]) == report["words"]
    for node in report["nodes"]:
        # One call for each file, one to count and one to say what it did.
        assert node["calls"] == node["files"] + 2


def test_a_second_terminal_calls_the_mesh_that_is_kept(kept: tuple) -> None:
    _, report = kept
    with command("call", "demo.search", '"lambda"', "top=3", "--connect", report["address"]) as call:
        out, _ = call.communicate(timeout=60)
    answer = json.loads(out)
    assert (call.returncode, answer["total"], len(answer["top"])) == (0, by_grep("lambda"), 3)


def test_ctrl_c_ends_a_mesh_that_is_kept() -> None:
    with command("demo", "--keep", "--json", "--word", "nonlocal") as process:
        process.stdout.readline()
        told = "".join(iter(process.stderr.readline, "Ctrl-C ends it.\n"))
        process.send_signal(signal.SIGINT)
        out, noise = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in noise
    assert "call demo.search" in told


def test_the_demo_shows_a_table_and_ends_by_itself() -> None:
    with command("demo", "--word", "match") as process:
        out, told = process.communicate(timeout=90)
    assert process.returncode == 0
    assert f"'match' stands {by_grep('match'):,} times" in out
    assert sources.grep_command("match") in out
    assert all(f"demo/shelf-{number}/" in out for number in range(1, 6))
    assert f"{len(sources.files())}/{len(sources.files())}" in told


def test_interrupted_it_leaves_nothing_behind() -> None:
    with command("demo") as process:
        # The nodes inherit stderr: its end means that all of them are gone.
        assert "Starting 5 nodes" in process.stderr.readline()
        process.terminate()
        out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert told.endswith("interrupted\n")


def test_a_node_that_cannot_start_says_why_and_ends_the_rest() -> None:
    wrong = {**child_environment(), "MPREG_THREADS": "none"}
    done = subprocess.run([*COMMAND, "demo"], env=wrong, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "shelf-1: MPREG_THREADS takes a number, not 'none'" in done.stderr
    assert "error: node shelf-1 ended before it had started" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_word_that_is_none_is_refused() -> None:
    with command("demo", "--word", "a b") as process:
        out, told = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert "'a b' is no word" in told


@pytest.mark.parametrize("word", ["self", "a", "_", "0", "match"])
def test_words_are_those_of_grep(word: str) -> None:
    shelf = Shelf(range(sources.SHARDS))
    some = sources.files()[::40]
    for path in some:
        shelf.index(path)
    hits = shelf.count(word)
    paths = [str(sources.folder() / path) for path in some]
    grep = ["grep", "-owha", word, *paths]
    lines = subprocess.run(grep, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, capture_output=True, check=False).stdout
    assert sum(hits.counts.values()) == len(lines.splitlines())
    assert hits.searched == len(some)


async def test_nodes_refuse_what_is_not_theirs() -> None:
    nodes = [make_node("one", [0], (), ranks=False), make_node("two", range(1, sources.SHARDS), (), ranks=True)]
    mine = next(path for path in sources.files() if sources.shard_of(path) == 0)
    async with LocalMesh(nodes) as mesh:
        await mesh.converged()
        first = nodes[0].remote(api.index, resources={"shard/0"})
        assert await first(mine) > 0
        with pytest.raises(ValueError, match="is no source of the shards here"):
            await first("/etc/passwd")
        with pytest.raises(ValueError, match="a word is letters"):
            await nodes[0].call(api.search, "a b")
        with pytest.raises(ValueError, match="top takes 0 to 1000"):
            await nodes[0].call(api.search, "a", -1)
        with pytest.raises(mpreg.FunctionNotFoundError, match="shard/99"):
            await nodes[0].remote(api.index, resources={"shard/99"}, wait=0.0)(mine)
