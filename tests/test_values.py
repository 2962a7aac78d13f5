"""Values arrive as they were: what `_mpreg.encode` writes, `_mpreg.decode` reads back, and nothing else gets in."""

from __future__ import annotations

import array
import collections
import contextlib
import ctypes
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import gc
import math
import mmap
import random
import subprocess
import sys
import threading
import tracemalloc
import uuid
import weakref
import zoneinfo

import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpreg import _mpreg
from mpreg._errors import DecodeError, EncodeError, TooLargeError

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


# --- subclasses and objects with fields -------------------------------------------------------------------------------


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


# --- numpy ------------------------------------------------------------------------------------------------------------

DTYPES = [
    *(
        f"{order}{kind}"
        for order in "<>"
        for kind in (
            "i2",
            "i4",
            "i8",
            "u2",
            "u4",
            "u8",
            "f2",
            "f4",
            "f8",
            "c8",
            "c16",
            "U3",
            "M8[ns]",
            "M8[25s]",
            "m8[D]",
        )
    ),
    "i1",
    "u1",
    "?",
    "g",
    "G",
    "S5",
    "V7",
    "M8",
    [("a", "i4"), ("b", ">f8", (2, 3)), ("c", [("d", "M8[us]"), ("e", "S3")])],
    {"names": ["x", "y"], "formats": ["i1", "f8"], "offsets": [16, 0], "itemsize": 32},
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    [(("a title", "name"), "i4")],
    [],
]


def filled(dtype, shape):
    """An array with something in every byte that may hold it."""
    empty = np.zeros(shape, dtype)
    if "U" in empty.dtype.str or empty.nbytes == 0:
        return empty
    raw = random.Random(7).randbytes(empty.nbytes)
    raw = bytes(b & 1 for b in raw) if empty.dtype == bool else raw
    return np.frombuffer(bytearray(raw), empty.dtype).reshape(shape)


def layouts(a):
    yield a
    yield np.asfortranarray(a)
    if a.ndim:
        yield a[::-1]
        yield a[::2]
        yield np.broadcast_to(a, (2, *a.shape))
    if a.ndim == 2:
        yield a.T
        yield a[::2, ::-1]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (4, 0, 2), (130, 90)], ids=str)
def test_arrays_arrive_with_every_dtype_and_layout(dtype, shape):
    for a in layouts(filled(np.dtype(dtype), shape)):
        b = decode(encode(a))
        assert same(np.asarray(a), b)
        assert b.dtype.isalignedstruct == a.dtype.isalignedstruct
        assert b.flags.writeable
        assert b.flags.aligned
        assert b.flags.f_contiguous or not a.flags.f_contiguous or a.flags.c_contiguous


def test_arrays_are_copies_that_may_be_written():
    a = np.arange(LARGE)
    b, c = decode(encode([a, a]))
    b[0] = -1
    assert a[0] == 0
    assert c[0] == 0
    assert b[1] == 1


def test_an_array_keeps_its_memory_alive_and_lets_go_of_it():
    wire = encode([np.arange(200_000), np.ones(200_000)])
    tracemalloc.start()
    try:
        first, second = decode(bytearray(wire))
        view = first[10:20]
        del first, second
        gc.collect()
        assert view.tolist() == list(range(10, 20))
    finally:
        tracemalloc.stop()


def test_what_lies_between_the_fields_is_what_the_sender_wrote():
    dtype = np.dtype({"names": ["x"], "formats": ["i1"], "offsets": [0], "itemsize": 16})
    a = np.frombuffer(b"ABCDEFGHIJKLMNOP" * 10, dtype)[::3]
    assert opaque(decode(encode(a))) == opaque(a)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.array([object()]), "arrays of Python objects"),
        (np.zeros(2, [("a", "i4"), ("b", "O")]), "arrays of Python objects"),
        (np.array(["a"], dtype=np.dtypes.StringDType()), "arrays of"),
        (np.ma.array([1, 2], mask=[0, 1]), "masked array"),
    ],
    ids=["object", "structure", "string", "masked"],
)
def test_arrays_that_cannot_travel_say_what_to_do(value, says):
    with pytest.raises(EncodeError, match=says):
        encode(value)


