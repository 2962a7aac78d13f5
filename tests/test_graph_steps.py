"""Steps of call graphs before anything runs: references, arguments, what is refused, and the report's drawing."""

from __future__ import annotations

import dataclasses
import enum
import gc
import weakref
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

import mpreg
from mpreg import _graph

if TYPE_CHECKING:
    from collections.abc import Callable

SVG = "{http://www.w3.org/2000/svg}"
node = mpreg.Node("steps")


@node.function
def price(sku: str, /, *, qty: int = 1) -> float:
    return 2.0 * qty


@node.function
def score(ctx: mpreg.Context, rows: list[float], limit: int) -> float:
    return sum(rows[:limit])


@dataclasses.dataclass
class Basket:
    items: list[Any]


class Size(enum.Enum):
    SMALL = 1


def test_a_step_is_a_reference_that_gets_longer() -> None:
    step = node.step("shop.clean", 1)
    rows = step["rows"][0][-1]
    assert repr(step) == "<Step shop.clean>"
    assert repr(rows) == '<Step shop.clean["rows"][0][-1]>'
    assert isinstance(rows, mpreg.Step)
    assert repr(node.remote("shop.clean", timeout=2.0).step()) == "<Step shop.clean>"
    assert repr(node.step(price, "A1")) == "<Step price>"
    assert mpreg.Step[int].__origin__ is mpreg.Step


def test_steps_compare_by_identity() -> None:
    one, other = node.step("f", 1), node.step("f", 1)
    assert one == one  # noqa: PLR0124
    assert one != other
    assert one["a"] != one["a"]
    assert len({one, other, one["a"]}) == 3
    assert weakref.ref(one)() is one


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (len, "no length"),
        (bool, "neither true nor false"),
        (iter, r"step\[0\]"),
        (list, r"step\[0\]"),
        (lambda step: 1 in step, "what is in it"),
        (lambda step: step[True], "not bool"),
        (lambda step: step[1.5], "not float"),
        (lambda step: step[None], "not NoneType"),
        (lambda step: step["a", "b"], "not tuple"),
        (lambda step: step[1:2], "not slice"),
        (lambda step: step[1 << 64], "index"),
    ],
)
def test_what_a_step_is_not(use: Callable[[Any], object], says: str) -> None:
    with pytest.raises(TypeError, match=f"shop.clean is a Step.*{says}"):
        use(node.step("shop.clean"))


def test_arguments_are_bound_to_the_function_object_at_once() -> None:
    step = node.step("f")
    assert repr(node.step(price, step, qty=step["n"])) == "<Step price>"
    assert repr(node.step(score, [step], 3)) == "<Step score>"
    assert repr(node.remote(price, timeout=1.0).step("A1")) == "<Step price>"
    with pytest.raises(TypeError, match=r"^price\(sku: str, /, \*, qty: int = 1\) -> float: missing .*'sku'"):
        node.step(price)
    with pytest.raises(TypeError, match=r"^price\(.*quantity"):
        node.remote(price).step("A1", quantity=2)
    with pytest.raises(TypeError, match=r"^score\(rows: list\[float\], limit: int\).*'limit'"):
        node.step(score, [1.0])
    # By name nobody knows them here.
    assert repr(node.step("price", 1, 2, 3, anything=4)) == "<Step price>"


def test_unknown_targets_are_refused_as_in_calls() -> None:
    with pytest.raises(mpreg.ConfigError, match="no function of a node"):
        node.step(lambda x: x, [1])
    with pytest.raises(mpreg.ConfigError, match="shop score"):
        node.step("shop score")


def test_steps_stand_anywhere_among_the_values_of_arguments() -> None:
    raw = node.step("raw")
    basket = Basket([raw, (raw["a"],)])
    step = node.step("f", raw, [raw, [raw[0]]], (1, raw), {"a": {"b": raw}}, basket, key={1: [raw]})
    assert repr(step) == "<Step f>"


@pytest.mark.parametrize("make", [lambda step: {step: 1}, lambda step: {1, step}, lambda step: {(1, step): 2}])
def test_a_step_is_no_key_and_no_member_of_a_set(make: Callable[[object], object]) -> None:
    with pytest.raises(mpreg.EncodeError, match=r"^argument 'where'\[1\].*a Step cannot be a dict key or in a set"):
        node.step("f", where=[0, make(node.step("raw"))])


def test_what_cannot_be_encoded_is_told_when_the_step_is_made() -> None:
    with pytest.raises(mpreg.EncodeError, match=r"^argument 1\['a'\]"):
        node.step("f", node.step("g"), {"a": object()})


