"""Arrays and other buffers arrive with their type, shape, layout and every byte."""

from __future__ import annotations

import array
import ctypes
import gc
import random
import tracemalloc

import numpy as np
import pytest
from value_cases import LARGE, decode, encode, opaque, same

from mpreg._errors import EncodeError

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
