"""Errors: one tree, built from plain fields, the same class here as where they were raised."""

from __future__ import annotations

import pickle
import re
import traceback
from pathlib import Path
from typing import Self

import pytest

import mpreg
from mpreg._errors import describe_exception, make_error

CODES = {
    "config": mpreg.ConfigError, "connection_lost": mpreg.ConnectionLostError, "auth": mpreg.AuthError,
    "function_not_found": mpreg.FunctionNotFoundError, "no_route": mpreg.NoRouteError,
    "hop_budget_exhausted": mpreg.HopBudgetExhaustedError, "route_loop": mpreg.RouteLoopError,
    "deadline_exceeded": mpreg.DeadlineExceededError, "overloaded": mpreg.OverloadedError,
    "rate_limited": mpreg.OverloadedError, "draining": mpreg.OverloadedError,
    "wrong_incarnation": mpreg.ConnectionLostError, "cancelled_by_peer": mpreg.CancelledByPeerError,
    "permission_denied": mpreg.PermissionDeniedError, "remote": mpreg.RemoteError, "bad_arguments": mpreg.RemoteError,
    "graph": mpreg.GraphError, "result_lost": mpreg.CallError, "encode": mpreg.EncodeError, "decode": mpreg.DecodeError,
    "too_large": mpreg.TooLargeError, "wrong_verb": mpreg.ConfigError, "internal": mpreg.CallError,
}  # fmt: skip

BUILTINS = [
    ValueError("v"), TypeError("t"), LookupError("l"), KeyError("k"), IndexError("i"), AttributeError("a"),
    ArithmeticError("a"), ZeroDivisionError("z"), OverflowError("o"), RuntimeError("r"), NotImplementedError("n"),
    AssertionError("a"), OSError(5, "io"), FileNotFoundError(2, "none", "/x"), PermissionError(13, "no", "/x"),
    ConnectionError("c"), TimeoutError("t"), EOFError("e"),
]  # fmt: skip


class OutOfStockError(Exception):
    """Takes arguments that no one else knows, as users' classes do."""

    def __init__(self, sku: str, left: int) -> None:
        super().__init__(sku, left)
        self.sku = sku


class SoldOutError(OutOfStockError):
    pass


def sent(error: BaseException, *, declared_there: tuple = (), declared_here: tuple = (), code: str = "remote"):
    """`error` as its caller gets it."""
    fields = describe_exception(error, declared_there)
    return make_error(
        code,
        {**fields, "data": fields["data"][0], "node": "eu/shop/1", "executed": "yes", "declared": declared_here},
    )


@pytest.mark.parametrize(("code", "cls"), CODES.items())
def test_every_code_has_its_class(code: str, cls: type[mpreg.MpregError]) -> None:
    error = make_error(code, {"message": "why", "executed": "no", "path": ["eu"], "attempts": 2, "retry_after": 0.5})
    assert isinstance(error, cls)
    assert (error.code, str(error), error.executed, error.path, error.attempts, error.retry_after) == (
        code, "why", "no", ("eu",), 2, 0.5,
    )  # fmt: skip


def test_codes_are_those_of_rust() -> None:
    source = (Path(__file__).parents[1] / "rust/protocol/types/src/error_code.rs").read_text()
    assert set(re.findall(r'= "(\w+)",', source)) == set(CODES)


def test_a_code_of_a_newer_node_is_still_a_call_error() -> None:
    error = make_error("from_the_future", {"message": "new"})
    assert type(error) is mpreg.CallError
    assert error.code == "from_the_future"


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (mpreg.ConfigError, ValueError), (mpreg.ConnectionLostError, ConnectionError),
        (mpreg.FunctionNotFoundError, LookupError), (mpreg.DeadlineExceededError, TimeoutError),
        (mpreg.PermissionDeniedError, PermissionError),
    ],
)  # fmt: skip
def test_errors_are_builtins_too(error: type[Exception], base: type[Exception]) -> None:
    assert issubclass(error, base)
    assert str(error("it happened")) == "it happened"


def test_retryable_needs_proof_that_nothing_ran() -> None:
    assert make_error("overloaded", {"executed": "no"}).retryable
    assert make_error("connection_lost", {"executed": "no"}).retryable
    assert not make_error("connection_lost", {"executed": "unknown"}).retryable
    assert not make_error("permission_denied", {"executed": "no"}).retryable
    # Rust knows that the function is idempotent.
    assert make_error("connection_lost", {"executed": "unknown", "retryable": True}).retryable


@pytest.mark.parametrize("raised", BUILTINS, ids=lambda e: type(e).__name__)
def test_a_builtin_comes_back_as_itself(raised: Exception) -> None:
    error = sent(raised)
    assert isinstance(error, mpreg.RemoteError)
    assert isinstance(error, type(raised))
    assert error.args == raised.args == error.data
    assert str(error) == str(raised)
    assert error.type_name == type(raised).__name__