async def test_a_step_is_no_argument_of_a_call() -> None:
    step = node.step("f")
    says = "a Step can only be an argument of another step; await client.run"
    async with mpreg.Node("calls") as other:
        with pytest.raises(mpreg.EncodeError, match=rf"^argument 1\[0\]: {says}"):
            await other.call("g", 1, [step])
        with pytest.raises(mpreg.EncodeError, match=rf"^argument 'rows': {says}"):
            await other.remote("g")(rows=step["rows"])
        with pytest.raises(mpreg.EncodeError, match="a Step can only be"):
            await other.remote("g", metadata={"k": step})()


async def test_a_function_that_returns_a_step_says_so() -> None:
    async with mpreg.Node("returns") as other:

        @other.function
        def give() -> object:
            return [node.step("f")]

        with pytest.raises(mpreg.EncodeError, match="a Step can only be an argument"):
            await other.call(give)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((), "needs the steps"),
        (("price",), "'price'"),
        ((price,), "not a step yet"),
        ((node.remote("f"),), "not a step yet"),
        ((node.step("f"), 3), "cannot run 3"),
        (([node.step("f")], node.step("f")), "cannot run"),
        (([3],), "cannot run 3"),
        (((step for step in [node.step("f")]),), "generator"),
        ((Size.SMALL,), "SMALL"),
    ],
)
def test_only_steps_can_be_run(given: tuple[Any, ...], says: str) -> None:
    with pytest.raises(mpreg.ConfigError, match=rf"{says}.*run\(step\), run\(a, b\) or run\(\[a, b, ...\]\)"):
        node.run(*given)


async def test_a_call_under_way_is_no_step() -> None:
    async with mpreg.Node("calls") as other:
        call = other.call("f")
        with pytest.raises(mpreg.ConfigError, match="a Call, which is under way already"):
            other.run(call)  # type: ignore[call-overload]
        call.close()


@pytest.mark.parametrize("timeout", [0, -1.0, "5", True, float("nan"), 1e9])
def test_a_timeout_is_checked_first(timeout: Any) -> None:
    with pytest.raises(mpreg.ConfigError, match="timeout"):
        node.run(node.step("f"), timeout=timeout)


def test_a_node_that_is_not_started_makes_steps_and_runs_none() -> None:
    with pytest.raises(mpreg.ConnectionLostError, match="not started"):
        node.run(node.step("f"))


async def test_an_empty_list_of_steps_gives_an_empty_list() -> None:
    async with mpreg.Node("empty") as other:
        assert await other.run([]) == []
        report = await other.run([], report=True)
        assert (report.steps, report.critical_path, report.hops, report.seconds) == ((), (), 0, 0.0)
        assert ET.fromstring(report.svg()).tag == f"{SVG}svg"


async def test_a_graph_has_a_bound() -> None:
    step = node.step("f")
    for _ in range(10_000):
        step = node.step("f", step)
    async with mpreg.Node("bound") as other:
        with pytest.raises(mpreg.ConfigError, match="10000 steps at most"):
            other.run(step)
        with pytest.raises(mpreg.ConfigError, match="10000 steps at most"):
            other.run([node.step("f") for _ in range(10_001)])


async def test_a_graph_that_is_too_large_as_a_whole_says_so() -> None:
    steps = [node.step("f", bytes(600_000)) for _ in range(2)]
    async with mpreg.Node("small", config=mpreg.Config(max_value_bytes=1 << 20)) as other:
        with pytest.raises(mpreg.TooLargeError, match=r"the graph has 12.* bytes.*max_value_bytes"):
            other.run(steps)
        with pytest.raises(mpreg.TooLargeError, match=r"^argument 'data'"):
            other.step("f", data=bytes(2 << 20))


def test_a_long_chain_and_a_wide_graph_are_freed_without_a_deep_stack() -> None:
    chain = node.step("f")
    for _ in range(200_000):
        chain = node.step("f", chain, [chain])
    wide = node.step("f", [node.step("g", number) for number in range(10_000)])
    ends = [weakref.ref(chain), weakref.ref(wide)]
    del chain, wide
    gc.collect()
    assert [end() for end in ends] == [None, None]


def test_a_handle_keeps_neither_the_function_nor_its_defaults_alive() -> None:
    class Holder:
        def __init__(self) -> None:
            own = mpreg.Node("holder")
            self.handle = own.remote(own.function("held")(self.held))

        def held(self, x: int = 3) -> int:
            return x

    holder = Holder()
    assert repr(holder.handle.step(1)) == "<Step held>"
    gone = weakref.ref(holder)
    del holder
    gc.collect()
    assert gone() is None


