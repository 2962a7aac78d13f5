"""Where values lie: segments cut anywhere, nothing leaks, threads and interpreters end cleanly."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import gc
import subprocess
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from value_cases import BERLIN, LARGE, Order, decode, encode, fixed_examples, outcome, same

from mpreg import _hints
from mpreg._errors import EncodeError

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


def test_classes_of_hints_can_be_collected():
    def made():
        @dataclasses.dataclass
        class Local:
            a: int

        Local.converter = _hints.compile(Local)
        assert Local.converter({"a": 1}) == Local(1)
        return weakref.ref(Local)

    gone = made()
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
from mpreg import _hints, _mpreg
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
