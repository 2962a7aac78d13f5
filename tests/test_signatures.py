"""What callers see of a function: no Context, and one contract however annotations are written."""

from __future__ import annotations

import functools
import types
import typing

import pytest

import mpreg
from mpreg._signature import Signature, annotation_text


def read(source: str, **names: object) -> typing.Any:
    """A function of a module with this source."""
    module = types.ModuleType("read")
    vars(module).update({"mpreg": mpreg, "typing": typing, **names})
    # Not with this file's own `from __future__ import annotations`.
    exec(compile(source, "read", "exec", dont_inherit=True), vars(module))
    return vars(module)["f"]


FUTURE = "from __future__ import annotations\n"
WRITTEN = [
    "def f(x: int, y: list[float] | None = None, *args: str, k: dict[str, Row], **kw: bytes) -> tuple[int, ...]: ...",
    "def f(x: 'int', y: 'list[float] | None' = 3, *args: str, k: 'dict[str, Row]', **kw: bytes) -> 'tuple[int, ...]': ...",
    FUTURE
    + "def f(x: int, y: list[float] | None = None, *args: str, k: dict[str, Row], **kw: bytes) -> tuple[int, ...]: ...",
    (
        "async def f(c: mpreg.Context, x: int, y: list[float] | None = (), *args: str, k: dict[str, m.Row], **kw: bytes) ->"
        "tuple[int,...]: raise NotImplementedError"
    ),
]


class Row:
    pass


@pytest.mark.parametrize("source", WRITTEN)
def test_one_contract_however_it_is_written(source: str) -> None:
    found = Signature.of(read(source, Row=Row, m=types.SimpleNamespace(Row=Row)))
    assert found.contract.split("\n") == [
        "x|1||int", "y|1|=|list[float]|None", "args|2||str", "k|3||dict[str,Row]", "kw|4||bytes", "->tuple[int,...]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        "def f(x: int) -> int: ...", "def f(y: int) -> float: ...", "def f(x: int = 1) -> float: ...",
        "def f(*, x: int) -> float: ...", "def f(x: float) -> float: ...", "def f(x: int, y: int) -> float: ...",
        "def f(x) -> float: ...", "def f(x: int): ...",
    ],
)  # fmt: skip
def test_another_signature_is_another_contract(other: str) -> None:
    assert Signature.of(read("def f(x: int) -> float: ...")).contract != Signature.of(read(other)).contract


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"), (None, "None"), (type(None), "None"), ("None", "None"), (typing.Optional[int], "Optional[int]"),  # noqa: UP045

        ("typing.Optional[int]", "Optional[int]"), (list["Row"], "list['Row']"), (typing.List["Row"], "List[Row]"),  # noqa: UP006
        (typing.Literal["a.b"], "Literal['a.b']"), ("np.ndarray", "ndarray"), (list[Row], "list[Row]"),
        (dict[str, Row], "dict[str,Row]"), ("a.b.c | d.e", "c|e"),
    ],
)  # fmt: skip
def test_annotations_as_written(annotation: object, text: str) -> None:
    assert annotation_text(annotation) == text


@pytest.mark.parametrize(
    "source",
    [
        "def f(ctx: mpreg.Context, x: int) -> int: ...",
        "def f(ctx: 'mpreg.Context', x: int) -> int: ...",
        FUTURE + "def f(ctx: mpreg.Context, x: int) -> int: ...",
        FUTURE + "def f(ctx: Context, x: int) -> int: ...",  # imported for type checkers only
        "def f(ctx: mpreg.Context, /, x: int) -> int: ...",
    ],
)
def test_the_context_is_no_parameter_of_callers(source: str) -> None:
    found = Signature.of(read(source))
    assert found.takes_context
    assert [parameter.name for parameter in found.parameters] == ["x"]
    assert found.text == "(x: int) -> int"


def test_another_class_called_context_is_a_parameter() -> None:
    class Context:
        pass

    found = Signature.of(read(FUTURE + "def f(ctx: Context, x: int) -> int: ...", Context=Context))
    assert not found.takes_context


@pytest.mark.parametrize(
    "source",
    [
        "def f(x: int, ctx: mpreg.Context) -> int: ...",
        "def f(*, ctx: mpreg.Context) -> int: ...",
        "def f(*ctx: mpreg.Context) -> int: ...",
        "def f(a: mpreg.Context, b: mpreg.Context) -> int: ...",
    ],
)
def test_a_context_elsewhere_is_refused(source: str) -> None:
    with pytest.raises(mpreg.ConfigError, match="Context"):
        Signature.of(read(source))


def test_parameters_say_what_binding_needs() -> None:
    found = Signature.of(read("def f(a, /, b, c=1, *d, e, g=2, **h): ..."))
    assert [(p.name, p.kind, p.required) for p in found.parameters] == [
        ("a", 0, True), ("b", 1, True), ("c", 1, False), ("d", 2, False), ("e", 3, True), ("g", 3, False),
        ("h", 4, False),
    ]  # fmt: skip


def test_an_annotation_may_name_a_class_that_comes_later() -> None:
    source = FUTURE + "def f(x: Later) -> Later: ...\nfound = read(f)\nclass Later: ..."
    found = read(source, read=Signature.of).__globals__["found"]
    assert found.contract == "x|1||Later\n->Later"
    assert found.parameters[0].convert is not None


def test_an_annotation_that_means_nothing_is_told_when_the_function_is_registered() -> None:
    found = Signature.of(read(FUTURE + "def f(x: Missing) -> int: ..."))
    assert found.text == "(x: Missing) -> int"
    with pytest.raises(mpreg.ConfigError, match=r"'Missing' of parameter 'x' cannot be evaluated .*TYPE_CHECKING"):
        _ = found.parameters


def test_names_of_an_enclosing_function_are_found() -> None:
    class Local:
        pass

    def inner(x: Local) -> Local:
        return Local()

    found = Signature.of(inner)
    assert found.parameters[0].convert is not None
    assert found.convert_result is not None


def test_a_wrapper_shows_what_it_wraps() -> None:
    def plain(x: int) -> int:
        return x

    @functools.wraps(plain)
    def wrapper(*args: object, **kwargs: object) -> object:
        return plain(*args, **kwargs)

    assert Signature.of(wrapper).text == "(x: int) -> int"
    assert Signature.of(functools.partial(plain, 3)).text == "() -> int"


def test_what_python_cannot_read_is_refused() -> None:
    with pytest.raises(mpreg.ConfigError, match="wrap it in a function of your own"):
        Signature.of(type)
