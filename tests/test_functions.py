"""The decorator, groups, and what a function object stands for: checked at once, nothing registered on a mistake."""

from __future__ import annotations

import functools
import gc
import math
import weakref
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg._functions import Definition, define, mark_of
from mpreg._remote import prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def only(group: mpreg.Functions) -> Definition:
    (definition,) = group.definitions
    return definition


def test_the_function_is_returned_unchanged_and_takes_its_own_name() -> None:
    group = mpreg.Functions(prefix="shop.")

    def price(sku: str, *, qty: int = 1) -> float:
        """What it costs.

        In euro.
        """
        return 2.0 * qty

    assert group.function(price) is price
    assert price("A1", qty=2) == 4.0
    found = only(group)
    assert (found.name, found.id, found.version, found.mode, found.scope) == (
        "shop.price", "shop.price", "1.0.0", "thread", "global",
    )  # fmt: skip
    assert found.doc == "What it costs.\n\nIn euro."
    assert found.signature.text == "(sku: str, *, qty: int = 1) -> float"


def test_every_option_is_kept() -> None:
    group = mpreg.Functions(resources={"eu"}, tags={"team": "a", "v": "green"})

    @group.function(
        "score", version="1.2", id="s", resources=["gpu"], idempotent=True, concurrency=8, timeout=5, inline=True,
        raises=[KeyError], scope="cluster", tags={"v": "blue"}, doc="d",
    )  # fmt: skip
    def score(rows: list[float]) -> float:
        return sum(rows)

    found = only(group)
    assert (found.id, found.version, found.idempotent, found.concurrency, found.timeout) == ("s", "1.2.0", True, 8, 5.0)
    assert (found.mode, found.raises, found.scope, found.doc) == ("inline", (KeyError,), "cluster", "d")
    assert found.resources == {"eu", "gpu"}
    assert found.tags == {"team": "a", "v": "blue"}


def test_where_a_function_runs() -> None:
    async def on_the_loop() -> None: ...

    class Callable:
        async def __call__(self) -> None: ...

    modes = {
        "loop": on_the_loop, "thread": lambda: None, "partial": functools.partial(on_the_loop), "object": Callable(),
        "builtin": math.sqrt, "method": Callable().__call__,
    }  # fmt: skip
    found = {name: define(fn, name, {}, prefix="").mode for name, fn in modes.items()}
    assert found == {
        "loop": "async", "thread": "thread", "partial": "async", "object": "async", "builtin": "thread",
        "method": "async",
    }  # fmt: skip


def stream() -> Iterator[int]:
    yield 1


async def async_stream() -> AsyncIterator[int]:
    yield 1


async def coroutine() -> None: ...


def plain() -> None: ...


class Shop:
    def method(self) -> str:
        return "bound"

    @staticmethod
    def static(x: int) -> int:
        return x

    @classmethod
    def made(cls) -> str:
        return cls.__name__