@pytest.mark.parametrize(
    "view",
    [
        memoryview(b"abc"),
        memoryview(b""),
        memoryview(bytearray(b"abc")),
        memoryview(bytearray(LARGE)),
        memoryview(b"abcdef")[::2],
        memoryview(np.arange(6.0).reshape(2, 3)),
        memoryview(np.arange(6, dtype="u2").reshape(2, 3)[:, ::-1]),
        memoryview(np.arange(LARGE, dtype="i4")),
        memoryview(np.array(5.0)),
        memoryview(array.array("l", [1, -1])),
    ],
    ids=lambda view: f"{view.format}{view.shape}",
)
def test_memoryviews_arrive_with_format_shape_and_mode(view):
    assert same(decode(encode(view)), view)


def test_a_writable_memoryview_can_be_written_and_a_read_only_one_cannot():
    writable, readonly = decode(encode([memoryview(bytearray(b"abc")), memoryview(b"abc")]))
    writable[0] = 0
    assert writable.tobytes() == b"\0bc"
    with pytest.raises(TypeError):
        readonly[0] = 0
    with pytest.raises(TypeError, match="not writable"):
        (ctypes.c_char * 3).from_buffer(readonly.obj)


# --- what cannot be sent ----------------------------------------------------------------------------------------------


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
        (test_dicts_keep_their_order, r"type function"),
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


# --- bytes from anybody -----------------------------------------------------------------------------------------------

EVERYTHING = [*PLAIN[:60], *UNHASHABLE[:4], *UNHASHABLE[6:12], *RICH, memoryview(b"ab"), {"key": {"k": 1}}]


def outcome(data, cuts=None):
    """Decoding ends in a value or in a DecodeError, whatever the bytes are."""
    try:
        return decode(data, cuts=cuts)
    except DecodeError as error:
        return error


@pytest.mark.parametrize("value", EVERYTHING, ids=shown)
def test_a_value_cut_short_is_refused_wherever_it_ends(value):
    data = encode(value)
    for end in range(min(len(data), 2000)):
        with pytest.raises(DecodeError):
            decode(data[:end])


@pytest.mark.parametrize("seed", range(40))
def test_changed_bytes_never_harm_the_interpreter(seed):
    chance = random.Random(seed)
    sources = [bytearray(encode(chance.sample(EVERYTHING, 5))) for _ in range(5)]
    for _ in range(1000):
        data = bytearray(chance.choice(sources))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    data[at] ^= 1 << chance.randrange(8)
                case 2:
                    del data[at : at + chance.randint(1, 9)]
                case _:
                    data[at:at] = chance.randbytes(chance.randint(1, 9))
            if not data:
                break
        value = outcome(bytes(data))
        # Some of numpy's values cannot be shown; looking at them must not harm either.
        with contextlib.suppress(Exception):
            repr(value)


@given(st.binary(max_size=60))
@fixed_examples(max_examples=800)
def test_any_bytes_are_a_value_or_a_decode_error(data):
    outcome(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x02",
        b"\xdd\xff\xff\xff\xff\xd4\x01\x01",
        b"\xdd\xff\xff\xff\xff\xd4\x01\x02",
        (b"\xdd\x00\x00\xff\x00" * 250).ljust(65_536, b"\x00"),
        (b"\xdf\x00\x00\x7f\x00\x00" * 250).ljust(65_536, b"\x00"),
    ],
    ids=["array", "map", "bin", "str", "ext", "tuple", "set", "arrays in arrays", "maps in maps"],
)
def test_announced_lengths_reserve_nothing(data):
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def tagged(tag, *parts):
    return bytes([0x91 + len(parts), 0xD4, 1, tag]) + b"".join(encode(part) for part in parts)


READONLY = True


