"""Values of every kind, and how two of them are compared; for the tests of the codec."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import math
import sys
import uuid
import zoneinfo

import msgspec
import numpy as np
import pydantic
from hypothesis import settings

from mpreg import _mpreg
from mpreg._errors import DecodeError

encode = _mpreg.encode
decode = _mpreg.decode
fixed_examples = functools.partial(settings, derandomize=True, deadline=None)

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
LARGE = 70_000  # beyond the 64 KiB from which buffers are segments of their own


def same(a, b):  # noqa: PLR0911 - one line for each kind
    """Equal in value, type and order, all the way down; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and opaque(a) == opaque(b)
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, memoryview):
        return (a.format, a.shape, a.readonly, a.tobytes()) == (b.format, b.shape, b.readonly, b.tobytes())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a), list(b)) and same(list(a.values()), list(b.values()))
    if isinstance(a, (set, frozenset)):
        return sorted(map(repr, a)) == sorted(map(repr, b))
    if isinstance(a, (dt.datetime, dt.time)):
        return repr(a) == repr(b)
    if isinstance(a, (float, decimal.Decimal)):
        return repr(a) == repr(b)
    return a == b


def opaque(a):
    """The items as bytes, with what lies between the fields of structures."""
    return (a.view(f"V{a.dtype.itemsize}") if a.dtype.itemsize else a).tobytes()


PLAIN = [
    None,
    True,
    False,
    *(
        sign * (1 << bits) + delta
        for bits in (0, 5, 7, 8, 15, 16, 31, 32, 63, 64, 65, 500)
        for sign in (1, -1)
        for delta in (-1, 0, 1)
    ),
    0.0,
    -0.0,
    1.5,
    math.inf,
    -math.inf,
    math.nan,
    sys.float_info.min,
    "",
    "a",
    "é",
    "\0",
    "日本語",
    "😀" * 40,
    "x" * 31,
    "x" * 32,
    "x" * 256,
    "x" * 65_536,
    "x" * LARGE,
    "é" * LARGE,
    b"",
    b"\0\xff",
    b"x" * 256,
    b"x" * LARGE,
]
UNHASHABLE = [
    bytearray(),
    bytearray(b"abc"),
    bytearray(b"x" * LARGE),
    [],
    {},
    set(),
    {1, "a", b"b", None, (1, 2)},
    array.array("d", [1.5, -2.5]),
    array.array("b"),
    array.array("Q", [2**64 - 1]),
    array.array("i", range(LARGE)),
    np.arange(6, dtype=">i4").reshape(2, 3),
    np.zeros(LARGE),
]
RICH = [
    (),
    (1,),
    ((), ((),)),
    tuple(range(20)),
    frozenset(),
    frozenset({1, (2, 3), frozenset({4})}),
    dt.date(1, 1, 1),
    dt.date(9999, 12, 31),
    dt.datetime(2024, 2, 29, 23, 59, 59, 999_999),  # noqa: DTZ001 - naive ones travel too
    dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
    dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
    dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(-dt.timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999))),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3), "mine")),
    dt.time(),
    dt.time(1, 2, 3, 4, fold=1),
    dt.time(12, tzinfo=dt.UTC),
    dt.time(12, tzinfo=BERLIN),
    dt.timedelta(),
    dt.timedelta.min,
    dt.timedelta.max,
    dt.timedelta(days=-1, seconds=5, microseconds=7),
    decimal.Decimal("1.10"),
    decimal.Decimal("-0"),
    decimal.Decimal("1E+999999"),
    decimal.Decimal("1" * 60),
    decimal.Decimal("Infinity"),
    decimal.Decimal("-NaN123"),
    uuid.UUID(int=0),
    uuid.UUID(int=2**128 - 1),
    np.float64(1.5),
    np.float32("nan"),
    np.float16(2),
    np.longdouble(1) / 3,
    np.int8(-3),
    np.uint64(2**64 - 1),
    np.complex128(1 - 2j),
    np.bool_(1),
    np.str_("héé"),
    np.str_(""),
    np.bytes_(b"abc"),
    np.bytes_(b""),
    np.datetime64("2024-01-01T00:00:00", "ns"),
    np.datetime64("NaT"),
    np.timedelta64(5, "D"),
]


def shown(value):
    return (
        type(value).__name__
        if " at 0x" in str(value) or isinstance(value, set)
        else f"{type(value).__name__}-{str(value)[:30]}"
    )


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Text(str):
    __slots__ = ()


class Number(int):
    def __int__(self):
        raise AssertionError("the value itself travels, not what its methods say")

    __index__ = __int__
    bit_length = to_bytes = None


class Wrapped(dict):
    pass


Point = collections.namedtuple("Point", "x y")  # noqa: PYI024 - as users still write it


@dataclasses.dataclass
class Item:
    name: str
    price: decimal.Decimal
    tags: list[str] = dataclasses.field(default_factory=list)
    seen: dataclasses.InitVar[int] = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    items: tuple[Item, ...]
    colour: Colour = Colour.RED


class Struct(msgspec.Struct, rename="camel"):
    unit_price: float
    note: str | msgspec.UnsetType = msgspec.UNSET


class Tagged(msgspec.Struct, tag="t"):
    a: int


class Listed(msgspec.Struct, array_like=True):
    a: int
    b: str


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    amount: int = pydantic.Field(alias="amt")
    item: Item | None = None


class Numbers(pydantic.RootModel[list[int]]):
    pass


@pydantic.dataclasses.dataclass
class Checked:
    a: int


class Grid(np.ndarray):
    pass


class Berlin(dt.tzinfo):
    def utcoffset(self, moment):
        return dt.timedelta(hours=2)

    def dst(self, moment):
        return None


ordered = collections.OrderedDict.fromkeys("abc")
ordered.move_to_end("a")


def outcome(data, cuts=None):
    """Decoding ends in a value or in a DecodeError, whatever the bytes are."""
    try:
        return decode(data, cuts=cuts)
    except DecodeError as error:
        return error
