"""`mpreg top`: rates from two readings, and the command on a real node."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

import mpreg
from mpreg.cli._main import mpreg as command
from mpreg.cli._rates import rates
from mpreg.cli._top import duration
from mpreg.testing import child_environment

FUNCTION = mpreg.FunctionStats(
    name="f", version="1.0.0", in_flight=2, calls=10, errors=1, seconds=0.5, times=((0.1, 9), (0.5, 1))
)
LATER = mpreg.FunctionStats(
    name="f", version="1.0.0", in_flight=1, calls=30, errors=2, seconds=2.5, times=((0.1, 19), (0.5, 11))
)


def node(name: str, at: float, *functions: mpreg.FunctionStats, **more: int) -> mpreg.NodeStats:
    return mpreg.NodeStats(node=name, at=at, functions=functions, **more)


def test_what_lies_between_two_readings() -> None:
    added = LATER.since(FUNCTION)
    assert (added.calls, added.errors, added.seconds, added.times) == (20, 1, 2.0, ((0.1, 10), (0.5, 10)))
    assert (added.quantile(0.5), added.quantile(0.51), added.quantile(1.0)) == (0.1, 0.5, 0.5)
    assert FUNCTION.since(LATER) == FUNCTION  # it was started again
    assert FUNCTION.since(None) == FUNCTION
    assert FUNCTION.since(FUNCTION).quantile(0.5) is None


def test_rates_are_sums_over_the_nodes_by_the_clock_of_each() -> None:
    before = [node("a", 100.0, FUNCTION, refused=5), node("b", 7.0, FUNCTION)]
    now = [node("a", 102.0, LATER, refused=9, queued=3), node("b", 11.0, LATER)]
    seen = rates(before, now)
    (f,) = seen.functions
    assert (f.nodes, f.calls_per_second, f.errors_per_second, f.in_flight) == (2, 15.0, 0.75, 2)
    assert (f.p50, f.p99, f.calls, f.errors) == (0.1, 0.5, 60, 4)
    a, b = seen.nodes
    assert (a.calls_per_second, a.refused_per_second, a.queued) == (10.0, 2.0, 3)
    assert (b.calls_per_second, b.errors_per_second) == (5.0, 0.25)


def test_the_first_reading_has_no_rates() -> None:
    (f,) = rates([], [node("a", 1.0, FUNCTION)]).functions
    assert (f.calls_per_second, f.errors_per_second, f.p50) == (None, None, 0.1)


def test_a_node_that_was_started_again_begins_anew() -> None:
    seen = rates([node("a", 100.0, LATER, refused=7)], [node("a", 1.0, FUNCTION)])
    assert seen.functions[0].calls_per_second is None
    assert seen.nodes[0].refused_per_second is None


def test_a_node_that_does_not_answer_is_shown_and_counted_nowhere() -> None:
    silent = mpreg.NodeStats(node="b", error="2 s passed")
    seen = rates([node("a", 1.0, FUNCTION), node("b", 1.0, FUNCTION)], [node("a", 2.0, LATER), silent])
    assert (seen.functions[0].nodes, seen.functions[0].calls_per_second) == (1, 20.0)
    assert (seen.nodes[1].error, seen.nodes[1].calls_per_second) == ("2 s passed", None)


def test_the_busiest_function_comes_first() -> None:
    idle = mpreg.FunctionStats(name="a", version="1.0.0", calls=1000)
    seen = rates([node("a", 1.0, idle, FUNCTION)], [node("a", 2.0, idle, LATER)])
    assert [each.name for each in seen.functions] == ["f", "a"]


@pytest.mark.parametrize(
    ("seconds", "told"), [(None, "-"), (2.5, "2.5 s"), (0.0123, "12.3 ms"), (0.000048, "48 us"), (1.0, "1 s")]
)
def test_durations_are_short(seconds: float | None, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.usefixtures("mpreg_environ")
def test_once_and_lines_of_json_on_a_real_node() -> None:
    served = mpreg.Node("busy")
    served.function("f")(lambda: 1)
    with served.running() as mesh:
        assert mesh.call("f") == 1
        once = CliRunner().invoke(command, ["top", "--once", "--interval", "0.1", "--connect", served.address])
        assert once.exit_code == 0
        assert once.stdout.startswith("f\t1.0.0\t1\t0.0\t0.0\t0\t-\t-\t1\t0\n\n")
        assert f"default/{served.id}\t" in once.stdout
        lines = ["top", "--json", "--interval", "0.1", "--connect", served.address]
        with subprocess.Popen(
            [sys.executable, "-c", "from mpreg.cli import main; main()", *lines],
            env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            first, second = (json.loads(process.stdout.readline()) for _ in range(2))
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in told
    assert first["functions"][0]["calls_per_second"] is None
    assert second["functions"][0]["calls_per_second"] == 0.0
    assert second["nodes"][0]["clients"] == 1


@pytest.mark.usefixtures("mpreg_environ")
@pytest.mark.parametrize("end", [b"q", b"\x03"])
def test_in_a_terminal_q_and_ctrl_c_end_it(end: bytes) -> None:
    served = mpreg.Node("busy")
    served.function("shop.price")(lambda: 1)
    with served.running() as mesh:
        mesh.call("shop.price")
        child, terminal = pty.fork()
        if child == 0:
            arguments = [
                sys.executable, "-c", "from mpreg.cli import main; main()", "top", "--interval", "30", "--connect", served.address
            ]  # fmt: skip
            os.execve(
                sys.executable, arguments, {**child_environment(), "TERM": "xterm", "COLUMNS": "150", "LINES": "40"}
            )
        seen = b""
        while b"q ends it" not in seen:
            ready, _, _ = select.select([terminal], [], [], 30)
            assert ready, seen
            seen += os.read(terminal, 65536)
        os.write(terminal, end)
        _, status = os.waitpid(child, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert b"shop.price" in seen


def test_a_bad_interval_and_a_wrong_address_are_told() -> None:
    for arguments in (["--interval", "0"], ["--connect", "127.0.0.1:1"], ["--connect", "nonsense"]):
        done = CliRunner().invoke(command, ["top", "--once", *arguments])
        assert done.exit_code != 0
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
