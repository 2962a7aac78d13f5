"""`mpreg demo` as a user runs it, and its parts."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mpreg
import mpreg.testing
from mpreg.demo import api, graph, sources
from mpreg.demo.node import Shelf, index, make_node, rank, search
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
    assert report["searched"] == len(sources.files())
    assert report["grep"] == sources.grep_command("nonlocal")


def test_the_files_are_ranked(kept: tuple) -> None:
    _, report = kept
    counts = [ranked["count"] for ranked in report["top"]]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) == min(10, report["found_in"])
    text = (sources.folder() / report["top"][0]["path"]).read_bytes()
    assert text.count(b"nonlocal") >= counts[0]


def test_each_step_ran_where_its_data_or_its_function_is(kept: tuple) -> None:
    _, report = kept
    ran: dict[str, list[str]] = {}
    for step in report["steps"]:
        ran.setdefault(step["name"], []).append(step["node"].split("/")[1])
    assert ran["demo.tokenise"] == ["shelf-1", "shelf-2", "shelf-3"] * 4
    assert {name: len(nodes) for name, nodes in ran.items()} == {
        "demo.tokenise": sources.SHARDS, "demo.index": 4, "demo.search": 4, "demo.rank": 1,
    }  # fmt: skip
    assert set(ran["demo.index"] + ran["demo.search"] + ran["demo.rank"]) <= {"desk-1", "desk-2"}


def test_the_critical_path_and_what_each_step_waited_for_are_told(kept: tuple) -> None:
    _, report = kept
    assert report["critical_path"] == ["demo.tokenise", "demo.index", "demo.search", "demo.rank"]
    critical = [step["name"] for step in report["steps"] if step["critical"]]
    assert critical == report["critical_path"]
    rank = report["steps"][-1]
    assert {report["steps"][n]["name"] for n in rank["after"]} == {"demo.index", "demo.search"}
    assert all(step["bytes"] > 64 * 1024 for step in report["steps"] if step["name"] in {"demo.tokenise", "demo.index"})


def test_the_picture_shows_every_node_and_step(kept: tuple) -> None:
    _, report = kept
    picture = Path(report["svg"])
    text = picture.read_text()
    picture.unlink()
    assert text.startswith("<svg ")
    assert all(step["node"] in text for step in report["steps"])
    assert text.count('class="step"') == len(report["steps"])


def test_a_second_terminal_calls_the_mesh_that_is_kept(kept: tuple) -> None:
    _, report = kept
    with command("call", "demo.grep", '"lambda"', "top=3", "--connect", report["address"]) as call:
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
    assert "call demo.grep" in told


def test_the_demo_shows_tables_draws_and_ends_by_itself(tmp_path: Path) -> None:
    picture = tmp_path / "run.svg"
    with command("demo", "--word", "match", "--svg", str(picture)) as process:
        out, told = process.communicate(timeout=90)
    assert process.returncode == 0
    assert f"'match' stands {by_grep('match'):,} times" in out
    assert sources.grep_command("match") in out
    assert all(f"demo/shelf-{number}/" in out for number in range(1, 4))
    assert "Critical path: demo.tokenise " in out
    assert f"The picture of the run: {picture}" in out
    assert picture.read_text().startswith("<svg ")
    assert "5 nodes joined" in told


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with command("demo", "--svg", str(tmp_path / "none" / "run.svg")) as process:
        out, told = process.communicate(timeout=90)
    assert (process.returncode, out) == (1, "")
    assert "cannot be written" in told
    assert "Traceback" not in told


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
    ctx = mpreg.testing.context()
    tokens = shelf.tokenise(ctx, 3)
    page = index([tokens]).pages[word[0]]
    paths = [str(sources.folder() / path) for path in tokens]
    grep = ["grep", "-owha", word, *paths]
    lines = subprocess.run(grep, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, capture_output=True, check=False).stdout
    assert sum(search(page, word).values()) == len(lines.splitlines())


async def test_the_graph_gives_what_its_functions_give_one_after_another() -> None:
    shelf, ctx = Shelf(range(sources.SHARDS)), mpreg.testing.context()
    plain = index([shelf.tokenise(ctx, shard) for shard in range(sources.SHARDS)])
    expected = rank("async", [search(plain.pages["a"], "async")], files=[plain.files], top=5)
    nodes = [make_node("shelf", (), shards=range(sources.SHARDS)), make_node("desk", (), desk=True)]
    async with LocalMesh(nodes) as mesh:
        await mesh.converged()
        assert await nodes[0].call(api.grep, "async", 5) == expected


async def test_nodes_refuse_what_is_not_theirs() -> None:
    nodes = [make_node("one", (), shards=[0]), make_node("two", (), shards=range(1, sources.SHARDS), desk=True)]
    async with LocalMesh(nodes) as mesh:
        await mesh.converged()
        first = nodes[1].remote(api.tokenise, resources={"shard/0"})
        assert all(sources.shard_of(path) == 0 for path in await first(0))
        with pytest.raises(ValueError, match="shard 1 is not here"):
            await first(1)
        with pytest.raises(ValueError, match="a word is letters"):
            await nodes[0].call(api.grep, "a b")
        with pytest.raises(ValueError, match="top takes 0 to 1000"):
            await nodes[0].call(api.grep, "a", -1)
        with pytest.raises(mpreg.FunctionNotFoundError, match="shard/99"):
            await nodes[0].remote(api.tokenise, resources={"shard/99"}, wait=0.0)(99)


def test_the_readme_shows_the_graph_that_runs() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (shown,) = [block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "tokenise" in block]
    assert shown in Path(graph.__file__).read_text()
