"""Type hints, read once, become converters that run in Rust (`rust/bindings/src/codec/hints`).

A converter gets a decoded value (plain dicts, lists, numbers) and returns what the hint asks for, or raises
`DecodeError` naming the path inside the value. Here a hint becomes a flat list of nodes: tuples of a kind, the name
messages use, and the nodes it is made of. Only classes of msgspec and pydantic are converted by Python code: theirs.

Invariant: a class is used only because a hint holds it; nothing is ever looked up by a name from the wire.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import sys
import types
import typing
from collections import abc
from typing import TYPE_CHECKING, Any, Final, cast

from mpreg import _mpreg
from mpreg._errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_Node = tuple[Any, ...]

_PLAIN: Final[Mapping[Any, str]] = {bool: "bool", int: "int", float: "float", str: "str", bytes: "bytes"}
# Classes whose subclasses travel as them, and are made again from them.
_BASES: Final[tuple[type[Any], ...]] = (dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float)
# Any of the values that travel as containers may stand for these.
_ITEMS: Final = frozenset(
    {
        abc.Sequence,
        abc.MutableSequence,
        abc.Collection,
        abc.Iterable,
        abc.Container,
        abc.Reversible,
        abc.Set,
        abc.MutableSet,
    }
)
# What a stream or an awaitable yields is converted, item by item.
_CARRIERS: Final = frozenset(
    {
        abc.Iterator,
        abc.Generator,
        abc.AsyncIterator,
        abc.AsyncIterable,
        abc.AsyncGenerator,
        abc.Awaitable,
    }
)
_WRAPPERS: Final = frozenset({"ClassVar", "Final", "Required", "NotRequired", "ReadOnly"})


class MismatchError(Exception):
    """How msgspec and pydantic tell Rust what is wrong, and where."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.mpreg_path = path
        self.mpreg_message = message


def compile(hint: Any, /) -> _mpreg.Converter | None:  # noqa: A001 - of a hint, as `re.compile`
    """The converter for an evaluated hint; None if any value will do.

    Hints of streams (`AsyncIterator[T]`, `Iterator[T]`, generators) make converters of one item.
    """
    builder = _Builder()
    root = builder.node(hint, {})
    return None if builder.nodes[root][0] == "any" else _mpreg.Converter(builder.nodes, root)


