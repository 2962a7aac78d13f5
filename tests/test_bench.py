"""`mpreg bench` as a user runs it; what it measures is not judged here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

import mpreg
from mpreg.cli._bench_load import quantile
from mpreg.testing import child_environment

pytestmark = pytest.mark.timeout(120)


def command(*arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    program = [sys.executable, "-c", "from mpreg.cli import main; main()", "bench", *arguments]
    return subprocess.Popen(program, env=child_environment(), stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def run(*arguments: str) -> tuple[int, str, str]:
    with command(*arguments) as process:
        out, told = process.communicate(timeout=90)
    assert "Traceback" not in told
    return process.returncode, out, told


CALLS = ["one after another", "64 in flight", "512 in flight"]
LARGE = "1 MiB there and back"
STREAMS = ["stream of 100 B items", "stream of 64 KiB items"]


def test_alone_it_measures_two_processes_of_its_own() -> None:
    status, out, told = run("--seconds", "0.05", "--json")
    assert status == 0, told
    rows = json.loads(out)["rows"]
    assert [row["what"] for row in rows] == [*CALLS, LARGE, *STREAMS] * 2
    assert [row["path"] for row in rows] == ["client -> node"] * 6 + ["client -> entry node -> node"] * 6
    for row in rows:
        assert row["count"] > 0
        assert row["per_second"] == pytest.approx(row["count"] / row["seconds"])
        assert (row["unit"] == "items") == (row["p50"] is None)
        if row["unit"] == "calls":
            assert 0 < row["p50"] <= row["p99"] <= row["seconds"]
    assert "processes of this machine" in told


@pytest.mark.usefixtures("mpreg_environ")
def test_the_way_through_a_mesh_needs_no_function() -> None:
    first = mpreg.Node("first")
    with first.running() as mesh:
        second = mpreg.Node("second", seeds=[first.address])
        second.function("f")(lambda: 1)
        with second.running():
            mesh.wait_for("f")
            status, out, told = run("--seconds", "0.05", "--connect", first.address)
            rows = [line.split("\t") for line in out.splitlines()]
            assert status == 0, told
            assert [row[0] for row in rows] == [*CALLS, LARGE]
            assert {row[1] for row in rows} == {f"client -> default/{first.id}"}
            assert "no Python code answers" in told
            assert f"default/{first.id}" in told
            there = ["--seconds", "0.05", "--connect", first.address, "--json", "--node", second.id]
            status, out, _ = run(*there)
            assert status == 0
            assert {row["path"] for row in json.loads(out)["rows"]} == {f"client -> entry node -> default/{second.id}"}
            status, out, told = run("--connect", first.address, "--node", f"default/{second.id}x")
            assert (status, out) == (1, "")
            assert f"did you mean default/{second.id}" in told


@pytest.mark.usefixtures("mpreg_environ")
def test_a_function_is_called_with_its_arguments() -> None:
    seen = set()
    node = mpreg.Node("shop")

    @node.function("shop.price")
    def price(sku: str, *, qty: int = 1) -> float:
        seen.add((sku, qty))
        if qty < 0:
            raise ValueError(sku)
        return 1.0

    with node.running():
        status, out, told = run("shop.price", '"A1"', "qty=2", "--seconds", "0.05", "--connect", node.address)
        assert status == 0, told
        assert [line.split("\t")[:2] for line in out.splitlines()] == [[what, "shop.price"] for what in CALLS]
        assert seen == {("A1", 2)}
        assert "Calls shop.price through" in told
        for wrong, words in (
            (["shop.pirce"], "shop.price"),
            (["shop.price", '"A1"', "qty=-1"], "the function raised ValueError: A1"),
            (["shop.price"], "sku"),
            (["shop.price", "A1"], "A1 is not JSON"),
        ):
            status, out, told = run(*wrong, "--connect", node.address)
            assert (status, out) == (1, "")
            assert words in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--connect", "127.0.0.1:1"], "nobody listens there"),
        (["shop.price"], "no node to connect to"),
        (["--node", "a", "shop.price"], "--node is for the way to a node"),
        (["--seconds", "0"], "--seconds"),
        (["--node", "a", "--node"], "--node"),
    ],
)
def test_what_is_wrong_is_told(arguments: list[str], words: str) -> None:
    status, out, told = run(*arguments)
    assert status != 0
    assert out == ""
    assert words in told


def test_interrupted_it_leaves_nothing_behind() -> None:
    with command("--seconds", "60") as process:
        # The nodes inherit stderr: its end means that all of them are gone.
        assert "processes of this machine" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert told.endswith("interrupted\n")


def test_a_quantile_is_one_of_the_times() -> None:
    assert quantile([], 0.5) is None
    assert [quantile([1.0, 2.0, 3.0, 4.0], part) for part in (0.25, 0.5, 0.51, 0.99, 1.0)] == [1.0, 2.0, 3.0, 4.0, 4.0]
