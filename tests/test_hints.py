"""Type hints rebuild what travelled as plain values, and name the path to what does not fit."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import subprocess
import sys
import time
import typing
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    TypeVar,
    Union,
)

import msgspec
import numpy as np
import numpy.typing as npt
import pydantic
import pytest
import typing_extensions
from hypothesis import given, settings
from hypothesis import strategies as st

from mpreg import _hints, _mpreg
from mpreg._errors import ConfigError, DecodeError

T = TypeVar("T")
Bounded = TypeVar("Bounded", bound=int)
Chosen = TypeVar("Chosen", int, str)
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)
    LIST = [1]  # noqa: RUF012 - a value that cannot be hashed

    @classmethod
    def _missing_(cls, value):
        return cls.RED if value == "rouge" else None


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Item:
    name: str
    price: float
    tags: list[str] = dataclasses.field(default_factory=list)
    colour: Colour = Colour.RED
    more: Item | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    items: tuple[Item, ...]
    total: float = dataclasses.field(init=False, default=0.0)

    def __post_init__(self):
        if len(self.items) > 3:
            raise ValueError("too many items")


@dataclasses.dataclass
class Box(Generic[T]):
    content: T
    others: list[T]


@dataclasses.dataclass
class IntBox(Box[int]):
    size: int = 0


class Options(TypedDict):
    depth: int
    item: NotRequired[Item]


class Sparse(TypedDict, total=False):
    a: Required[float]
    b: int


class Point(NamedTuple):
    x: float
    y: float = 0.0


Loose = collections.namedtuple("Loose", "a b")  # noqa: PYI024 - as users still write it


class Struct(msgspec.Struct, rename="camel"):
    unit_price: float
    when: dt.datetime | None = None


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    tricks: list[str]


class Model(pydantic.BaseModel):
    amount: int = pydantic.Field(alias="amt", ge=0)
    items: list[Item] = []


class Numbers(pydantic.RootModel[list[int]]):
    pass


@pydantic.dataclasses.dataclass
class Checked:
    a: int


class Text(str):
    __slots__ = ()


class Plain:
    pass


class HasName(typing.Protocol):
    name: str


@typing.runtime_checkable
class Sized(typing.Protocol):
    def __len__(self) -> int: ...


Json = typing_extensions.TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | float | bool | None")
Pair = typing_extensions.TypeAliasType("Pair", tuple[T, T], type_params=(T,))
NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
Five = Annotated[int, pydantic.Field(ge=5)]
Short = Annotated[str, msgspec.Meta(max_length=3)]


def converted(hint, value):
    """What arrives where `hint` stands, after a journey as bytes."""
    wire = _mpreg.decode(_mpreg.encode(value))
    convert = _hints.compile(hint)
    return wire if convert is None else convert(wire)


def same(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


KEEPS = [
    (None, None),
    (bool, True),
    (int, 2**70),
    (int, True),
    (float, 1.5),
    (str, "a"),
    (bytes, b"a"),
    (bytearray, bytearray(b"a")),
    (object, [1, "a"]),
    (Any, {"a": (1,)}),
    (list, [1, "a"]),
    (list[int], [1, 2]),
    (list[list[float]], [[1.0], []]),
    (dict, {1: "a"}),
    (dict[str, int], {"a": 1}),
    (Mapping[str, float], {"a": 1.0}),
    (tuple, (1, "a")),
    (tuple[()], ()),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (set[int], {1}),
    (frozenset[str], frozenset({"a"})),
    (Sequence[int], [1]),
    (Sequence[int], (1,)),
    (Iterable[str], "abc"),
    (Collection[int], {1}),
    (AbstractSet[int], frozenset({1})),
    (int | None, None),
    (Optional[int], 1),  # noqa: UP045
    (Union[int, str], "a"),  # noqa: UP007
    (int | float, 1),
    (float | int, 1),
    (float | int, 1.0),
    (int | bool, True),
    (str | list[str], ["a"]),
    (Literal["a", 1], "a"),
    (Literal["a", 1, None], None),  # noqa: PYI061
    (dt.datetime, NOW),
    (dt.date, dt.date(2024, 1, 1)),
    (dt.time, dt.time(1)),
    (dt.timedelta, dt.timedelta(1)),
    (decimal.Decimal, decimal.Decimal("1.5")),
    (uuid.UUID, uuid.UUID(int=5)),
    (Options, {"depth": 1}),
    (Sparse, {"a": 1.0}),
    (np.ndarray, np.zeros(3)),
    (npt.NDArray[np.float64], np.zeros((2, 2))),
    (npt.NDArray[np.floating[Any]], np.zeros(2, "f4")),
    (np.float32, np.float32(1)),
    (array.array, array.array("d", [1.0])),
    (memoryview, memoryview(b"abc")),
    (UserId, 5),
    (Annotated[int, "any note"], 5),
    (Five, 5),
    (Short, "abc"),
    (T, [1]),
    (Bounded, 1),
    (Chosen, "a"),
    (Json, {"a": [1, None, {"b": "c"}], "d": 1.5}),
    (Pair[int], (1, 2)),
    (typing_extensions.LiteralString, "a"),
    (Sized, [1]),
    (HasName, {"name": "a"}),
    (AsyncIterator[int], 5),
    (Iterator[list[int]], [5]),
    (Awaitable[str], "a"),
    (collections.abc.Callable[..., Any] | int, 1),
]


@pytest.mark.parametrize(("hint", "value"), KEEPS, ids=lambda each: str(each)[:40] if " at 0x" not in str(each) else "")
def test_a_value_that_fits_stays_as_it_is(hint, value):
    assert same(converted(hint, value), value)


item = Item("a", 1.5, ["t"], Colour.PAIR, Item("b", 2.0))


@pytest.mark.parametrize(
    ("hint", "value", "becomes"),
    [
        (float, 1, 1.0),
        (float, True, 1.0),
        (list[float], [1, 2.5, 3], [1.0, 2.5, 3.0]),
        (tuple[float, int], (1, 1), (1.0, 1)),
        (dict[str, float], {"a": 1.5, "b": 1, "c": 2.5}, {"a": 1.5, "b": 1.0, "c": 2.5}),
        (dict[Colour, int], {"red": 1, (1, 2): 2}, {Colour.RED: 1, Colour.PAIR: 2}),
        (set[float], {1}, {1.0}),
        (frozenset[Colour], frozenset({"red"}), frozenset({Colour.RED})),
        (float | None, 1, 1.0),
        (int, np.int16(5), 5),
        (float, np.float32(0.5), 0.5),
        (float, np.float64(0.5), np.float64(0.5)),
        (bool, np.bool_(1), True),
        (str, np.str_("a"), np.str_("a")),
        (Colour, Colour.RED, Colour.RED),
        (Colour, Colour.LIST, Colour.LIST),
        (Colour, "rouge", Colour.RED),
        (Right, Right.READ | Right.WRITE, Right.READ | Right.WRITE),
        (Literal[Colour.RED, "x"], Colour.RED, Colour.RED),
        (Item, item, item),
        (list[Item], [item], [item]),
        (Item, {"name": "a", "price": 1}, Item("a", 1.0)),
        (Order, Order(items=(item,)), Order(items=(item,))),
        (Box[float], Box(1, [2]), Box(1.0, [2.0])),
        (Box[Item], Box(item, []), Box(item, [])),
        (Box[list[Box[float]]], Box([Box(1, [])], []), Box([Box(1.0, [])], [])),
        (Box, Box("x", [1]), Box("x", [1])),
        (IntBox, IntBox(1, [2], 3), IntBox(1, [2], 3)),
        (Options, {"depth": 1, "item": item}, {"depth": 1, "item": item}),
        (Sparse, {"a": 1, "other": 2}, {"a": 1.0, "other": 2}),
        (Point, Point(1, 2), Point(1.0, 2.0)),
        (list[Point], [(1.0, 2.0)], [Point(1.0, 2.0)]),
        (Loose, Loose(1, "a"), Loose(1, "a")),
        (Item | Point | None, Point(1, 2), Point(1.0, 2.0)),
        (Item | Options, {"depth": 1}, {"depth": 1}),
        (int | str, np.int8(1), 1),
        (list[float | int], [1, 1.5, np.float32(0.5)], [1, 1.5, 0.5]),
        (Struct, Struct(1.5, NOW), Struct(1.5, NOW)),
        (dict[str, list[Struct]], {"a": [Struct(1.5)]}, {"a": [Struct(1.5)]}),
        (Cat | Dog, Dog(["sit"]), Dog(["sit"])),
        (Model, Model(amt=3, items=[item]), Model(amt=3, items=[item])),
        (Model | None, {"amt": 3}, Model(amt=3)),
        (Numbers, Numbers([1]), Numbers([1])),
        (Checked, Checked(1), Checked(1)),
        (Text, Text("a"), Text("a")),
        (collections.OrderedDict, collections.OrderedDict(a=1), collections.OrderedDict(a=1)),
        (collections.defaultdict, collections.defaultdict(int, a=1), collections.defaultdict(None, a=1)),
        (collections.Counter, collections.Counter("aab"), collections.Counter("aab")),
        (Pair[float], (1, 2), (1.0, 2.0)),
        (AsyncIterator[Item], item, item),
    ],
    ids=lambda each: str(each)[:30],
)
def test_a_hint_rebuilds_what_it_asks_for(hint, value, becomes):
    assert same(converted(hint, value), becomes)


@pytest.mark.parametrize(
    ("hint", "value", "says"),
    [
        (int, "a", "value: expected int, got str"),
        (int, 1.0, "value: expected int, got float"),
        (float, "1", "value: expected float, got str"),
        (float, 10**400, "value: OverflowError"),
        (bool, 1, "value: expected bool, got int"),
        (str, b"a", "value: expected str, got bytes"),
        (bytes, bytearray(b"a"), "value: expected bytes, got bytearray"),
        (None, 0, "value: expected None, got int"),
        (list[int], (1,), r"value: expected list\[int\], got tuple"),
        (list[int], [1, "a"], r"value\[1\]: expected int, got str"),
        (tuple[int, str], (1,), r"value: expected tuple\[int, str\] with 2 items, got 1"),
        (tuple[int, ...], [1], r"value: expected tuple\[int, \.\.\.\], got list"),
        (dict[str, int], {"a": {"b": 1}}, r"value\['a'\]: expected int, got dict"),
        (dict[str, int], {1: 1}, r"value\[1\]: expected str, got int"),
        (set[int], {"a"}, r"value\['a'\]: expected int, got str"),
        (set[int], frozenset(), r"value: expected set\[int\], got frozenset"),
        (Sequence[int], {"a": 1}, "expected Sequence"),
        (Sequence[int], ["a"], r"value\[0\]: expected int"),
        (int | str, 1.5, r"value: expected int \| str, got float"),
        (int | None, "a", r"value: expected int \| None, got str"),
        (list[int] | None, [1, "a"], r"value\[1\]: expected int, got str"),
        (Item | None, {"name": "a"}, "value: expected Item: field 'price' is missing"),
        (list[int] | dict[str, int], ("a",), r"value: expected list\[int\] \| dict\[str, int\], got tuple"),
        (Literal["a", 1], "b", r"value: expected 'a' \| 1, got 'b'"),
        (Literal[1], True, "value: expected 1, got True"),
        (Colour, "blue", "value: expected a value of Colour, got 'blue'"),
        (dt.datetime, "2024-01-01", "value: expected datetime, got str"),
        (decimal.Decimal, 1, "value: expected Decimal, got int"),
        (Item, {"name": "a"}, "value: expected Item: field 'price' is missing"),
        (Item, {"name": "a", "price": 1, "prize": 2}, "value: expected Item, which has no field 'prize'"),
        (Item, {"name": "a", "price": "x"}, r"value\.price: expected float, got str"),
        (Item, {"name": "a", "price": 1, 5: 2}, "no field 5"),
        (Item, [], "value: expected Item, got list"),
        (
            list[Item],
            [item, {"name": "a", "price": 1, "more": {"name": 1, "price": 1}}],
            r"value\[1\]\.more\.name: expected str, got int",
        ),
        (Order, {"items": ({"name": "a", "price": "x"},)}, r"value\.items\[0\]\.price: expected float"),
        (Order, {"items": (item,) * 4}, "value: ValueError: too many items"),
        (Box[int], Box("a", []), r"value\.content: expected int, got str"),
        (Options, {}, "value: expected Options: field 'depth' is missing"),
        (Options, {"depth": "a"}, r"value\['depth'\]: expected int, got str"),
        (Sparse, {"b": 1}, "field 'a' is missing"),
        (Point, (1,), "value: expected Point with 2 items, got 1"),
        (Point, ("a", 1), r"value\.x: expected float, got str"),
        (npt.NDArray[np.float64], np.zeros(2, "f4"), "value: expected ndarray"),
        (np.ndarray, [1], "value: expected ndarray, got list"),
        (Struct, {"unitPrice": "x"}, r"value\.unitPrice: expected float, got str"),
        (list[Struct], [{}], r"value\[0\]: object missing required field unitPrice"),
        (Model, {"amount": "x"}, r"value\.am.*got str"),
        (Model, {"amount": 1, "items": [{"name": "a"}]}, r"value\.items\[0\]\.price: field required"),
        (Model, {"amount": -1}, "greater than or equal to 0"),
        (Numbers, ["a"], r"value\[0\]: "),
        (Checked, {"a": "x"}, r"value\.a: "),
        (Five, 4, "greater than or equal to 5"),
        (Short, "abcd", "length <= 3"),
        (Text, 5, "value: expected Text, got int"),
        (Plain, {"a": 1}, "value: expected Plain, got dict"),
        (type, "int", "value: expected type, got str"),
        (Callable[[int], str], "f", "expected Callable"),
        (Json, {"a": [b"x"]}, "expected"),
        (Pair[int], (1, "a"), r"value\[1\]: expected int, got str"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_what_does_not_fit_is_an_error_that_names_the_path(hint, value, says):
    with pytest.raises(DecodeError, match=says):
        converted(hint, value)


@pytest.mark.parametrize("hint", [Any, object, T, Any | None, list[int] | Any, HasName], ids=str)
def test_hints_that_ask_for_nothing_cost_nothing(hint):
    assert _hints.compile(hint) is None


@pytest.mark.parametrize("hint", ["int", typing.ForwardRef("int"), list["int"]], ids=str)
def test_hints_that_are_still_text_are_refused(hint):
    with pytest.raises(ConfigError, match="text whose names are not known"):
        _hints.compile(hint)


def test_fields_whose_hints_cannot_be_read_are_refused():
    @dataclasses.dataclass
    class Broken:
        a: Nowhere  # noqa: F821 - that is the point

    with pytest.raises(ConfigError, match="annotations of Broken cannot be evaluated"):
        _hints.compile(Broken)


def test_a_converter_leaves_the_value_it_is_given_alone():
    value = {"a": [1, {"b": 2}], "c": (3, [4])}
    _hints.compile(dict[str, Any])(value)
    both = _hints.compile(dict[str, list[float | dict[str, float]] | tuple[float, list[float]]])
    assert both(value) == {"a": [1.0, {"b": 2.0}], "c": (3.0, [4.0])}
    assert str(value) == "{'a': [1, {'b': 2}], 'c': (3, [4])}"


def test_interrupts_pass_through_unions():
    @dataclasses.dataclass
    class Busy:
        a: int

        def __post_init__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _hints.compile(Busy | dict[str, int])({"a": 1})


def test_a_recursive_union_cannot_be_made_to_search_for_ever():
    evil = 1.5
    for _ in range(200):
        evil = [evil]
    twice = typing_extensions.TypeAliasType("twice", "list[twice] | Sequence[twice] | Iterable[twice] | int")
    twice.__value__  # noqa: B018 - evaluated once, here, where its names are known
    start = time.monotonic()
    with pytest.raises(DecodeError):
        _hints.compile(twice)(evil)
    assert time.monotonic() - start < 25


def test_a_hint_that_leads_back_to_itself_is_an_error():
    loop = typing_extensions.TypeAliasType("loop", "loop | None")
    with pytest.raises(DecodeError, match="leads back to itself"):
        _hints.compile(loop)(1)


def test_msgspec_and_pydantic_are_loaded_only_when_a_hint_needs_them():
    program = """
import sys, dataclasses
from mpreg import _hints, _mpreg
@dataclasses.dataclass
class A:
    x: list[int]
assert _hints.compile(dict[str, A])(_mpreg.decode(_mpreg.encode({"a": A([1])}))) == {"a": A([1])}
assert not {"msgspec", "pydantic", "numpy", "asyncio"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=25)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
@settings(derandomize=True, deadline=None, max_examples=300)
def test_a_recursive_hint_takes_every_value_of_its_kind(value):
    assert same(converted(Json, value), value)


@given(
    st.builds(
        Item,
        st.text(),
        st.floats(allow_nan=False),
        st.lists(st.text(), max_size=3),
        st.sampled_from(Colour),
        st.none() | st.builds(Item, st.text(), st.just(1.0)),
    )
)
@settings(derandomize=True, deadline=None, max_examples=200)
def test_any_dataclass_arrives_as_it_was(value):
    assert converted(Item, value) == value
