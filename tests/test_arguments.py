"""Arguments and results travel by value: bound to the signature, made to the hints, named in errors."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import Any

import pytest
from value_cases import same

from mpreg import _hints, _mpreg
from mpreg._errors import DecodeError, EncodeError


@dataclasses.dataclass
class Item:
    name: str
    price: float
    tags: list[str] = dataclasses.field(default_factory=list)
    more: Item | None = None


item = Item("a", 1.5, ["t"], Item("b", 2.0))


@dataclasses.dataclass
class Parameter:
    name: str
    kind: int
    required: bool
    convert: Any


def parameters_of(function):
    hints = typing.get_type_hints(function, include_extras=True)
    return [
        Parameter(
            p.name,
            int(p.kind),
            p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD),
            _hints.compile(hints.get(p.name, Any)),
        )
        for p in inspect.signature(function).parameters.values()
    ]


def call(function, *args, **kwargs):
    return _mpreg.call_by_value(function, args, kwargs, parameters=parameters_of(function))


def anything(*args, **kwargs):
    return args, kwargs


def many(a, /, b: float, *rest: float, c: Item | None = None, d: int = 4, **others: float):
    return a, b, rest, c, d, others


def few(a: int, b: list[float] = [], *, c: str = "c"):  # noqa: B006 - never changed
    return a, b, c


def only(a, /):
    return a


def strict(*, a: int, b: int):
    return a, b


def reprs(result):
    return repr(result)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((1,), {}),
        ((1, "a", None, (2,)), {}),
        ((), {"a": 1}),
        ((1, [2]), {"b": 3, "a": {"c": 4}}),
        (tuple(range(40)), {f"k{i}": i for i in range(40)}),
    ],
    ids=str,
)
def test_arguments_arrive_as_they_were_given(args, kwargs):
    assert same(_mpreg.call_by_value(anything, args, kwargs), (args, kwargs))
    assert same(call(anything, *args, **kwargs), (args, kwargs))


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (many, (1, 2), {}),
        (many, (1, 2, 3, 4), {"d": 1, "x": 2, "a": 3}),
        (many, (1,), {"b": 2}),
        (few, (1,), {}),
        (few, (1, [2]), {"c": "d"}),
        (few, (), {"b": [1], "a": 1}),
        (only, (1,), {}),
        (strict, (), {"a": 1, "b": 2}),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_arguments_are_bound_as_python_binds_them(function, args, kwargs):
    assert call(function, *args, **kwargs) == function(*args, **kwargs)


def test_each_argument_becomes_what_its_hint_asks_for():
    result = _mpreg.call_by_value(
        lambda *a, **k: reprs(many(*a, **k)), (1, 2, 3), {"c": item, "x": 1}, parameters=parameters_of(many)
    )
    assert result == repr((1, 2.0, (3.0,), item, 4, {"x": 1.0}))


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "says"),
    [
        (few, (), {}, r"few\(\) is missing the argument 'a'$"),
        (few, (), {"c": "x"}, r"missing the argument 'a'$"),
        (strict, (), {}, r"strict\(\) is missing the arguments 'a', 'b'$"),
        (strict, (), {"a": 1}, r"missing the argument 'b'$"),
        (strict, (1,), {}, r"takes at most 0 positional arguments, got 1"),
        (few, (1, [], 3), {}, r"takes at most 2 positional arguments, got 3"),
        (few, (1,), {"a": 2}, r"got two values for argument 'a'"),
        (few, (1,), {"x": 2}, r"few\(\) takes no argument 'x'$"),
        (few, (1,), {"timeout": 2}, r"no argument 'timeout'; options of the call stand in remote\(\.\.\., timeout="),
        (only, (), {"a": 1}, r"takes an argument 'a' only by position"),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_arguments_that_do_not_fit_the_signature_are_type_errors_before_anything_runs(function, args, kwargs, says):
    with pytest.raises(TypeError):
        function(*args, **kwargs)
    with pytest.raises(TypeError, match=says):
        call(function, *args, **kwargs)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "says"),
    [
        (few, ("a",), {}, r"few\(\) argument 'a': expected int, got str"),
        (few, (1, [1, "x"]), {}, r"argument 'b'\[1\]: expected float, got str"),
        (few, (1,), {"c": 1}, "argument 'c': expected str, got int"),
        (many, (1, 2, "x"), {}, "argument '2': expected float, got str"),
        (many, (1, 2), {"x": "y"}, "argument 'x': expected float, got str"),
        (many, (1, 2), {"c": {"name": "a", "price": None}}, r"argument 'c'\.price: expected float, got NoneType"),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_arguments_that_do_not_fit_their_hint_are_decode_errors(function, args, kwargs, says):
    with pytest.raises(DecodeError, match=says):
        call(function, *args, **kwargs)


def test_arguments_that_cannot_travel_are_named():
    from mpreg._errors import EncodeError

    with pytest.raises(EncodeError, match=r"argument 1\['a'\]: a value of type object"):
        _mpreg.call_by_value(anything, (1, {"a": object()}))
    with pytest.raises(EncodeError, match=r"argument 'rows'\[0\]: a value of type object"):
        _mpreg.call_by_value(anything, (), {"rows": [object()]})
    with pytest.raises(EncodeError, match=r"result\[0\]: a value of type object"):
        _mpreg.call_by_value(lambda: [object()], ())


def test_results_are_rebuilt_by_their_hint():
    assert _mpreg.call_by_value(lambda: item, (), returns=_hints.compile(Item)) == item
    with pytest.raises(DecodeError, match=r"result\.price: expected float"):
        _mpreg.call_by_value(lambda: {"name": "a", "price": ""}, (), returns=_hints.compile(Item))


def test_the_context_goes_first_and_is_never_encoded():
    context = object()
    assert _mpreg.call_by_value(
        lambda ctx, *args, **kwargs: [ctx is context, args, kwargs], (1,), {"a": 2}, first=context
    ) == [True, (1,), {"a": 2}]


def test_any_callable_may_convert():
    parameter = Parameter("a", 1, True, lambda value: value * 2)  # noqa: FBT003 - a field
    assert _mpreg.call_by_value(only, (4,), parameters=[parameter]) == 8

    def fail(value):
        raise ValueError("no good")

    with pytest.raises(DecodeError, match="argument 'a': ValueError: no good"):
        _mpreg.call_by_value(only, (4,), parameters=[Parameter("a", 1, True, fail)])  # noqa: FBT003 - a field


def keep(value, *, kept=None):
    return kept if value is None else value


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def test_arguments_nest_as_deep_as_values():
    assert _mpreg.call_by_value(keep, (nested(256),)) == nested(256)
    assert _mpreg.call_by_value(keep, (None,), {"kept": nested(256)}) == nested(256)
    with pytest.raises(EncodeError, match=r"argument 'kept'.*nested deeper"):
        _mpreg.call_by_value(keep, (None,), {"kept": nested(257)})