def report(rows: list[dict[str, Any]], critical: list[int], total_us: int) -> mpreg.RunReport:
    facts = {"steps": rows, "critical_path": critical, "hops": 1, "total_us": total_us}
    return _graph.RunReport({}, facts)


def row(name: str, at: str, began: int, ended: int, *after: int) -> dict[str, Any]:
    return {
        "name": name, "node": at, "cluster": at.split("/", 1)[0], "began_us": began, "ended_us": ended, "bytes": 7,
        "after": list(after),
    }  # fmt: skip


ROWS = [
    row("ingest", "eu/a/1", 0, 4_000),
    row("clean", "eu/a/1", 4_500, 9_000, 0),
    row("tax <&>", "us/b/2", 4_500, 5_000, 0),
    row("score", "us/b/2", 9_500, 20_000, 1, 2),
]


def test_a_report_says_who_did_what() -> None:
    told = report(ROWS, [0, 1, 3], 21_000)
    assert repr(told) == "<RunReport: 4 steps on 2 nodes in 0.021 s>"
    assert told.critical_path == ("ingest", "clean", "score")
    assert (told.hops, told.seconds) == (1, 0.021)
    assert told.steps[1] == mpreg.StepReport(
        name="clean", node="eu/a/1", cluster="eu", started=0.0045, seconds=0.0045, bytes=7, after=(0,), critical=True
    )
    assert [step.critical for step in told.steps] == [True, True, False, True]


def test_a_report_has_the_values_that_were_asked_for() -> None:
    step, other = node.step("f"), node.step("f")
    wanted, finish = _graph.asked((step, step["n"]), report=True)
    told = finish([1, 2], {"steps": [], "critical_path": [], "hops": 0, "total_us": 0})
    assert [told.value(one) for one in wanted] == [1, 2]
    for wrong in (other, step["n"], 3, []):
        with pytest.raises(mpreg.ConfigError, match="not asked for"):
            told.value(wrong)


def test_the_drawing_has_a_lane_per_node_a_bar_per_step_and_an_arrow_per_input() -> None:
    root = ET.fromstring(report(ROWS, [0, 1, 3], 21_000).svg())
    lanes = [lane.findtext(f"{SVG}title") for lane in root.iter(f"{SVG}g") if lane.get("class") == "node"]
    assert lanes == ["eu/a/1", "us/b/2"]
    steps = [group for group in root.iter(f"{SVG}g") if group.get("class") == "step"]
    bars = [group.find(f"{SVG}rect") for group in steps]
    assert [group.findtext(f"{SVG}text") for group in steps] == [
        "ingest 4 ms", "clean 4.5 ms", "tax <&> 0.5 ms", "score 10.5 ms",
    ]  # fmt: skip
    assert [bar.get("class") for bar in bars if bar is not None] == ["bar hot", "bar hot", "bar", "bar hot"]
    arrows = [path.get("class") for path in root.iter(f"{SVG}path") if "arrow" in (path.get("class") or "")]
    assert sorted(arrows) == ["arrow", "arrow", "arrow hot", "arrow hot"]


def test_bars_follow_time_and_do_not_cover_each_other() -> None:
    rows = [row(f"s{number}", "eu/a/1", 1_000 * number, 1_000 * number + 50_000) for number in range(20)]
    root = ET.fromstring(report(rows, [19], 70_000).svg())
    bars = [group.find(f"{SVG}rect") for group in root.iter(f"{SVG}g") if group.get("class") == "step"]
    boxes = [[float(bar.get(name) or 0) for name in ("x", "y", "width", "height")] for bar in bars if bar is not None]
    assert [box[0] for box in boxes] == sorted(box[0] for box in boxes)
    for index, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, _ in boxes[index + 1 :]:
            apart = x + width <= other_x or other_x + other_width <= x
            assert apart or abs(y - other_y) >= height
    # Nothing leaves the picture.
    size = [float(root.get(name) or 0) for name in ("width", "height")]
    assert max(box[0] + box[2] for box in boxes) <= size[0]
    assert max(box[1] + box[3] for box in boxes) <= size[1]


def test_the_drawing_is_a_document_whatever_the_names_are() -> None:
    hostile = "</svg><script>alert(1)</script>\x00\x1b\ud800 & \"quoted\" 'x' " + "long" * 50
    rows = [row(hostile, hostile, 0, 0), row("after nobody", "", 5, 1, 0, 77)]
    text = report(rows, [0], 0).svg()
    root = ET.fromstring(text.encode("utf-8"))
    assert not list(root.iter(f"{SVG}script"))
    assert not [element for element in root.iter() if any("href" in name for name in element.attrib)]
    assert "prefers-color-scheme: dark" in text