@pytest.mark.parametrize(
    ("function", "name", "options", "told"),
    [
        (stream, None, {"inline": True}, "is a generator"),
        (async_stream, None, {"inline": True}, "leave inline=True out"),
        (coroutine, None, {"inline": True}, "leave inline=True out"),
        (Shop.method, None, {}, r"register the bound method, node.function\(obj.method\)"),
        (Shop.__dict__["made"], None, {}, "classmethod is bound to nothing"),
        (Shop, None, {}, "is no function"),
        (3, None, {}, "is no function"),
        (lambda: None, None, {}, "has no name of its own"),
        (plain, "a b", {}, '"a b" is not a function name'),
        (plain, "mpreg.x", {}, "belong to the mesh itself"),
        (plain, "a..b", {}, "is not a function name"),
        (plain, None, {"version": "1.x"}, "is not a version"),
        (plain, None, {"id": "a b"}, "is not a function id"),
        (plain, None, {"resources": "gpu"}, "not one string"),
        (plain, None, {"resources": ["a b"]}, "is not a resource"),
        (plain, None, {"resources": [1]}, "resources takes strings"),
        (plain, None, {"resources": map(str, range(65))}, "at most 64 resources"),
        (plain, None, {"raises": KeyError}, r"raises=\[KeyError\]"),
        (plain, None, {"tags": {"k": "v v"}}, "is not a tag"),
        (plain, None, {"tags": 3}, "mapping of strings"),
        (plain, None, {"tags": {"k": 1}}, "tags takes strings"),
        (plain, None, {"scope": "world"}, "scope takes one of local, cluster, global"),
        (plain, None, {"concurrency": 0}, "concurrency takes 1 to"),
        (plain, None, {"timeout": 0}, "timeout takes 0.001"),
        (plain, None, {"timeout": 86_401}, "timeout takes 0.001 to 86400"),
        (plain, None, {"idempotent": "yes"}, "idempotent takes True or False"),
        (plain, None, {"raises": [3]}, "raises takes exception classes"),
        (plain, None, {"raises": [SystemExit]}, "raises takes exception classes"),
        (plain, None, {"idempotnet": True}, "did you mean idempotent"),
    ],
)
def test_a_mistake_is_named_at_the_decorator(function: object, name: str | None, options: dict, told: str) -> None:
    group = mpreg.Functions()
    with pytest.raises(mpreg.ConfigError, match=told):
        group.function(name, **options)(function)
    assert group.definitions == ()


def test_a_method_in_a_class_body_is_refused_there() -> None:
    group = mpreg.Functions()
    with pytest.raises(mpreg.ConfigError, match="method without its object"):

        class Service:
            @group.function
            def ask(self) -> None: ...


def test_bound_and_static_methods_are_functions() -> None:
    group = mpreg.Functions()
    shop = Shop()
    group.function(shop.method)
    group.function(Shop.static)
    group.function("made")(Shop.made)
    assert {found.name: found.function() for found in group.definitions if found.name != "static"} == {
        "method": "bound", "made": "Shop",
    }  # fmt: skip
    assert mark_of(shop.method).name == "method"
    with pytest.raises(mpreg.ConfigError, match="is no function of a node"):
        mark_of(Shop().method)


def test_a_static_method_may_be_decorated_in_its_class() -> None:
    group = mpreg.Functions()

    class Service:
        @group.function
        @staticmethod
        def ask(x: int) -> int:
            return x

    assert only(group).function(3) == Service.ask(3) == 3


def test_one_name_and_version_stand_for_one_function() -> None:
    group = mpreg.Functions()
    group.function("f")(plain)
    group.function("f")(plain)  # the same again changes nothing
    group.function("f", version="2")(lambda: None)
    with pytest.raises(mpreg.ConfigError, match=r"f 1.0.0 is registered on .* already"):
        group.function("f")(lambda: None)
    assert {found.key for found in group.definitions} == {("f", "1.0.0"), ("f", "2.0.0")}


def test_options_belong_to_the_name_not_to_the_function() -> None:
    with pytest.raises(mpreg.ConfigError, match="give the options without the function"):
        mpreg.Functions().function(plain, version="2")


class Caller(mpreg.Caller):
    """Never attached: enough to prepare handles."""


class Handle:
    """What the extension would be given."""

    def __init__(self, caller: object, /, **options: object) -> None:
        self.options = options


def options_of(target: object, **options: object) -> dict[str, object]:
    return prepare(Handle, Caller(), target, options).options  # type: ignore[type-var]


def test_a_function_object_stands_for_its_name_and_compatible_versions() -> None:
    group = mpreg.Functions(prefix="t.")

    @group.function(version="1.2", raises=[KeyError])
    def versioned(x: int) -> int:
        return x

    @group.function
    def any_version(x: int) -> int:
        return x

    found = options_of(versioned)
    assert (found["name"], found["version"], found["raises"]) == ("t.versioned", "^1.2.0", (KeyError,))
    assert found["contract"] == "x|1||int\n->int"
    assert options_of(any_version)["version"] == "*"
    assert options_of(versioned, version="==1.2.0")["version"] == "==1.2.0"


