"""Values arrive as they were: what `_mpreg.encode` writes, `_mpreg.decode` reads back."""

from __future__ import annotations

import collections
import ctypes
import dataclasses
import datetime as dt
import decimal
import gc
import mmap
import weakref

import numpy as np
import pytest
from value_cases import (
    PLAIN,
    RICH,
    UNHASHABLE,
    Berlin,
    Checked,
    Colour,
    Grid,
    Item,
    Level,
    Listed,
    Model,
    Number,
    Numbers,
    Order,
    Point,
    Right,
    Struct,
    Tagged,
    Text,
    Wrapped,
    decode,
    encode,
    ordered,
    same,
    shown,
)


@pytest.mark.parametrize("value", [*PLAIN, *UNHASHABLE, *RICH], ids=shown)
def test_a_value_arrives_as_it_was(value):
    assert same(decode(encode(value)), value)


@pytest.mark.parametrize("value", [*PLAIN, *UNHASHABLE, *RICH], ids=shown)
def test_a_value_arrives_as_it_was_inside_containers(value):
    nested = [value, (value, [value], {"k": value, 2: (value,)}), {"a": {"b": [value]}}]
    assert same(decode(encode(nested)), nested)


@pytest.mark.parametrize("value", [*PLAIN, *RICH], ids=shown)
def test_hashable_values_are_keys_and_members_of_sets(value):
    for container in ({value: 1}, {(value, 0): value}, {value}, frozenset({(value,)})):
        assert same(decode(encode(container)), container)


def test_dicts_keep_their_order():
    value = dict.fromkeys(["z", 1, "a", (0,), None, "b" * 40, 1.5, "z" * 33])
    assert list(decode(encode(value))) == list(value)


def test_shared_objects_arrive_as_copies_of_their_own():
    inner = [1]
    first, second = decode(encode([inner, inner]))
    assert first == second == [1]
    assert first is not second


def test_equal_looking_values_keep_their_types():
    value = [1, True, 1.0, decimal.Decimal(1), np.int64(1), "1", b"1"]
    assert [type(v) for v in decode(encode(value))] == [type(v) for v in value]


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Colour.RED, "red"),
        (Colour.PAIR, (1, 2)),
        (Level.HIGH, 3),
        (Right.READ | Right.WRITE, 3),
        (Text("a"), "a"),
        (Number(7), 7),
        (Number(2**70), 2**70),
        (Number(2**63), 2**63),
        (Wrapped(a=1), {"a": 1}),
        (collections.defaultdict(list, {1: []}), {1: []}),
        (ordered, {"b": None, "c": None, "a": None}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (Point(1, "b"), (1, "b")),
        (Item("x", decimal.Decimal(1)), {"name": "x", "price": decimal.Decimal(1), "tags": []}),
        (
            Order((Item("x", decimal.Decimal(1)),)),
            {"items": ({"name": "x", "price": decimal.Decimal(1), "tags": []},), "colour": "red"},
        ),
        (Struct(1.5), {"unitPrice": 1.5}),
        (Struct(1.5, "n"), {"unitPrice": 1.5, "note": "n"}),
        (Tagged(1), {"type": "t", "a": 1}),
        (Listed(1, "b"), [1, "b"]),
        (Model(amt=1, more=[2]), {"amount": 1, "item": None, "more": [2]}),
        (Numbers([1, 2]), [1, 2]),
        (Checked(1), {"a": 1}),
        (dt.datetime(2024, 1, 1, tzinfo=Berlin()), dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
        (np.array([[1, 2]]).view(Grid), np.array([[1, 2]])),
        (
            np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]).view(np.recarray),
            np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        ),
        ((ctypes.c_int * 3)(1, 2, 3), memoryview((ctypes.c_int * 3)(1, 2, 3))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_subclasses_and_objects_with_fields_travel_as_what_they_are_made_of(value, arrives):
    assert same(decode(encode(value)), arrives)
    assert same(decode(encode([{"k": value}])), [{"k": arrives}])


def test_anything_with_a_buffer_arrives_as_a_memoryview():
    with mmap.mmap(-1, 10) as mapped:
        mapped.write(b"0123456789")
        assert decode(encode(mapped)).tobytes() == b"0123456789"


def test_a_class_that_went_away_leaves_no_trace_in_the_caches():
    for index in range(10):
        cls = dataclasses.make_dataclass("Made", [(f"field{index}", int)])
        assert decode(encode(cls(index))) == {f"field{index}": index}
        gone = weakref.ref(cls)
        del cls
        gc.collect()
        assert gone() is None