def array_parts(dtype, shape, data, order=False):  # noqa: FBT002
    return tagged(7, dtype, order, shape, b"", data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "end in the middle"),
        (b"\xc1", "no msgpack"),
        (b"\x01\x01", "bytes follow"),
        (b"\xa1\xff", "UnicodeDecodeError"),
        (b"\x82\xa1a\x01\xa1a\x01", "stands twice"),
        (b"\x81\x90\x01", "unhashable"),
        (b"\xd4\x01\x01", "extension 1"),
        (b"\xd4\x7f\x01", "extension 127"),
        (b"\xd4\xff\x01", "extension -1"),
        (b"\xd4\x09\x01", "step outside a graph"),
        (b"\x92\x01\xd4\x01\x01", "extension 1"),
        (tagged(99), "tag 99"),
        (tagged(4, b"a", b"b"), "tag 4"),
        (tagged(2, []), "unhashable"),
        (b"\xd6\x03\x07\xe8\x0d\x01", "month"),
        (b"\xd4\x03\x07", "wrong length"),
        (b"\xd4\x07x", "InvalidOperation"),
        (b"\xd4\x08x", "wrong length"),
        (array_parts("<f8", [2], b"1234567"), "does not fit"),
        (array_parts("<f8", [2**40, 2**40], b""), "does not fit"),
        (array_parts("<f8", [1] * 65, bytes(8)), "more than 64 dimensions"),
        (array_parts("<f8", [-1], b""), "OverflowError"),
        (array_parts("|O", [1], bytes(8)), "array type"),
        (array_parts("O", [1], bytes(8)), "array type"),
        (array_parts("O8,f8", [1], bytes(16)), "array type"),
        (array_parts("numpy.object_", [1], bytes(8)), "array type"),
        (array_parts([8, False, [["a", "|O8", 0, None]]], [1], bytes(8)), "array type"),
        (array_parts([8, False, [["a", "<f8", 4, None]]], [1], bytes(8)), "ValueError"),
        (array_parts([2**31, False, []], [1], b""), "Error"),
        (array_parts(["<f8"], [1], bytes(8)), "array type"),
        (array_parts("<U2", [1], b"a\0\0\0\0\0\x11\0"), "text that is none"),
        (array_parts(">U1", [2], b"\0\0\0a\0\x11\0\0"), "text that is none"),
        (
            array_parts([20, False, [["a", "<f4", 0, None], ["b", ["<U2", [2]], 4, None]]], [1], bytes(19) + b"\x01"),
            "text that is none",
        ),
        (tagged(8, "<U1", b"\0\0\x11\0"), "text that is none"),
        (tagged(8, "<f8", b"1234"), "does not fit its type"),
        (tagged(8, "|O8", bytes(8)), "array type"),
        (tagged(5, READONLY, "q", [1], b"", b"1"), "not put together"),
        (tagged(5, READONLY, "P", [1], b"", bytes(8)), "not put together"),
        (tagged(5, READONLY, "O", [1], b"", bytes(8)), "not put together"),
        (tagged(5, READONLY, "B", [2**63], b"", b""), "not put together"),
        (tagged(6, "u", 4, b"", b"\xff\xff\xff\xff"), "not in range"),
        (tagged(6, "d", 4, b"", bytes(8)), "another size"),
        (tagged(6, "dd", 8, b"", bytes(8)), "TypeError"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_malformed_values_are_refused_with_a_reason(data, says):
    with pytest.raises(DecodeError, match=says):
        decode(data)
    assert decode(encode([1])) == [1]


def zoned(kind, rest):
    body = bytes([7, 0xE8, 1, 1]) + bytes(8) + bytes([kind]) + rest
    return bytes([0xC7, len(body), 5]) + body


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"../../etc/passwd",
        b"/etc/passwd",
        b"Europe/../Europe/Berlin",
        b"Europe//Berlin",
        b"a.b",
        b"x" * 65,
        b"Nowhere/City",
        b"\0",
        "é".encode(),
    ],
)
def test_a_time_zone_key_cannot_lead_out_of_the_database(key):
    before = set(sys.modules)
    with pytest.raises(DecodeError):
        decode(zoned(2, key))
    assert not {name for name in set(sys.modules) - before if not name.startswith(("tzdata", "importlib", "zoneinfo"))}


def test_decoding_imports_nothing_that_the_wire_names():
    before = set(sys.modules)
    outcome(array_parts("os.path", [1], bytes(8)))
    outcome(tagged(6, "antigravity", 8, b"", b""))
    assert set(sys.modules) == before


# --- segments ---------------------------------------------------------------------------------------------------------

