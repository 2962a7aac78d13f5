"""Bytes from anybody: a value or a `DecodeError`, never harm, never more memory than arrived."""

from __future__ import annotations

import contextlib
import random
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from value_cases import PLAIN, RICH, UNHASHABLE, decode, encode, fixed_examples, outcome, shown

from mpreg._errors import DecodeError

EVERYTHING = [*PLAIN[:60], *UNHASHABLE[:4], *UNHASHABLE[6:12], *RICH, memoryview(b"ab"), {"key": {"k": 1}}]


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