class _Builder:
    """Collects the nodes of one hint. A class in work has its number already, so it may contain itself."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self._made: dict[Any, int] = {}

    def _add(self, kind: str, name: str, *parts: Any) -> int:
        self.nodes.append((kind, name, *parts))
        return len(self.nodes) - 1

    def _once(self, key: Any, make: Callable[[], _Node]) -> int:
        """One node for each `key`, known before its parts are."""
        if key not in self._made:
            place = self._made[key] = self._add("any", "")
            self.nodes[place] = make()
        return self._made[key]

    def node(self, hint: Any, names: Mapping[Any, Any]) -> int:  # noqa: C901, PLR0911 - a table of cases
        """The number of the node for `hint`; `names` are the type variables that have a meaning here."""
        if hint is None or hint is types.NoneType:
            return self._add("none", "None")
        if hint is Any or hint is object:
            return self._add("any", "Any")
        if hint in _PLAIN if isinstance(hint, type) else False:
            return self._add(_PLAIN[hint], _PLAIN[hint])
        if isinstance(hint, (str, typing.ForwardRef)):
            raise ConfigError(f"the hint {hint!r} is text whose names are not known here; give the class itself")
        if isinstance(hint, typing.TypeVar):
            return self._variable(hint, names)
        if isinstance(hint, typing.NewType):
            return self.node(hint.__supertype__, names)
        if _is_alias(hint):
            return self._once(id(hint), lambda: self._copy(_value_of(hint), names))
        if isinstance(hint, dataclasses.InitVar):
            return self.node(cast("Any", hint).type, names)
        origin = typing.get_origin(hint)
        if origin is not None:
            return self._generic(hint, origin, typing.get_args(hint), names)
        if isinstance(hint, type):
            return self._class(hint, (), names)
        # ParamSpec, Never, LiteralString, ...: nothing to hold a value against.
        return self._add("str", "str") if _special(hint) == "LiteralString" else self._add("any", "Any")

    def _copy(self, hint: Any, names: Mapping[Any, Any]) -> _Node:
        """As a node of its own: another number stands for it already."""
        return ("union", name_of(hint), [self.node(hint, names)])

    def _variable(self, hint: typing.TypeVar, names: Mapping[Any, Any]) -> int:
        if hint in names:
            return self.node(names[hint], {k: v for k, v in names.items() if k is not hint})
        if hint.__constraints__:
            return self._union(hint.__constraints__, names)
        return self.node(Any if hint.__bound__ is None else hint.__bound__, names)

    def _union(self, hints: Iterable[Any], names: Mapping[Any, Any]) -> int:
        hints = tuple(hints)
        parts = [self.node(hint, names) for hint in hints]
        if any(self.nodes[part][0] == "any" for part in parts if part not in self._made.values()):
            return self._add("any", "Any")
        return self._add("union", " | ".join(name_of(hint) for hint in hints), parts)

    def _generic(self, hint: Any, origin: Any, args: tuple[Any, ...], names: Mapping[Any, Any]) -> int:  # noqa: PLR0911 - a table of cases
        if origin is typing.Annotated:
            return self._annotated(hint, names)
        if origin is typing.Union or origin is types.UnionType:
            return self._union(args, names)
        if origin is typing.Literal:
            pairs = [(arg.value if isinstance(arg, enum.Enum) else arg, arg) for arg in args]
            return self._add("literal", " | ".join(repr(arg) for arg in args), pairs)
        if _special(origin) in _WRAPPERS:
            return self.node(args[0], names)
        if _is_alias(origin):
            return self.node(_value_of(origin), dict(zip(origin.__type_params__, args, strict=False)))
        if isinstance(origin, type):
            return self._class(origin, tuple(_substitute(arg, names) for arg in args), names, name_of(hint))
        return self._add("any", "Any")

    def _annotated(self, hint: Any, names: Mapping[Any, Any]) -> int:
        """Constraints are checked by the library they are of."""
        modules = {type(each).__module__.partition(".")[0] for each in hint.__metadata__}
        if modules & {"pydantic", "pydantic_core", "annotated_types"}:
            return self._add("foreign", name_of(hint), _pydantic(hint))
        if "msgspec" in modules:
            return self._add("foreign", name_of(hint), _msgspec(hint))
        return self.node(hint.__origin__, names)

    def _class(self, cls: type[Any], args: tuple[Any, ...], names: Mapping[Any, Any], name: str | None = None) -> int:  # noqa: PLR0911 - a table of cases
        name = name or name_of(cls)
        container = self._container(cls, args, names, name)
        if container is not None:
            return container
        if _has(cls, "__struct_fields__"):
            return self._add("foreign", name, _msgspec(cast("Any", cls)[args] if args else cls))
        if _has(cls, "__pydantic_validator__"):
            return self._add("foreign", name, _pydantic(cls))
        if issubclass(cls, enum.Enum):
            return self._add("enum", name, cls, cls._value2member_map_)
        make = self._with_fields(cls)
        if make is not None:
            known = dict(zip(getattr(cls, "__parameters__", ()), args, strict=False))
            return self._once((cls, args), lambda: make(cls, known, name))
        numpy = sys.modules.get("numpy")
        if numpy is not None and issubclass(cls, numpy.ndarray):
            return self._add("ndarray", name, cls, _element_class(numpy, args))
        base = next((base for base in _BASES if issubclass(cls, base) and cls not in (*_BASES, bool)), None)
        if base is not None and cls.__module__ != "numpy":
            return self._add("foreign", name, _rebuild(cls, base, name))
        if getattr(cls, "_is_protocol", False) and not getattr(cls, "_is_runtime_protocol", False):
            return self._add("any", "Any")
        return self._add("instance", name, cls)

    def _container(self, cls: type[Any], args: tuple[Any, ...], names: Mapping[Any, Any], name: str) -> int | None:  # noqa: PLR0911 - a table of cases
        def part(at: int) -> int:
            return self.node(args[at] if at < len(args) else Any, names)

        if cls is list:
            return self._add("list", name, part(0))
        if cls is set or cls is frozenset:
            return self._add(cls.__name__, name, part(0))
        if cls is dict or cls is abc.Mapping or cls is abc.MutableMapping:
            return self._add("dict", name, part(0), part(1))
        if cls is tuple:
            if args and args[-1] is not Ellipsis:
                return self._add("tuple", name, [] if args == ((),) else [self.node(arg, names) for arg in args])
            return self._add("tuple_of", name, part(0))
        if cls in _ITEMS:
            return self._add("items", name, cls, part(0))
        if cls in _CARRIERS:
            return part(0)
        if cls is abc.Coroutine:
            return part(2)
        return None

    def _with_fields(self, cls: type[Any]) -> Callable[[type[Any], Mapping[Any, Any], str], _Node] | None:
        if dataclasses.is_dataclass(cls):
            return self._dataclass
        if typing.is_typeddict(cls):
            return self._typed_dict
        if hasattr(cls, "_fields") and issubclass(cls, tuple):
            return self._named_tuple
        return None

    def _dataclass(self, cls: type[Any], names: Mapping[Any, Any], name: str) -> _Node:
        hints = _hints_of(cls)
        fields = [
            (
                field.name,
                self.node(hints.get(field.name, Any), names),
                field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
                field.init,
            )
            for field in dataclasses.fields(cls)
        ]
        return ("dataclass", name, cls, fields)

    def _typed_dict(self, cls: type[Any], names: Mapping[Any, Any], name: str) -> _Node:
        required: frozenset[str] = getattr(cls, "__required_keys__", frozenset())
        fields: list[tuple[str, int, bool, bool]] = []
        for key, hint in _hints_of(cls).items():
            # Written as text, these were unknown when the class was made.
            marks = _marks(hint)
            needed = "Required" in marks or (key in required and "NotRequired" not in marks)
            fields.append((key, self.node(hint, names), needed, True))
        return ("typeddict", name, fields)

    def _named_tuple(self, cls: type[Any], names: Mapping[Any, Any], name: str) -> _Node:
        hints = _hints_of(cls)
        keys = cast("tuple[str, ...]", getattr(cls, "_fields"))  # noqa: B009 - not known to be one
        return ("namedtuple", name, cls, [(key, self.node(hints.get(key, Any), names), True, True) for key in keys])


def name_of(hint: Any) -> str:  # noqa: PLR0911 - a table of cases
    """A hint as messages show it: `list[float]`, `Order | None`."""
    if hint is None or hint is types.NoneType:
        return "None"
    if hint is Ellipsis:
        return "..."
    args = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return name_of(args[0])
    if origin is typing.Union or origin is types.UnionType:
        return " | ".join(name_of(arg) for arg in args)
    if origin is typing.Literal:
        return f"Literal[{', '.join(repr(arg) for arg in args)}]"
    if origin is not None:
        return f"{name_of(origin)}[{', '.join(name_of(arg) for arg in args)}]"
    return str(getattr(hint, "__qualname__", getattr(hint, "__name__", hint))).rpartition("<locals>.")[2]


def _special(hint: Any) -> str:
    """The name of a special form, which `typing` and `typing_extensions` may each have of their own."""
    return str(getattr(hint, "_name", None) or "")


def _is_alias(hint: Any) -> bool:
    """`type Name = ...`, or its equal in `typing_extensions`."""
    return type(hint).__name__ == "TypeAliasType"


def _value_of(alias: Any) -> Any:
    """What an alias stands for. Written as text (`typing_extensions`), it is read where the alias was made."""
    if not isinstance(alias.__value__, str):
        return alias.__value__
    module = sys.modules.get(str(getattr(alias, "__module__", "")))
    names = {**vars(typing), **(vars(module) if module else {}), alias.__name__: alias}
    holder = types.SimpleNamespace(__annotations__={"value": alias.__value__})
    return typing.get_type_hints(holder, globalns=names, include_extras=True)["value"]


def _has(cls: type[Any], name: str) -> bool:
    return any(name in vars(base) for base in cls.__mro__) or hasattr(cls, name)


def _marks(hint: Any) -> set[str]:
    found: set[str] = set()
    while _special(origin := typing.get_origin(hint)) in _WRAPPERS:
        found.add(_special(origin))
        hint = typing.get_args(hint)[0]
    return found


def _substitute(hint: Any, names: Mapping[Any, Any]) -> Any:
    """`hint` with the type variables that are known here."""
    if isinstance(hint, typing.TypeVar):
        return names.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    if isinstance(hint, type) or not parameters or not any(each in names for each in parameters):
        return hint
    return hint[tuple(names.get(each, each) for each in parameters)]


def _hints_of(cls: type[Any]) -> dict[str, Any]:
    try:
        # A class made in a function may mention itself.
        return typing.get_type_hints(cls, localns={cls.__name__: cls}, include_extras=True)
    except NameError as error:
        raise ConfigError(
            f"the annotations of {name_of(cls)} cannot be evaluated ({error}); "
            "define or import its names at module level, outside `if TYPE_CHECKING:`"
        ) from None


def _element_class(numpy: Any, args: tuple[Any, ...]) -> type | None:
    """The `float64` of `NDArray[float64]`."""
    for arg in args[1:2]:
        inner: tuple[Any, ...] = typing.get_args(arg)
        if typing.get_origin(arg) is numpy.dtype and inner and isinstance(inner[0], type):
            return inner[0]
    return None


def _rebuild(cls: type[Any], base: type[Any], name: str) -> Callable[[Any], Any]:
    """Subclasses of builtin types travel as their base."""
    make: Any = cls
    is_defaultdict = issubclass(cls, collections.defaultdict)

    def rebuild(value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, base):
            raise MismatchError("", f"expected {name}, got {type(value).__name__}")
        return make(None, value) if is_defaultdict else make(value)

    return rebuild


def _msgspec(hint: Any) -> Callable[[Any], Any]:
    import msgspec

    def convert(value: Any) -> Any:
        try:
            return msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$")
            raise MismatchError(path.rstrip("`"), message[:1].lower() + message[1:].replace("`", "")) from None

    return convert


def _pydantic(hint: Any) -> Callable[[Any], Any]:
    import pydantic

    adapter: Any = pydantic.TypeAdapter(hint)
    # Objects travel under the names of their fields, which aliases do not replace.
    both = {"by_alias": True, "by_name": True} if _version(pydantic.VERSION) >= (2, 11) else {}

    def convert(value: Any) -> Any:
        try:
            return adapter.validate_python(value, **both)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
            got = "" if first["type"] == "missing" else f", got {type(first['input']).__name__}"
            more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
            raise MismatchError(path, f"{first['msg'][:1].lower()}{first['msg'][1:]}{got}{more}") from None

    return convert


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])