def test_an_unmarked_function_and_one_with_two_names_are_refused() -> None:
    def unknown() -> None: ...

    with pytest.raises(mpreg.ConfigError, match="unknown is no function of a node"):
        options_of(unknown)

    def twice() -> None: ...

    mpreg.Functions().function("b")(twice)
    assert options_of(twice)["name"] == "b"
    mpreg.Functions().function("a")(twice)
    with pytest.raises(mpreg.ConfigError, match="registered under a, b"):
        options_of(twice)


def test_a_declaration_lends_name_version_and_options() -> None:
    api = mpreg.Functions(prefix="shop.")

    @api.function(version="1.2", idempotent=True, raises=[KeyError], timeout=3)
    async def score(rows: list[float], *, limit: int = 3) -> float:
        raise NotImplementedError

    server = mpreg.Functions()

    @server.function(implements=score, timeout=9)
    def implementation(ctx: mpreg.Context, rows: list[float], *, limit: int = 5) -> float:
        return sum(rows)

    found = only(server)
    assert (found.name, found.version, found.idempotent, found.raises) == ("shop.score", "1.2.0", True, (KeyError,))
    assert found.timeout == 9.0
    assert mark_of(implementation).contract == mark_of(score).contract
    with pytest.raises(mpreg.ConfigError, match=r"does not implement shop.score\(rows: list\[float\]"):

        @server.function(implements=score)
        def other(rows: list[int], *, limit: int = 3) -> float:
            return 0.0

    with pytest.raises(mpreg.ConfigError, match="leave 'x' out"):
        server.function("x", implements=score)(implementation)
    with pytest.raises(mpreg.ConfigError, match="is no function of a node"):
        server.function(implements=abs)(implementation)


def test_options_of_a_handle_are_checked_at_once() -> None:
    for options, told in [
        ({"retires": 1}, "did you mean retries"),
        ({"timeout": 0}, "timeout takes"),
        ({"max_hops": 17}, "takes 0 to 16"),
        ({"retries": -1}, "takes 0 to"),
        ({"wait": -1}, "wait takes"),
        ({"version": "1.x"}, "is not a version constraint"),
        ({"version": 1.2}, "version takes a constraint"),
        ({"cluster": "E U"}, "is not a cluster name"),
        ({"resources": "gpu"}, "not one string"),
        ({"sticky": 1.5}, "sticky takes"),
        ({"resources": map(str, range(65))}, "at most 64 resources"),
        ({"metadata": {1: 2}}, "metadata takes strings"),
        ({"metadata": "trace"}, "metadata takes a mapping"),
    ]:
        with pytest.raises(mpreg.ConfigError, match=told):
            options_of("f", **options)
    for target, told in [("a b", "is not a function name"), (3, "cannot be called"), (None, "cannot be called")]:
        with pytest.raises(mpreg.ConfigError, match=told):
            options_of(target)

    async def price(sku: str) -> float:
        return 9.5

    # Without a warning of a coroutine that was never awaited.
    with pytest.raises(mpreg.ConfigError, match=r"give the function and its arguments, call\(price, \.\.\.\)"):
        options_of(price("A1"))


def test_options_of_a_handle_arrive_in_their_plain_form() -> None:
    found = options_of(
        "f", resources={"b", "a"}, cluster="*", sticky=7, timeout=2, metadata={"k": 1}, version=">=1, <2"
    )
    assert found == {
        "name": "f", "resources": ("a", "b"), "cluster": "*", "sticky": "7", "timeout": 2.0, "metadata": {"k": 1},
        "version": ">=1,<2", "convert": None,
    }  # fmt: skip


def test_a_mark_does_not_keep_its_function_alive() -> None:
    def make() -> weakref.ref:
        def short_lived(x: int) -> int:
            return x

        definition = define(short_lived, None, {}, prefix="")
        group = mpreg.Functions()
        group.function(short_lived)
        assert definition.name == mark_of(short_lived).name
        return weakref.ref(short_lived)

    reference = make()
    gc.collect()
    assert reference() is None
