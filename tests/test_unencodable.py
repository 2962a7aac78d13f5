"""What cannot travel is an error that names the path, at once, and disturbs nothing."""

from __future__ import annotations

import array
import ctypes
import dataclasses

import numpy as np
import pytest
from value_cases import Item, Order, decode, encode, same

from mpreg._errors import DecodeError, EncodeError, TooLargeError


def endless():
    a = []
    a.append(a)
    return a


def endless_dict():
    a = {}
    a["k"] = (a,)
    return a


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (object(), r"value: a value of type object cannot travel"),
        ({"rows": [1, (2, {"price": object()})]}, r"value\['rows'\]\[1\]\[1\]\['price'\]: "),
        (Order((Item("a", 1j),)), r"value\.items\[0\]\.price: .*complex"),
        ("a\ud800", r"value: text with a lone surrogate"),
        ({"\ud800": 1}, r"lone surrogate"),
        ({1: {2, 1j}}, r"value\[1\]\[1j\]: "),
        ({1j: 1}, r"value\[1j\]: "),
        (int, r"type type cannot travel; send its name"),
        (iter([]), r"send `list"),
        (same, r"type function"),
        ({Order(()): 1}, r"arrives as a dict, which cannot be a key"),
        (endless(), r"nested deeper than 256, or it contains itself"),
        (endless_dict(), r"nested deeper than 256"),
        (memoryview((ctypes.c_void_p * 1)()), r"items of format"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_travel_is_an_error_that_names_the_path(value, says):
    with pytest.raises(EncodeError, match=says):
        encode(value)
    assert decode(encode([1])) == [1]


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def test_nesting_is_limited_both_ways():
    assert decode(encode(nested(256))) == nested(256)
    with pytest.raises(EncodeError):
        encode(nested(257))
    with pytest.raises(DecodeError, match="nested deeper"):
        decode(b"\x91" * 257 + b"\x00")


RECORD = np.dtype([("point", [("x", "<f8"), ("y", "<i4", (2, 3))]), ("name", "U3")])


@pytest.mark.parametrize(
    "value",
    [
        *((), {}, {"k": 1}, {1}, frozenset({(1,)}), bytearray(1), memoryview(b"x"), array.array("d", [1.0])),
        *(np.zeros(1), np.zeros((1, 1), RECORD), np.float32(1), np.zeros((), RECORD)[()], Order((Item("a", 1.0),))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_encoded_at_the_deepest_level_is_decoded(value):
    deepest = 0
    for depth in range(245, 258):
        wrapped = value
        for _ in range(depth):
            wrapped = [wrapped]
        try:
            data = encode(wrapped)
        except EncodeError:
            continue
        decode(data)
        deepest = depth
    assert 245 < deepest < 257


@pytest.mark.parametrize(
    "value",
    [b"x" * 2000, ["x" * 100] * 20, np.zeros(300), bytearray(2000), list(range(5000))],
    ids=lambda v: type(v).__name__,
)
def test_more_than_the_limit_is_too_large(value):
    with pytest.raises(TooLargeError, match="larger than 1000 bytes"):
        encode(value, limit=1000)


class Rude:
    """A dataclass whose property does what no property should."""

    @staticmethod
    def made(action):
        cls = dataclasses.make_dataclass("Rude", ["a"])
        value = cls(1)
        cls.a = property(lambda self: action())
        return value


def test_containers_that_change_while_they_are_encoded_are_refused():
    grown = []
    grown.extend([Rude.made(lambda: grown.append(1)), 2])
    shrunk = []
    shrunk.extend([Rude.made(shrunk.clear), 2, 3])
    keyed = {}
    keyed.update(a=Rude.made(lambda: keyed.update({str(len(keyed)): 1})), b=1)
    for value in (grown, shrunk, keyed):
        with pytest.raises(EncodeError, match="changed while it was being encoded"):
            encode(value)


def test_a_property_that_encodes_meanwhile_disturbs_nothing():
    value = [1, Rude.made(lambda: encode({"k": [Rude.made(lambda: decode(encode("x")))]})), {"a": 2}]
    inner = decode(encode(value))
    assert inner[0] == 1
    assert decode(inner[1]["a"]) == {"k": [{"a": "x"}]}
    assert inner[2] == {"a": 2}


def test_errors_of_user_code_are_the_cause_and_interrupts_pass_through():
    def fail():
        raise ZeroDivisionError("oh")

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(EncodeError, match=r"value\[0\]: ZeroDivisionError: oh") as caught:
        encode([Rude.made(fail)])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(KeyboardInterrupt):
        encode([Rude.made(interrupt)])
