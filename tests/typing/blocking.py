"""The blocking surface: the same types without `await`."""

from concurrent.futures import Future
from typing import Any, assert_type

import mpreg
from offered import count, node, price, rows, score, squares, tail, train


def call(client: mpreg.SyncClient) -> None:
    assert_type(client.call(price, "A1", qty=2), float)
    assert_type(client.call(score, [1.0]), float)
    assert_type(client.call(train, "m"), str)
    assert_type(client.call("f", 1, k=2), Any)
    assert_type(client.submit(price, "A1"), Future[float])
    assert_type(client.submit("f", 1), Future[Any])
    handle = client.remote(count, timeout=2.0)
    assert_type(handle(["a"]), int)
    assert_type(handle.submit(["a"]), Future[int])
    assert_type(handle.call_all(["a"]), list[mpreg.Outcome[int]])
    assert_type(client.remote("f", returns=int)(1), int)
    assert_type(list(client.map(price, ["A1"])), list[float])
    assert_type(list(client.map(train, ["m"], errors="yield")), list[mpreg.Outcome[str]])
    assert_type(client.catalog(), list[mpreg.FunctionEntry])
    assert_type(client.members(), list[mpreg.Member])
    for change in client.watch("*"):
        assert_type(change, mpreg.Change)


def running() -> None:
    with node.running() as mesh:
        assert_type(mesh, mpreg.SyncCaller)
        assert_type(mesh.call(price, "A1"), float)
    with mpreg.SyncClient("127.0.0.1:7000") as client:
        assert_type(client, mpreg.SyncClient)


def streams(client: mpreg.SyncClient) -> None:
    for line in client.stream(tail, "x"):
        assert_type(line, str)
    assert_type(client.stream(rows, "t"), mpreg.SyncStream[tuple[str, int]])
    assert_type(client.stream("tail"), mpreg.SyncStream[Any])
    assert_type(list(client.remote(tail).stream("x")), list[str])
    with client.stream(squares, 3) as items:
        assert_type(next(items), int)
