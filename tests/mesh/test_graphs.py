"""Call graphs through a real mesh: references, what comes back, and reports."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from graph_shop import VALUE, Clean

import mpreg

if TYPE_CHECKING:
    from collections.abc import Callable

    from graph_shop import Shop
    from ways import Way

    from mpreg.testing import LocalMesh


async def test_one_call_from_every_place(way: Way) -> None:
    @way.function
    def double(x: int) -> int:
        return 2 * x

    await way.mesh.converged()
    step = way.caller.step(double, way.caller.step(double, 3))
    assert await way.caller.run(step) == 12


async def test_steps_take_each_others_results_and_parts_of_them(shop: Shop) -> None:
    raw = shop.step(shop.ingest, 1)
    clean = shop.step(shop.clean, raw)
    score = shop.caller.remote(shop.score, timeout=20.0).step(clean["rows"], limit=clean["n"])
    assert await shop.run(score, timeout=20.0) == 6.0
    # Again, and with the same steps in another run.
    assert await shop.run(score) == 6.0
    assert await shop.run(score, raw, clean) == (6.0, b"\x01\x02\x03", Clean([1.0, 2.0, 3.0], 3))
    assert await shop.run([clean, clean["rows"][-1], raw]) == [Clean([1.0, 2.0, 3.0], 3), 3.0, b"\x01\x02\x03"]
    assert await shop.run([score]) == [6.0]


async def test_results_are_rebuilt_by_the_hints_of_their_functions(shop: Shop) -> None:
    raw = shop.step("ingest", 1)
    assert await shop.run(shop.step("clean", raw)) == {"rows": [1.0, 2.0, 3.0], "n": 3}
    assert await shop.run(shop.caller.remote("clean", returns=Clean).step(raw)) == Clean([1.0, 2.0, 3.0], 3)
    with pytest.raises(mpreg.DecodeError, match=r"^result of clean: expected list") as told:
        await shop.run(shop.caller.remote("clean", returns=list[int]).step(raw))
    assert told.value.executed == "yes"


async def test_references_stand_anywhere(shop: Shop) -> None:
    raw, n = shop.step(shop.ingest, 7), shop.step(shop.give, 5)
    step = shop.step("any", raw, [n, [n, 1]], (n, 2), {"a": {"b": n}, 3: raw}, Clean([n], n), x=n, y=[raw])
    assert await shop.run(step) == [
        b"\x07\x02\x03", [5, [5, 1]], (5, 2), {"a": {"b": 5}, 3: b"\x07\x02\x03"}, {"rows": [5], "n": 5},
        {"x": 5, "y": [b"\x07\x02\x03"]},
    ]  # fmt: skip
    assert await shop.run(shop.step("any")) == [None, {}]
    assert await shop.run(shop.step("any", n, n, n)) == [5, 5, 5, {}]


@pytest.mark.parametrize(
    ("pick", "value"),
    [
        (lambda step: step["list"][1], 2.5),
        (lambda step: step["list"][-1], "three"),
        (lambda step: step["tuple"], ("a", ("b", "c"))),
        (lambda step: step["tuple"][0], "a"),
        (lambda step: step["tuple"][-1][1], "c"),
        (lambda step: step["field"]["rows"][0], 4.0),
        (lambda step: step["nothing"], None),
        (lambda step: step["big"], 1 << 100),
        (lambda step: step["text"], "x" * 100_000),
        (lambda step: step[8]["deep"]["deeper"][0], {"deepest": True}),
    ],
)
async def test_parts_of_a_result(shop: Shop, pick: Callable[[Any], Any], value: object) -> None:
    part = pick(shop.step(shop.give, VALUE))
    assert await shop.run(part) == value
    assert await shop.run(shop.step("any", [part], x=part)) == [[value], {"x": value}]


async def test_large_results_go_from_step_to_step(shop: Shop) -> None:
    one, two, three = shop.mesh.nodes

    @one.function
    def make(n: int) -> np.ndarray[Any, Any]:
        return np.arange(n, dtype=np.float64)

    @two.function
    def twice(values: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        return {"values": values * 2, "sign": -values}

    @three.function
    def total(*values: np.ndarray[Any, Any]) -> float:
        return float(sum(value.sum() for value in values))

    await shop.mesh.converged()
    n = 1 << 18
    made = shop.step(make, n)
    doubled = shop.step(twice, made)
    sums = shop.step(total, made, doubled["values"], doubled["sign"])
    assert await shop.run(sums) == n * (n - 1)
    got, sign = await shop.run(made, doubled["sign"])
    assert np.array_equal(got, np.arange(n))
    assert np.array_equal(sign, -np.arange(n))


async def test_steps_that_do_not_wait_for_each_other_run_side_by_side(shop: Shop) -> None:
    met = asyncio.Barrier(3)

    @shop.mesh.nodes[1].function
    async def meet(number: int) -> int:
        await met.wait()
        return number

    await shop.mesh.converged()
    assert await shop.run([shop.step(meet, number) for number in range(3)]) == [0, 1, 2]


async def test_references_stand_between_large_values(shop: Shop) -> None:
    n = shop.step(shop.give, [5, "five"])
    array = np.arange(20_000, dtype=np.float64)
    large = b"x" * 100_000
    step = shop.step("any", n, large, n[1], "y" * 70_000, array, {"a": array, "n": n[0]}, n=n[0], large=large, m=n)
    got = await shop.run(step)
    assert got[:4] == [[5, "five"], large, "five", "y" * 70_000]
    assert np.array_equal(got[4], array)
    assert np.array_equal(got[5]["a"], array)
    assert got[5]["n"] == 5
    assert got[6] == {"n": 5, "large": large, "m": [5, "five"]}


async def test_every_keyword_of_a_step_goes_to_its_function(shop: Shop) -> None:
    given = {"timeout": 1, "target": 2, "self": 3, "fn": 4, "steps": 5, "report": True}
    assert await shop.run(shop.step("any", **given)) == [None, given]
    assert await shop.run(shop.caller.remote("any").step(1, **given)) == [1, given]


async def test_a_wide_graph(shop: Shop) -> None:
    wide = [shop.step(shop.give, number) for number in range(500)]
    assert await shop.run(shop.step("add", *wide)) == sum(range(500))
    assert await shop.run(wide) == list(range(500))


async def test_a_deep_chain(shop: Shop) -> None:
    step = shop.step("add", 0)
    for _ in range(2_000):
        step = shop.step("add", step, 1)
    assert await shop.run(step, timeout=60.0) == 2_000


async def test_a_shared_step_runs_once(shop: Shop) -> None:
    ran = []

    @shop.mesh.nodes[1].function
    def once() -> int:
        ran.append(1)
        return 4

    await shop.mesh.converged()
    step = shop.step(once)
    assert await shop.run(shop.step("add", step, step), shop.step("any", [step]), step) == (8, [[4], {}], 4)
    assert ran == [1]


async def test_a_report_tells_who_did_what(shop: Shop) -> None:
    raw = shop.step(shop.ingest, 1)
    clean = shop.step(shop.clean, raw)
    score = shop.step(shop.score, clean["rows"], limit=2)
    report = await shop.run(score, raw, report=True)
    assert report.value(score) == 3.0
    assert report.value(raw) == b"\x01\x02\x03"
    assert report.critical_path == ("ingest", "clean", "score")
    assert report.hops == 0
    nodes = [f"default/{node.id}" for node in shop.mesh.nodes]
    assert [(step.name, step.node, step.cluster) for step in report.steps] == [
        ("ingest", nodes[0], "default"), ("clean", nodes[1], "default"), ("score", nodes[2], "default"),
    ]  # fmt: skip
    assert [step.after for step in report.steps] == [(), (0,), (1,)]
    assert [step.bytes for step in report.steps][0::2] == [5, 9]
    # In whole microseconds: sums of fractions would differ in the last digit.
    spans = [(round(step.started * 1e6), round((step.started + step.seconds) * 1e6)) for step in report.steps]
    moments = [moment for span in spans for moment in span]
    assert moments == sorted(moments)
    assert 0 <= moments[0] <= moments[-1] <= round(report.seconds * 1e6)
    texts = [text.text or "" for text in ET.fromstring(report.svg()).iter("{http://www.w3.org/2000/svg}text")]
    assert all(any(node in text for text in texts) for node in nodes)
    assert any(text.startswith("score ") for text in texts)


async def test_options_of_handles_hold_for_their_steps(shop: Shop) -> None:
    @shop.mesh.nodes[1].function("where", version="1.0.0", resources={"cpu"})
    def old(ctx: mpreg.Context) -> tuple[str, dict[str, Any]]:
        return "old", ctx.metadata

    @shop.mesh.nodes[2].function("where", version="2.0.0", resources={"gpu"})
    def new(ctx: mpreg.Context) -> tuple[str, dict[str, Any]]:
        return "new", ctx.metadata

    await shop.caller.wait_for("where", nodes=2)
    remote = shop.caller.remote
    steps = [
        shop.step("where"),
        remote("where", version="<2").step(),
        remote("where", resources={"cpu"}, metadata={"k": "v"}).step(),
    ]
    assert await shop.run(steps) == [("new", {}), ("old", {}), ("old", {"k": "v"})]


async def test_a_run_inside_a_function_inherits_deadline_and_metadata(shop: Shop) -> None:
    @shop.mesh.nodes[2].function
    def told(ctx: mpreg.Context) -> tuple[float, dict[str, Any]]:
        return ctx.remaining, ctx.metadata

    @shop.mesh.nodes[1].function
    async def outer(ctx: mpreg.Context) -> Any:
        return await ctx.node.run(ctx.node.step(told))

    @shop.mesh.nodes[1].function
    def outer_in_a_thread(ctx: mpreg.Context) -> Any:
        return ctx.sync.run(ctx.sync.step(told))

    await shop.mesh.converged()
    for function in (outer, outer_in_a_thread):
        remaining, metadata = await shop.caller.remote(function, timeout=7.0, metadata={"k": "v"})()
        assert 0 < remaining <= 7
        assert metadata == {"k": "v"}


async def test_a_blocking_client_has_the_same_verbs(shop: Shop) -> None:
    address, config = shop.mesh.nodes[2].address, shop.mesh.config

    def use() -> None:
        with mpreg.SyncClient(address, config=config) as client:
            raw = client.step(shop.ingest, 1)
            clean = client.remote(shop.clean).step(raw)
            score = client.step(shop.score, clean["rows"], limit=clean["n"])
            assert client.run(score) == 6.0
            assert client.run(score, raw, timeout=20.0) == (6.0, b"\x01\x02\x03")
            assert client.run([score]) == [6.0]
            assert client.run([]) == []
            assert client.run(score, report=True).value(score) == 6.0
            with pytest.raises(mpreg.GraphError, match=r"ingest.*rows") as told:
                client.run(client.step("any", raw["rows"]))
            assert isinstance(told.value.__cause__, TypeError)

    await asyncio.to_thread(use)


async def test_many_runs_at_one_time(shop: Shop) -> None:
    async def one(number: int) -> Any:
        return await shop.run(shop.step("add", shop.step(shop.give, number), shop.step(shop.give, 1)))

    assert await asyncio.gather(*(one(number) for number in range(100))) == list(range(1, 101))


async def test_a_slot_is_not_taken_while_inputs_travel(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        one, two, three = mesh.nodes

        @two.function
        def make(size: int) -> bytes:
            return bytes(size)

        @three.function(concurrency=1)
        async def length(value: bytes) -> int:
            return len(value)

        await mesh.converged()
        mesh.partition(two, three)
        started: list[str] = []
        async for event in one.run_events(one.step(length, one.step(make, 100_000))):
            if isinstance(event, mpreg.StepStarted):
                started.append(event.name)
            if started == ["make", "length"]:
                # Behind the step on one connection: it arrives later, and would wait for the slot.
                assert await one.call(length, b"abc") == 3
                mesh.heal()
                started.clear()
            if isinstance(event, mpreg.StepFinished) and event.name == "length":
                assert event.value == 100_000