def test_a_subclass_comes_back_as_its_nearest_listed_base() -> None:
    class Odd(KeyError, RuntimeError):
        pass

    assert isinstance(sent(Odd("x")), KeyError)
    assert isinstance(sent(UnicodeDecodeError("utf-8", b"x", 0, 1, "bad")), ValueError)
    assert type(sent(ExceptionGroup("g", [ValueError()]))) is mpreg.RemoteError
    assert type(sent(SystemExit(3))) is mpreg.RemoteError
    assert type(sent(StopIteration())) is mpreg.RemoteError


def test_an_os_error_keeps_its_number_and_file() -> None:
    error = sent(FileNotFoundError(2, "No such file", "/x"))
    assert isinstance(error, OSError)
    assert (error.errno, error.strerror, error.filename) == (2, "No such file", "/x")


def test_a_class_declared_on_both_sides_comes_back_as_itself() -> None:
    both = {"declared_there": (OutOfStockError,), "declared_here": (OutOfStockError,)}
    error = sent(OutOfStockError("A1", 3), **both)
    assert isinstance(error, OutOfStockError)
    assert isinstance(error, mpreg.RemoteError)
    assert (error.sku, error.args, str(error)) == ("A1", ("A1", 3), "('A1', 3)")
    # A subclass that only the callee knows is its declared base.
    assert isinstance(sent(SoldOutError("A1", 0), **both), OutOfStockError)


def test_a_class_declared_on_one_side_is_plain() -> None:
    assert type(sent(OutOfStockError("A1", 3), declared_there=(OutOfStockError,))) is mpreg.RemoteError
    assert type(sent(OutOfStockError("A1", 3), declared_here=(OutOfStockError,))) is mpreg.RemoteError


def test_a_class_of_a_script_is_known_by_its_name_inside_the_module() -> None:
    fields = describe_exception(OutOfStockError("A1", 3), (OutOfStockError,))
    fields["raises"] = ["__main__.OutOfStockError"]
    error = make_error("remote", {**fields, "data": fields["data"][0], "declared": (OutOfStockError,)})
    assert isinstance(error, OutOfStockError)


def test_a_declared_class_that_cannot_be_combined_gives_way_to_its_base() -> None:
    class Stubborn(ValueError):
        def __new__(cls, *args: object) -> Self:
            raise RuntimeError("no")

    declared = (Stubborn,)
    fields = {"raises": ["x.Stubborn"], "base": "ValueError", "message": "m", "declared": declared}
    for name in (f"{Stubborn.__module__}.{Stubborn.__qualname__}", "ValueError"):
        error = make_error("remote", {**fields, "raises": [name]})
        assert isinstance(error, ValueError)
        assert not isinstance(error, Stubborn)


def test_no_class_is_found_by_a_name_from_the_wire() -> None:
    error = make_error(
        "remote", {"message": "m", "base": "SystemExit", "raises": ["os.system"], "type_name": "os.system"}
    )
    assert type(error) is mpreg.RemoteError


def test_arguments_that_do_not_fit_are_a_type_error_before_the_start() -> None:
    error = make_error("bad_arguments", {"message": "shop.score() got an unexpected keyword 'x'"})
    assert isinstance(error, mpreg.RemoteError)
    assert isinstance(error, TypeError)
    assert error.executed == "no"


def test_the_callee_and_its_traceback_are_shown_below_ours() -> None:
    def fail() -> None:
        raise ValueError("deep inside")

    try:
        fail()
    except ValueError as raised:
        error = sent(raised)
    shown = "".join(traceback.format_exception(error))
    assert "raised as ValueError on eu/shop/1" in shown
    assert '  |     raise ValueError("deep inside")' in shown
    assert str(error) == "deep inside"


def test_an_exception_whose_text_fails_is_named_by_its_class() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert str(sent(Mute())) == "Mute"
    assert str(sent(ValueError())) == "ValueError"


SENT = [
    sent(KeyError("k")), sent(RuntimeError("r")), sent(SystemExit()), sent(FileNotFoundError(2, "none", "/x")),
    sent(OutOfStockError("A", 1), declared_there=(OutOfStockError,), declared_here=(OutOfStockError,)),
    make_error("overloaded", {"message": "m", "retry_after": 1.0}), make_error("permission_denied", {"message": "m"}),
    make_error("connection_lost", {"message": "m", "ledger": {"wire": 0.1}}),
]  # fmt: skip


@pytest.mark.parametrize("error", SENT, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling(error: mpreg.MpregError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.args, again.__dict__) == (str(error), error.args, error.__dict__)
    assert getattr(again, "filename", None) == getattr(error, "filename", None)


def test_classes_are_made_once() -> None:
    assert type(sent(ValueError("a"))) is type(sent(ValueError("b")))
