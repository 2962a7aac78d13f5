"""A node's own life and what it offers; calls between nodes are tested elsewhere."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import mpreg
from mpreg.cli._main import mpreg as command
from mpreg.testing import LocalMesh, child_environment, local_node

if TYPE_CHECKING:
    from collections.abc import Iterator


def one() -> int:
    return 1


async def names(node: mpreg.Node) -> set[str]:
    return {entry.name for entry in await node.catalog()}


def test_making_a_node_reads_nothing_and_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPREG_NO_SUCH_SETTING", "1")
    before = threading.active_count()
    node = mpreg.Node("pricing", cluster="eu", instance="a")
    assert (node.name, node.cluster, node.instance) == ("pricing", "eu", "a")
    assert repr(node) == "<Node pricing of eu, not started>"
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": "a b"}, "is not a node name"),
        ({"instance": "A"}, "is not an? instance"),
        ({"cluster": "EU"}, "is not a cluster name"),
        ({"resources": "gpu"}, "not one string"),
        ({"resources": map(str, range(65))}, "at most 64 resources"),
        ({"seeds": "a:1"}, "not one string"),
        ({"trust": ["E U"]}, "is not a cluster name"),
        ({"max_hops": 17}, "takes 0 to 16"),
        ({"seed": ["a:1"]}, "did you mean seeds"),
        ({"threads": 3}, r"config=mpreg.Config\(threads=...\)"),
        ({"port": 7000}, r'listen="127.0.0.1:7000"'),
    ],
)
def test_a_bad_argument_is_named_by_the_constructor(given: dict, told: str) -> None:
    with pytest.raises(mpreg.ConfigError, match=told):
        mpreg.Node(**given)


async def test_before_the_start_and_after_the_stop_it_says_so() -> None:
    node = mpreg.Node("a")
    for _ in range(2):
        with pytest.raises(mpreg.ConnectionLostError, match="is not started") as told:
            await node.call("f")
        assert told.value.executed == "no"
        with pytest.raises(mpreg.ConfigError, match="is not started"):
            _ = node.address
        await node.stop()  # of a stopped node changes nothing
        async with local_node(node):
            assert node.id.startswith("a/")
            await asyncio.gather(node.stop(), node.stop())


async def test_starting_twice_is_refused() -> None:
    async with local_node() as node:
        with pytest.raises(mpreg.ConfigError, match="started already"):
            await node.start()
        assert node.is_started


async def test_a_reason_is_one_of_four() -> None:
    async with local_node() as node:
        with pytest.raises(mpreg.ConfigError, match="did you mean maintenance"):
            await node.stop(reason="maintenence")  # type: ignore[arg-type]
        await node.stop(reason="maintenance")


@pytest.mark.parametrize(
    "bad",
    [
        {"listen": "nowhere"},
        {"seeds": ["no address at all"]},
        {"links": ["nowhere"]},
        {"config": mpreg.Config(advertise="nowhere")},
    ],
)
async def test_what_is_no_address_stops_the_start(bad: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPREG_SECRET_FILE", child_environment()["MPREG_SECRET_FILE"])
    node = mpreg.Node("a", **bad)
    with pytest.raises(mpreg.ConfigError):
        await node.start()
    assert not node.is_started


async def test_functions_come_and_go_before_and_while_it_runs() -> None:
    node, group = mpreg.Node("a"), mpreg.Functions(prefix="g.", resources={"gpu"})
    node.function("before")(one)
    group.function("first")(one)
    node.include(group)
    node.include(group)
    async with local_node(node):
        node.function("while")(one)
        group.function("late")(one)
        assert await names(node) == {"before", "g.first", "while", "g.late"}
        assert await node.call("while") == 1
        node.remove("before")
        node.remove(group)
        group.function("never")(one)
        assert await names(node) == {"while"}
        with pytest.raises(mpreg.ConfigError, match=r"offers no whlie .*did you mean while"):
            node.remove("whlie")
        with pytest.raises(mpreg.ConfigError, match=r"while 1.0.0 is registered on node a already"):
            node.function("while")(lambda: 2)


async def test_versions_are_removed_one_by_one() -> None:
    node = mpreg.Node("a")
    for version in ("1.0", "1.1", "2.0"):
        node.function("f", version=version)(one)
    node.remove("f", version="1.1")
    async with local_node(node):
        assert [entry.version for entry in await node.catalog()] == ["1.0.0", "2.0.0"]
        with pytest.raises(mpreg.ConfigError, match=r"offers no f 1.1.0"):
            node.remove("f", version="1.1")
        node.remove("f")
        assert await node.catalog() == []


async def test_a_hint_that_cannot_be_read_stops_the_registration_only() -> None:
    def unreadable(x: Missing) -> int:  # noqa: F821 - that is the point
        return 1

    async with local_node() as node:
        with pytest.raises(mpreg.ConfigError, match="'Missing' of parameter 'x' cannot be evaluated"):
            node.function(unreadable)
        assert await names(node) == set()


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[mpreg.SyncCaller]:
    """A node on TCP, in a thread, and the command told where."""
    monkeypatch.setenv("MPREG_SECRET_FILE", child_environment()["MPREG_SECRET_FILE"])
    node = mpreg.Node("shop", resources={"eu"})

    @node.function("shop.price", tags={"v": "blue"})
    def price(sku: str, *, qty: int = 1) -> float:
        """What it costs."""
        if sku == "ZZ":
            raise KeyError(sku)
        return 2.0 * qty

    with node.running() as mesh:
        monkeypatch.setenv("MPREG_SEEDS", node.address)
        yield mesh


def told(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


async def test_map_and_call_all_over_a_mesh() -> None:
    nodes = [mpreg.Node("a"), mpreg.Node("b")]

    @nodes[0].function(raises=[LookupError])
    @nodes[1].function(raises=[LookupError])
    async def half(number: int) -> float:
        if number % 2:
            raise LookupError(number)
        return number / 2

    async with LocalMesh(nodes) as mesh, mesh.connect(1) as client:
        await client.wait_for(half, nodes=2)
        assert [result async for result in client.map(half, range(0, 100, 2))] == [n / 2 for n in range(0, 100, 2)]
        outcomes = [outcome async for outcome in client.map(half, range(4), errors="yield", ordered=False)]
        assert sorted(outcome.value for outcome in outcomes if outcome.ok) == [0.0, 1.0]
        assert {type(outcome.error).__name__ for outcome in outcomes if not outcome.ok} == {"LookupError"}
        with pytest.raises(LookupError, match="3"):
            _ = [result async for result in client.map(half, [2, 3, 4])]
        found = await client.remote(half).call_all(4)
        assert {(outcome.node, outcome.value) for outcome in found} == {(f"default/{n.id}", 2.0) for n in nodes}


def test_the_command_calls_and_looks(running: mpreg.SyncCaller) -> None:
    assert json.loads(told("call", "shop.price", '"A1"', "qty=3")) == 6.0
    assert json.loads(told("call", "shop.price", '"A1"', "--json")) == {"value": 2.0}
    assert [row["ok"] for row in json.loads(told("call", "shop.price", '"A1"', "--all"))] == [True]
    (entry,) = json.loads(told("catalog", "shop.*", "--json"))
    assert (entry["signature"], entry["resources"], entry["tags"]) == (
        "(sku: str, *, qty: int = 1) -> float", ["eu"], {"v": "blue"},
    )  # fmt: skip
    assert told("catalog").startswith("shop.price\t1.0.0\t")
    assert "What it costs." in told("describe", "shop.price")
    assert told("explain", "shop.price").startswith("->\t")
    assert [row["state"] for row in json.loads(told("members", "--json"))] == ["alive"]
    assert "functions offered: 1" in told("doctor")


@pytest.mark.parametrize("verb", ["call", "describe", "explain"])
def test_the_command_names_the_nearest_function(running: mpreg.SyncCaller, verb: str) -> None:
    assert "shop.price" in refused(verb, "shop.pirce")


def test_the_command_says_what_a_function_raised_and_what_is_no_option(running: mpreg.SyncCaller) -> None:
    assert refused("call", "shop.price", '"ZZ"').startswith(
        "error: the function raised KeyError: 'ZZ'\nhint: it ran on "
    )
    assert "by name is qty=JSON" in refused("call", "shop.price", '"A1"', "--qty", "3")


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr


def test_the_blocking_surface_of_a_running_node(running: mpreg.SyncCaller) -> None:
    assert running.call("shop.price", "A1") == 2.0
    assert running.submit("shop.price", "A1", qty=2).result() == 4.0
    assert list(running.map("shop.price", ["a", "b"])) == [2.0, 2.0]
    assert list(running.map("shop.price", ["a", "b"], ordered=False, kwargs={"qty": 2})) == [4.0, 4.0]
    assert [outcome.value for outcome in running.remote("shop.price").call_all("a")] == [2.0]
    running.wait_for("shop.price")
    assert [entry.name for entry in running.catalog()] == ["shop.price"]
    change = next(running.watch("shop.*", existing=True))
    assert (change.what, change.entry.name) == ("added", "shop.price")
