"""Every kind of value through the real wire, and hints on both sides; the codec itself is tested elsewhere."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import hashlib
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec
import numpy as np
import pydantic
import pytest
from value_cases import PLAIN, RICH, UNHASHABLE, same, shown

import mpreg

if TYPE_CHECKING:
    from collections.abc import Callable

    from ways import Way

    from mpreg.testing import LocalMesh


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Item:
    name: str
    price: decimal.Decimal
    colour: Colour = Colour.RED
    tags: tuple[str, ...] = ()


class Model(pydantic.BaseModel):
    amount: int
    item: Item | None = None


class Struct(msgspec.Struct):
    at: dt.datetime
    unit_price: float = 0.0


class Options(TypedDict, total=False):
    limit: int


ITEM = Item("a", decimal.Decimal("1.10"), tags=("x", "y"))
NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


async def test_every_value_arrives_as_it_was_both_ways(way: Way) -> None:
    @way.function
    def echo(value, *, again=None):
        return [value, again]

    for value in [*PLAIN, *RICH, *UNHASHABLE]:
        assert same(await way.caller.call(echo, value, again=value), [value, value]), shown(value)


async def test_every_value_arrives_nested(way: Way) -> None:
    @way.function
    async def echo(value: Any) -> Any:
        return value

    everything = {
        "list": [*PLAIN, *RICH, *UNHASHABLE],
        "tuple": tuple(RICH),
        ("a", 1): {value: [value] for value in RICH[:12]},
        "deep": {"a": [{"b": ({"c": frozenset({(1, dt.date(2024, 1, 1))})},)}]},
    }
    assert same(await way.caller.call(echo, everything), everything)


async def test_arguments_and_results_are_copies_even_on_the_own_node(way: Way) -> None:
    kept = []

    @way.function
    async def keep(rows: list) -> list:
        kept.append(rows)
        rows.append(1)
        return rows

    mine = [0]
    result = await way.caller.call(keep, mine)
    result.append(2)
    assert (mine, kept, result) == ([0], [[0, 1]], [0, 1, 2])


async def test_hints_rebuild_on_both_sides(way: Way) -> None:
    seen = []

    @way.function
    async def order(
        item: Item,
        model: Model,
        struct: Struct,
        options: Options,
        *more: Item,
        colours: dict[str, Colour],
        **rest: Model,
    ) -> tuple[Item, Model, Struct, list[Colour]]:
        seen.append((item, model, struct, options, more, colours, rest))
        return item, model, struct, list(colours.values())

    model, struct = Model(amount=3, item=ITEM), Struct(at=NOW, unit_price=2.5)
    given = (ITEM, model, struct, {"limit": 3}, ITEM)
    kwargs = {"colours": {"c": Colour.RED}, "extra": model}
    result = await way.caller.call(order, *given, **kwargs)
    assert result == (ITEM, model, struct, [Colour.RED])
    assert [type(each) for each in result] == [Item, Model, Struct, list]
    assert seen == [(ITEM, model, struct, {"limit": 3}, (ITEM,), {"c": Colour.RED}, {"extra": model})]
    plain = await way.caller.call("order", *given, **kwargs)
    item = {"name": "a", "price": decimal.Decimal("1.10"), "colour": "red", "tags": ("x", "y")}
    assert plain == (item, {"amount": 3, "item": item}, {"at": NOW, "unit_price": 2.5}, ["red"])


async def test_without_hints_classes_are_dicts(far: Way) -> None:
    @far.function
    async def kind(value):
        return type(value).__name__, sorted(value)

    assert await far.caller.call(kind, ITEM) == ("dict", ["colour", "name", "price", "tags"])
    assert await far.caller.call(kind, Model(amount=1)) == ("dict", ["amount", "item"])


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ({"name": 3, "price": decimal.Decimal(1)}, r"'item'\.name"),
        ({"name": "a"}, r"item.*price"),
        ({"name": "a", "price": decimal.Decimal(1), "tags": ("x", 2)}, r"'item'\.tags\[1\]"),
        ("nothing", "item"),
    ],
)
async def test_an_argument_that_does_not_fit_is_refused_before_the_function_starts(
    way: Way, argument: Any, path: str
) -> None:
    started = []

    @way.function
    async def take(item: Item) -> None:
        started.append(item)

    with pytest.raises(mpreg.DecodeError, match=path) as told:
        await way.caller.call("take", argument)
    assert (told.value.code, told.value.executed) == ("decode", "no")
    assert started == []


async def test_a_result_that_does_not_fit_names_its_path(far: Way) -> None:
    @far.function
    async def wrong() -> list[Item]:
        return [ITEM, {"name": 1}]

    with pytest.raises(mpreg.DecodeError, match=r"\[1\]"):
        await far.caller.call(wrong)


async def test_arguments_that_cannot_be_encoded_are_named_at_once(way: Way) -> None:
    way.server.function("f")(lambda value: value)
    with pytest.raises(mpreg.EncodeError, match=r"\['rows'\]\[1\]") as told:
        way.caller.call("f", {"rows": [1, object()]})
    assert (told.value.code, told.value.executed) == ("encode", "no")
    endless: list = []
    endless.append(endless)
    with pytest.raises(mpreg.EncodeError):
        way.caller.call("f", endless)
    assert await way.caller.call("f", 1) == 1


async def test_a_result_that_cannot_be_encoded_is_told_to_the_caller(way: Way) -> None:
    @way.function
    async def nonsense() -> Any:
        return {"rows": [1, object()]}

    @way.function
    def nonsense_in_a_thread() -> Any:
        return object()

    @way.function
    def generator() -> Any:
        return (x for x in range(3))

    for name in ("nonsense", "nonsense_in_a_thread", "generator"):
        with pytest.raises(mpreg.EncodeError) as told:
            await way.caller.call(name)
        assert told.value.executed == "yes"
    with pytest.raises(mpreg.EncodeError, match="rows"):
        await way.caller.call("nonsense")


async def test_large_bytes_arrive_whole(way: Way) -> None:
    @way.function
    async def reverse(data: bytes) -> bytes:
        return data[::-1]

    data = bytes(range(256)) * 4096  # 1 MiB
    assert await way.caller.call(reverse, data) == data[::-1]
    assert await way.caller.call("reverse", data) == data[::-1]


async def test_a_large_array_arrives_whole_and_comes_back(way: Way) -> None:
    @way.function
    async def double(rows: np.ndarray) -> tuple[str, np.ndarray]:
        return hashlib.sha256(rows).hexdigest(), rows * 2

    rows = np.arange(2_500_000, dtype=np.float64).reshape(1000, 2500)  # 20 MB
    digest, doubled = await way.caller.call(double, rows)
    assert digest == hashlib.sha256(rows).hexdigest()
    assert doubled.shape == rows.shape
    assert np.array_equal(doubled, rows * 2)
    turned = rows.T[::2]
    assert np.array_equal((await way.caller.call(double, turned))[1], turned * 2)


async def test_values_that_are_too_large_are_refused_and_harm_nobody(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    small = mpreg.Config(max_value_bytes=1 << 20, receive_bytes=4 << 20)
    server = mpreg.Node("server", config=small)

    @server.function
    async def size(data: bytes) -> int:
        return len(data)

    @server.function
    async def make(count: int) -> bytes:
        return bytes(count)

    async with mpreg_mesh([server, mpreg.Node("caller")]) as mesh, mesh.connect(1) as client:
        await mesh.converged()
        for caller in (server, mesh.nodes[1], client):
            with pytest.raises(mpreg.TooLargeError) as told:
                await caller.call("size", bytes(2 << 20))
            assert (told.value.code, told.value.executed) == ("too_large", "no")
            with pytest.raises(mpreg.PayloadError, match="larger than 1048576 bytes") as told:
                await caller.call("make", 2 << 20)
            assert told.value.executed == "yes"
            assert await caller.call("size", bytes(1 << 19)) == 1 << 19
            assert len(await caller.call("make", 1 << 19)) == 1 << 19


async def test_a_result_that_is_too_large_says_so(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    server = mpreg.Node("server", config=mpreg.Config(max_value_bytes=1 << 20))
    server.function("make")(lambda count: b"x" * count)
    async with mpreg_mesh([server]):
        with pytest.raises(mpreg.TooLargeError):
            await server.call("make", 2 << 20)
