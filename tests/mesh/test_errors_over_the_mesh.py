"""Errors of functions, of calls and of callers, as they arrive; the classes themselves are tested in test_errors."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import pytest

import mpreg

if TYPE_CHECKING:
    from collections.abc import Callable

    from ways import Way

    from mpreg.testing import LocalMesh

BUILTINS = [
    ValueError("v"), TypeError("t"), LookupError("l"), KeyError("k"), IndexError("i"), AttributeError("a"),
    ArithmeticError("a"), ZeroDivisionError("z"), OverflowError("o"), RuntimeError("r"), NotImplementedError("n"),
    AssertionError("a"), OSError(5, "io"), FileNotFoundError(2, "none", "/x"), PermissionError(13, "no", "/x"),
    ConnectionError("c"), TimeoutError("t"), EOFError("e"),
]  # fmt: skip
NEAREST = [
    (UnicodeError("u"), ValueError), (ModuleNotFoundError("m"), None), (RecursionError("r"), RuntimeError),
    (BrokenPipeError(32, "b"), ConnectionError), (StopAsyncIteration(1), None), (FloatingPointError("f"), ArithmeticError),
]  # fmt: skip


class OutOfStockError(ValueError):
    def __init__(self, sku: str, left: int) -> None:
        super().__init__(sku, left)
        self.sku = sku
        self.left = left

    def __str__(self) -> str:
        return f"{self.sku}: only {self.left} left"


async def raised_by(way: Way, error: BaseException) -> BaseException:
    @way.server.function("fail")
    async def fail() -> None:
        raise error

    try:
        await way.caller.call("fail")
    except BaseException as told:  # noqa: BLE001 - it is looked at
        return told
    finally:
        way.server.remove("fail")
    raise AssertionError("it did not raise")


async def test_a_builtin_error_is_the_same_class_as_where_it_was_raised(far: Way) -> None:
    for error in BUILTINS:
        told = await raised_by(far, error)
        assert isinstance(told, type(error)), error
        assert isinstance(told, mpreg.RemoteError), error
        assert (told.code, told.executed, told.type_name) == ("remote", "yes", type(error).__name__)
        assert told.args == error.args == told.data


async def test_a_subclass_comes_as_its_nearest_listed_base(far: Way) -> None:
    for error, base in NEAREST:
        told = await raised_by(far, error)
        assert isinstance(told, mpreg.RemoteError), error
        assert told.type_name == type(error).__name__
        if base is not None:
            assert isinstance(told, base), error


async def test_an_error_has_all_its_fields(way: Way) -> None:
    @way.server.function("fail")
    async def fail() -> None:
        def inside() -> None:
            raise OutOfStockError("A1", 2)

        inside()

    with pytest.raises(ValueError, match="A1: only 2 left") as told:
        await way.caller.call("fail")
    error = told.value
    assert isinstance(error, mpreg.RemoteError)
    assert not isinstance(error, OutOfStockError)
    assert (str(error), error.args, error.data) == ("A1: only 2 left", ("A1", 2), ("A1", 2))
    assert (error.code, error.executed, error.attempts, error.retryable) == ("remote", "yes", 1, False)
    assert error.type_name.endswith("OutOfStockError")


async def test_the_ledger_says_where_the_time_went(way: Way) -> None:
    inside: list[float] = []
    started, go = asyncio.Event(), asyncio.Event()

    @way.server.function("fail")
    async def fail() -> None:
        begun = time.monotonic()
        started.set()
        await go.wait()
        inside.append(time.monotonic() - begun)
        raise ValueError("v")

    @way.server.function("echo")
    async def echo(x: int) -> int:
        return x

    begun = time.monotonic()
    call = asyncio.ensure_future(way.caller.call("fail"))
    await started.wait()
    # Time that the function spends waiting, and nobody sleeps.
    for x in range(100):
        await way.caller.call("echo", x)
    go.set()
    with pytest.raises(ValueError, match="v") as told:
        await call
    outside = time.monotonic() - begun
    ledger = told.value.ledger
    assert set(ledger) == {"queue", "wire", "interpreter", "loop", "handler"}
    assert inside[0] - 0.001 <= ledger["handler"] <= outside
    assert sum(ledger.values()) <= outside + 0.001


@pytest.mark.parametrize("options", [{"timeout": 0.2}, {"timeout": 0.01}])
async def test_the_ledger_of_a_call_that_took_too_long(way: Way, options: dict) -> None:
    @way.server.function("hang")
    async def hang() -> None:
        await asyncio.Event().wait()

    await way.caller.wait_for("hang")
    with pytest.raises(mpreg.DeadlineExceededError) as told:
        await way.caller.remote("hang", **options)()
    ledger = told.value.ledger
    # Not all of it: what the start or its report took is on the way.
    assert told.value.executed == "no" or ledger["handler"] > 0


async def test_a_wait_for_a_candidate_is_no_time_on_the_way(way: Way) -> None:
    with pytest.raises(mpreg.FunctionNotFoundError) as told:
        await way.caller.remote("nobody", wait=0.05)()
    assert told.value.ledger["queue"] >= 0.05


async def test_attempts_count_what_was_sent(far: Way) -> None:
    with pytest.raises(mpreg.FunctionNotFoundError) as told:
        await far.caller.remote("nobody", wait=0)()
    # A client asks its entry node, which finds nobody to send it to.
    assert told.value.attempts == isinstance(far.caller, mpreg.Client)


@pytest.mark.parametrize("options", [{}, {"inline": True}, None])
async def test_an_error_brings_its_traceback(far: Way, options: dict | None) -> None:
    def inside() -> None:
        raise OutOfStockError("A1", 2)

    async def on_the_loop() -> None:
        inside()

    far.server.function("fail", **(options or {}))(on_the_loop if options is None else inside)
    with pytest.raises(mpreg.RemoteError) as told:
        await far.caller.call("fail")
    assert "in inside" in told.value.traceback
    assert "raise OutOfStockError" in told.value.traceback


async def test_an_error_names_its_node(way: Way) -> None:
    assert (await raised_by(way, ValueError("v"))).node == f"default/{way.server.id}"


async def test_an_error_raised_in_a_thread_or_inline_is_the_same(way: Way) -> None:
    for options in ({}, {"inline": True}):

        @way.server.function("fail", **options)
        def fail() -> None:
            raise KeyError("k")

        with pytest.raises(KeyError) as told:
            await way.caller.call("fail")
        assert isinstance(told.value, mpreg.RemoteError)
        way.server.remove("fail")


async def test_a_class_that_both_sides_declare_comes_back(way: Way) -> None:
    @way.function(raises=[OutOfStockError])
    async def buy() -> None:
        raise OutOfStockError("A1", 2)

    with pytest.raises(OutOfStockError, match="only 2") as told:
        await way.caller.call(buy)
    assert isinstance(told.value, mpreg.RemoteError)
    assert (told.value.sku, told.value.left) == ("A1", 2)
    with pytest.raises(ValueError, match="only 2") as told:
        await way.caller.call("buy")
    assert not isinstance(told.value, OutOfStockError)


async def test_an_exception_whose_arguments_cannot_be_sent_still_arrives(far: Way) -> None:
    told = await raised_by(far, ValueError(object(), "x"))
    assert isinstance(told, ValueError)
    assert told.data is None
    broken = type("BrokenError", (Exception,), {"__str__": lambda self: 1 / 0})
    assert isinstance(await raised_by(far, broken()), mpreg.RemoteError)
    long = await raised_by(far, ValueError("x" * 3_000_000))
    assert isinstance(long, (ValueError, mpreg.RemoteError))


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("mode", ["async", "thread", "inline"])
async def test_what_would_end_a_process_ends_only_the_call(far: Way, kind: type[BaseException], mode: str) -> None:
    def fail() -> None:
        raise kind("bye")

    async def fail_on_the_loop() -> None:
        raise kind("bye")

    far.server.function("fail", inline=mode == "inline")(fail_on_the_loop if mode == "async" else fail)
    far.server.function("fine")(lambda: 1)
    with pytest.raises(mpreg.RemoteError) as told:
        await far.caller.call("fail")
    assert (told.value.type_name.rpartition(".")[2], told.value.executed) == (kind.__name__, "yes")
    assert await far.caller.call("fine") == 1


async def test_sys_exit_in_a_function_does_not_end_the_node(way: Way) -> None:
    @way.function
    async def leave() -> None:
        sys.exit(3)

    with pytest.raises(mpreg.RemoteError, match="3"):
        await way.caller.call(leave)
    assert way.server.is_started


async def test_errors_of_calls_inside_functions_keep_their_class(far: Way) -> None:
    far.mesh.nodes[0].function("inner")(lambda: {}["k"])
    await far.server.wait_for("inner")

    @far.function
    async def outer(ctx: mpreg.Context) -> None:
        await ctx.node.call("inner")

    @far.function
    async def lost(ctx: mpreg.Context) -> None:
        await ctx.node.remote("nobody.offers.this", wait=0)()

    with pytest.raises(KeyError) as told:
        await far.caller.call(outer)
    assert isinstance(told.value, mpreg.RemoteError)
    with pytest.raises(LookupError) as told:
        await far.caller.call(lost)
    assert isinstance(told.value, mpreg.RemoteError)
    assert told.value.executed == "yes"


async def test_an_unknown_function_is_told_with_what_there_is(way: Way) -> None:
    way.server.function("shop.score", version="1.2.0", resources={"gpu"})(lambda: 1)
    await way.caller.wait_for("shop.score")
    for handle, told in (
        (way.caller.remote("shop.scroe", wait=0), r"shop\.scroe.*shop\.score"),
        (way.caller.remote("shop.score", version=">=2", wait=0), r">=2.*1\.2\.0"),
        (way.caller.remote("shop.score", resources={"tpu"}, wait=0), r"tpu.*gpu"),
    ):
        with pytest.raises(mpreg.FunctionNotFoundError, match=told) as error:
            await handle()
        assert isinstance(error.value, LookupError)
        assert (error.value.code, error.value.executed) == ("function_not_found", "no")


async def test_another_cluster_cannot_be_reached(way: Way) -> None:
    way.server.function("f")(lambda: 1)
    await way.caller.wait_for("f")
    with pytest.raises(mpreg.NoRouteError, match="mars") as told:
        await way.caller.remote("f", cluster="mars", wait=0)()
    assert told.value.executed == "no"
    assert await way.caller.remote("f", cluster="default")() == 1
    assert await way.caller.remote("f", cluster="*")() == 1


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((), {}, "sku"), (("a", "b"), {}, "positional"), (("a",), {"color": 1}, "color"), (("a",), {"sku": "b"}, "sku"),
    ],
)  # fmt: skip
async def test_arguments_that_do_not_fit_the_signature(way: Way, args: tuple, kwargs: dict, told: str) -> None:
    started = []

    @way.server.function("shop.price")
    async def price(sku: str, *, qty: int = 1) -> float:
        started.append(sku)
        return 1.0

    with pytest.raises(TypeError, match=told) as error:
        await way.caller.call("shop.price", *args, **kwargs)
    assert isinstance(error.value, mpreg.RemoteError)
    assert "shop.price" in str(error.value)
    assert (error.value.code, error.value.executed) == ("bad_arguments", "no")
    assert started == []


async def test_a_closed_client_says_so_at_once(far: Way) -> None:
    far.server.function("f")(lambda: 1)
    client = await far.mesh.connect()
    handle = client.remote("f")
    assert await handle() == 1
    await client.close()
    await client.close()
    for use in (lambda: client.call("f"), handle, client.members, lambda: anext(client.map("f", [1]))):
        with pytest.raises(mpreg.ConnectionLostError, match="closed") as told:
            await use()
        assert told.value.executed == "no"


async def test_a_node_before_the_start_and_after_the_stop_says_so_at_once(
    mpreg_mesh: Callable[..., LocalMesh],
) -> None:
    node = mpreg.Node("a")
    node.function("f")(lambda: 1)
    handle = node.remote("f")

    async def refused() -> None:
        for use in (lambda: node.call("f"), handle, node.members):
            with pytest.raises(mpreg.ConnectionLostError, match="not started"):
                await use()

    await refused()
    async with mpreg_mesh([node]):
        assert await handle() == 1
    await refused()
    async with mpreg_mesh([node]):
        assert await handle() == 1


async def test_a_removed_function_is_refused_and_running_calls_finish(way: Way) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    @way.function
    async def slow() -> int:
        started.set()
        await go.wait()
        return 1

    call = asyncio.ensure_future(way.caller.call(slow))
    await started.wait()
    way.server.remove(slow)
    with pytest.raises(mpreg.FunctionNotFoundError):
        await way.caller.remote("slow", wait=0.2)()
    go.set()
    assert await call == 1