keys = st.one_of(
    st.text(max_size=5), st.integers(-5, 5), st.tuples(st.integers(0, 3)), st.none(), st.binary(max_size=3)
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.binary(max_size=40),
    st.datetimes(),
    st.datetimes(timezones=st.just(BERLIN)),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(),
    st.uuids(),
    st.binary(max_size=10).map(bytearray),
    st.frozensets(keys, max_size=3),
    st.lists(st.floats(width=32), max_size=4).map(lambda items: np.array(items, "f4")),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=12,
)


@given(values)
@fixed_examples(max_examples=300)
def test_any_value_arrives_as_it_was(value):
    assert same(decode(encode(value)), value)


@given(values, st.data())
@fixed_examples(max_examples=150)
def test_where_the_segments_end_does_not_matter(value, data):
    wire = encode(value)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    assert same(decode(wire, cuts=cuts), value)
    assert same(decode(wire, cuts=list(range(len(wire)))), value)


@pytest.mark.parametrize("cut", [[], [1], [70_000], [65_536, 131_072], [10, 80_000, 80_001, 300_000]], ids=str)
def test_large_buffers_arrive_however_they_were_cut(cut):
    value = {
        "a": np.arange(20_000.0),
        "b": b"x" * LARGE,
        "c": "é" * LARGE,
        "d": (np.arange(90_000, dtype=">u2").reshape(300, 300).T,),
    }
    wire = encode(value)
    assert same(decode(wire, cuts=cut), value)
    assert all(
        a.flags.writeable and a.flags.aligned for a in (decode(wire, cuts=cut)["a"], decode(wire, cuts=cut)["d"][0])
    )


# --- nothing leaks, nothing hangs on ----------------------------------------------------------------------------------


def test_encoding_and_decoding_leave_no_reference_behind():
    class Thing:
        pass

    items = [b"x" * LARGE, "y" * LARGE, np.zeros(LARGE), bytearray(LARGE), [Thing], "short", 12345, (1, 2), {"a": 1}]
    before = [sys.getrefcount(item) for item in items]
    for _ in range(20):
        for item in items[:4] + items[5:]:
            decode(encode(item))
        with pytest.raises(EncodeError):
            encode(items[4])
    del item
    gc.collect()
    assert [sys.getrefcount(item) for item in items] == before


def test_memory_does_not_grow():
    values = [
        {"a": [1, (2, "b")], "c": {"d": b"x" * 100}},
        [np.zeros(10), dt.datetime.now(BERLIN), decimal.Decimal(1), {1, 2}],
        Order(()),
    ]
    wire = [encode(value) for value in values]
    broken = [data[:-1] for data in wire]

    def work():
        for value, good, bad in zip(values, wire, broken, strict=True):
            encode(value)
            decode(good)
            outcome(bad)

    for _ in range(50):
        work()
    gc.collect()
    tracemalloc.start()
    try:
        work()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(300):
            work()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000


def test_decoded_containers_are_seen_by_the_garbage_collector():
    class Watched(dict):
        pass

    for wire in (encode([[]]), encode({"a": {}}), encode(([],))):
        value = decode(wire)
        watched = Watched()
        inner = value["a"] if isinstance(value, dict) else value[0]
        inner.append(watched) if isinstance(inner, list) else inner.update(w=watched)
        watched["up"] = value
        gone = weakref.ref(watched)
        del value, inner, watched
        gc.collect()
        assert gone() is None


def test_threads_come_and_go():
    value = {"k": [Order(()), np.arange(3), dt.datetime.now(BERLIN), "x" * LARGE]}
    wire = encode(value)
    results = []

    def work():
        results.extend(len(encode(decode(wire))) == len(wire) for _ in range(50))

    for _ in range(5):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [True] * (5 * 8 * 50)


def test_the_interpreter_ends_cleanly_with_full_caches_on_every_thread():
    program = """
import threading, dataclasses, numpy as np
from mpreg import _mpreg
@dataclasses.dataclass
class A:
    x: int
value = {"key": [A(1), np.zeros(100_000), b"x" * 100_000]}
kept = _mpreg.decode(_mpreg.encode(value))
stop = threading.Event()
def work():
    while True:
        _mpreg.decode(_mpreg.encode(value))
        stop.set()
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
stop.wait()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=25, check=False)
    assert (done.returncode, done.stderr) == (0, "")
