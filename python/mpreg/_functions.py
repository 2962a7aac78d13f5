"""What a node offers: the decorator, groups of functions, and which name a function object stands for.

The decorator marks the function and returns it unchanged. A mark is kept beside the function, not on it, because
bound methods take no attributes and a function may be offered by several nodes. Invariant: a `Definition` is complete
and checked; whoever holds one need not look at the options again.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import threading
import types
import weakref
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar, Unpack, cast, overload

from mpreg import _mpreg
from mpreg._errors import ConfigError
from mpreg._fields import TIMEOUT_MAX, hint, integer, resource_names, seconds, strings
from mpreg._signature import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_F = TypeVar("_F", bound="Callable[..., Any]")

Scope = Literal["local", "cluster", "global"]
Mode = Literal["async", "thread", "inline"]

_SCOPES: Final = ("local", "cluster", "global")
_VERSION_DEFAULT: Final = "1.0.0"


class FunctionOptions(TypedDict, total=False):
    """The keywords of `@node.function`."""

    version: str
    id: str | None
    resources: Iterable[str]
    idempotent: bool
    concurrency: int | None
    timeout: float | None
    inline: bool
    raises: Iterable[type[Exception]]
    scope: Scope
    tags: Mapping[str, str] | None
    doc: str | None
    implements: Callable[..., Any] | None


@dataclasses.dataclass(frozen=True)
class Definition:
    """A function together with everything said about it."""

    function: Callable[..., Any]
    signature: Signature
    name: str
    id: str
    version: str
    version_given: bool
    resources: frozenset[str]
    tags: Mapping[str, str]
    scope: Scope
    idempotent: bool
    concurrency: int | None
    timeout: float | None
    mode: Mode
    streaming: bool
    raises: tuple[type[Exception], ...]
    doc: str

    @property
    def key(self) -> tuple[str, str]:
        """What is unique on a node."""
        return (self.name, self.version)

    def united_with(self, resources: frozenset[str], tags: Mapping[str, str]) -> Definition:
        """The same with more resources and tags; its own tags win."""
        return dataclasses.replace(self, resources=self.resources | resources, tags={**tags, **self.tags})


@dataclasses.dataclass(frozen=True)
class Mark:
    """What a function object stands for when it is called through the mesh. Holds no reference to the function."""

    name: str
    version: str
    version_given: bool
    contract: str
    text: str
    idempotent: bool
    raises: tuple[type[Exception], ...]
    options: Mapping[str, Any]

    @property
    def constraint(self) -> str:
        """Versions compatible with its own; any if it was given none."""
        return f"^{self.version}" if self.version_given else "*"


class _Marks:
    """Marks by function. Forgets a function when the program does; a bound method's live as long as its object."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_function: weakref.WeakKeyDictionary[Any, dict[tuple[str, str], Mark]] = weakref.WeakKeyDictionary()
        self._of_method: dict[tuple[int, Any], dict[tuple[str, str], Mark]] = {}
        self._pinned: list[Any] = []

    def add(self, function: Any, mark: Mark) -> None:
        with self._lock:
            marks = self._found(function)
            if marks is None:
                marks = self._made(function)
            if marks.get((mark.name, mark.version)) == mark:
                return
            marks[mark.name, mark.version] = mark
        # What a caller has prepared for this function may be ambiguous now.
        _mpreg.forget_targets()

    def of(self, function: Any) -> list[Mark]:
        with self._lock:
            return list((self._found(function) or {}).values())

    def _found(self, function: Any) -> dict[tuple[str, str], Mark] | None:
        if isinstance(function, types.MethodType):
            return self._of_method.get((id(function.__self__), function.__func__))
        try:
            return self._of_function.get(function)
        except TypeError:  # no weak references, or no hash: then it cannot have been marked
            return None

    def _made(self, function: Any) -> dict[tuple[str, str], Mark]:
        marks: dict[tuple[str, str], Mark] = {}
        if not isinstance(function, types.MethodType):
            try:
                self._of_function[function] = marks
            except TypeError:
                raise ConfigError(f"{function!r} cannot be marked: wrap it in a function of your own") from None
            return marks
        owner: Any = function.__self__
        key = (id(owner), function.__func__)
        self._of_method[key] = marks
        try:
            weakref.finalize(owner, self._of_method.pop, key, None).atexit = False
        except TypeError:
            # Without weak references its end is not seen: kept alive, so that its id is not given to another object.
            self._pinned.append(owner)
        return marks


_marks: Final = _Marks()


def mark_of(function: Callable[..., Any]) -> Mark:
    """What `function` stands for; `ConfigError` if nobody marked it, or under several names."""
    marks = _marks.of(function)
    names = sorted({mark.name for mark in marks})
    label = getattr(function, "__qualname__", repr(function))
    if not marks:
        raise ConfigError(
            f"{label} is no function of a node: mark it with @node.function (or @Functions().function), "
            "or call it by its name in the mesh"
        )
    if len(names) > 1:
        raise ConfigError(f"{label} is registered under {', '.join(names)}: call it by one of these names")
    # Several versions of one function object: any of them will do, they are the same code.
    first = marks[0]
    if len(marks) == 1:
        return first
    return dataclasses.replace(first, version_given=False, idempotent=all(mark.idempotent for mark in marks))


class Offering:
    """The decorator, shared by `Node` and `Functions`."""

    @overload
    def function(self, fn: _F, /) -> _F: ...
    @overload
    def function(self, name: str | None = None, /, **options: Unpack[FunctionOptions]) -> Callable[[_F], _F]: ...
    def function(self, target: Any = None, /, **options: Any) -> Any:
        """Offers a function to the mesh and returns it unchanged.

        `@node.function` takes the function's own name; `@node.function("shop.score", version="1.2.0", ...)` says more:

        - `version`: three numbers, "1.0.0" by default; `id`: identity across renames, by default the name.
        - `resources`: what it has at hand, in addition to the node's; `tags`: free annotations.
        - `idempotent`: running it twice does no harm, so a lost call may be sent again.
        - `concurrency`: how many run at one time on this node; `timeout`: seconds, cuts every caller's deadline.
        - `inline`: run a tiny plain function on the loop instead of in a worker thread.
        - `raises`: exception classes that callers who declare them too get back as themselves.
        - `scope`: "local" (this node object), "cluster", or "global" (also trusted clusters).
        - `doc`: by default the docstring; `implements`: a declaration whose name, version and signature it takes.

        A wrong option or name, a name and version offered twice, a method without its object: `ConfigError`, here.
        """
        if target is None or isinstance(target, str):

            def decorate(function: Any) -> Any:
                self._offer(function, target, options)
                return function

            return decorate
        if options:
            raise ConfigError("give the options without the function: @node.function(version=...)")
        self._offer(target, None, {})
        return target

    def _offer(self, function: Any, name: str | None, options: dict[str, Any]) -> None:
        definition = define(function, name, options, prefix=self._prefix)
        _marks.add(definition.function, _mark(definition, options))
        self._add(definition)

    _prefix: str = ""

    def _add(self, definition: Definition) -> None:
        raise NotImplementedError


class Functions(Offering):
    """A group of functions for one or more nodes: `node.include(group)`. It has every decorator of a node.

    `prefix` stands before each name ("shop."); `resources` and `tags` are united with each function's own.
    Functions added later reach the nodes that include the group already. It is also how a shared module declares functions that
    others implement: `@node.function(implements=...)`.
    """

    def __init__(
        self, *, prefix: str = "", resources: Iterable[str] = (), tags: Mapping[str, str] | None = None
    ) -> None:
        if prefix:
            _mpreg.check_name("own_function", f"{prefix}x")
        self._prefix = prefix
        self._resources = _resources(resources)
        self._tags = _tags(tags)
        self._definitions: dict[tuple[str, str], Definition] = {}
        self._nodes: weakref.WeakSet[Offering] = weakref.WeakSet()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Functions {self._prefix or '(no prefix)'}: {len(self._definitions)} functions>"

    @property
    def prefix(self) -> str:
        """Stands before each name, as written ("shop.")."""
        return self._prefix

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """All functions, resources and tags united."""
        with self._lock:
            return tuple(self._definitions.values())

    def _add(self, definition: Definition) -> None:
        whole = definition.united_with(self._resources, self._tags)
        with self._lock:
            refuse_twice(self._definitions.get(whole.key), whole, repr(self))
            self._definitions[whole.key] = whole
            nodes = list(self._nodes)
        for node in nodes:
            node._add(whole)  # noqa: SLF001 - one class for both

    def join(self, node: Offering) -> None:
        """Functions marked from now on go to `node` too."""
        with self._lock:
            self._nodes.add(node)

    def part(self, node: Offering) -> None:
        """Undoes `join`."""
        with self._lock:
            self._nodes.discard(node)


def define(function: Any, name: str | None, options: dict[str, Any], *, prefix: str) -> Definition:
    """Checks a function and its options, all before anything is registered."""
    _refuse_unknown_options(options)
    plain = _callable(function)
    options = _with_declaration(plain, name, options)
    if "implements" not in options:
        # A declaration's name has its prefix already.
        options["name"] = _mpreg.check_name("own_function", prefix + (name or _own_name(plain)))
    version = options.get("version")
    raises = _raises(options.get("raises", ()))
    return Definition(
        function=plain,
        signature=options.get("signature") or Signature.of(plain),
        name=options["name"],
        id=_mpreg.check_name("function_id", options.get("id") or options["name"]),
        version=_mpreg.check_version(version) if version is not None else _VERSION_DEFAULT,
        version_given=version is not None,
        resources=_resources(options.get("resources", ())),
        tags=_tags(options.get("tags")),
        scope=_scope(options.get("scope", "global")),
        idempotent=_flag(options, "idempotent"),
        concurrency=_or_none(options.get("concurrency"), lambda v: integer(v, "concurrency", least=1, most=10_000_000)),
        timeout=_or_none(options.get("timeout"), lambda v: seconds(v, "timeout", least=0.001, most=TIMEOUT_MAX)),
        mode=_mode(plain, inline=_flag(options, "inline")),
        streaming=_is_streaming(plain),
        raises=raises,
        doc=options.get("doc") or inspect.getdoc(plain) or "",
    )


def refuse_twice(old: Definition | None, new: Definition, where: str) -> None:
    """One name and version stand for one function of a node."""
    if old is None or old == new:
        return
    raise ConfigError(
        f"{new.name} {new.version} is registered on {where} already; give one of the two another version or name, "
        f"or remove the old one first: node.remove({new.name!r}, version={new.version!r})"
    )


def _mark(definition: Definition, options: Mapping[str, Any]) -> Mark:
    return Mark(
        definition.name,
        definition.version,
        definition.version_given,
        definition.signature.contract,
        definition.signature.text,
        definition.idempotent,
        definition.raises,
        {name: value for name, value in options.items() if name != "implements"},
    )


def _with_declaration(function: Any, name: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Options with those of the declaration that the function implements; its own win, the signatures must agree."""
    declaration = options.get("implements")
    if declaration is None:
        return {key: value for key, value in options.items() if key != "implements"}
    declared = mark_of(declaration)
    if name is not None:
        raise ConfigError(f"implements= takes the name of the declaration ({declared.name}); leave {name!r} out")
    own = Signature.of(function)
    if own.contract != declared.contract:
        raise ConfigError(
            f"{_label(function)}{own.text} does not implement {declared.name}{declared.text}: "
            "parameters, annotations and return must be the same"
        )
    inherited = dict(declared.options)
    if declared.version_given:
        inherited["version"] = declared.version
    return {**inherited, **options, "name": declared.name, "signature": own}


def _callable(function: Any) -> Any:
    """The function behind what was decorated, if it may be offered at all."""
    if isinstance(function, staticmethod):
        return function.__func__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(function, classmethod):
        raise ConfigError("a classmethod is bound to nothing yet: register it later, node.function(Class.method)")
    if isinstance(function, type) or not callable(function):
        raise ConfigError(f"{function!r} is no function: a node offers functions and bound methods")
    if _is_unbound_method(function):
        raise ConfigError(
            f"{_label(function)} is a method without its object: register the bound method, node.function(obj.method)"
        )
    return function


def _is_unbound_method(function: Any) -> bool:
    """A function written in a class body, unless the class is there and says it is static."""
    if not isinstance(function, types.FunctionType):
        return False
    owner, _, name = function.__qualname__.rpartition(".")
    if not owner or owner.endswith("<locals>"):
        return False
    found: Any = inspect.getmodule(function)
    for part in owner.split("."):
        found = getattr(found, part, None)
    return not (isinstance(found, type) and isinstance(vars(found).get(name), staticmethod))


def _called(function: Any) -> Any:
    """A callable object runs its class's `__call__`; `inspect` looks through methods and partials by itself."""
    is_plain = inspect.isroutine(function) or isinstance(function, functools.partial)
    return cast("Any", function if is_plain else type(cast("object", function)).__call__)


def _is_streaming(function: Any) -> bool:
    target = _called(function)
    return inspect.isasyncgenfunction(target) or inspect.isgeneratorfunction(target)


def _mode(function: Any, *, inline: bool) -> Mode:
    target = _called(function)
    if inspect.isgeneratorfunction(target) and inline:
        raise ConfigError(
            f"{_label(function)} is a generator, which may run for long: leave inline=True out, and it runs in a worker "
            "thread, or make it async def, and it runs on the loop"
        )
    if inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target):
        if inline:
            raise ConfigError(f"{_label(function)} is async and runs on the loop anyway: leave inline=True out")
        return "async"
    return "inline" if inline else "thread"


def _own_name(function: Any) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise ConfigError(f'{function!r} has no name of its own: give one, node.function("shop.score")(f)')
    return name


def _refuse_unknown_options(options: Mapping[str, Any]) -> None:
    known = list(FunctionOptions.__annotations__)
    for option in options:
        if option not in known:
            raise ConfigError(f"{option!r} is not an option of @node.function{hint(option, known)}")


def _raises(value: Any) -> tuple[type[Exception], ...]:
    if isinstance(value, type):
        raise ConfigError(f"raises takes a list of exception classes: raises=[{value.__name__}]")
    classes = tuple(value)
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Exception)):
            raise ConfigError(f"raises takes exception classes, not {cls!r}")
    return classes


def _resources(value: Any) -> frozenset[str]:
    return frozenset(resource_names(value))


def _tags(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    try:
        pairs = dict(value).items()
    except (TypeError, ValueError):
        raise ConfigError(f"tags takes a mapping of strings, not {value!r}") from None
    strings([text for pair in pairs for text in pair], "tags")
    return {_mpreg.check_name("tag", key): _mpreg.check_name("tag", text) for key, text in pairs}


def _scope(value: Any) -> Scope:
    if value not in _SCOPES:
        raise ConfigError(f"scope takes one of {', '.join(_SCOPES)}, not {value!r}")
    return value  # type: ignore[no-any-return]


def _flag(options: Mapping[str, Any], name: str) -> bool:
    value = options.get(name, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{name} takes True or False, not {value!r}")
    return value


def _or_none(value: Any, check: Callable[[Any], Any]) -> Any:
    return None if value is None else check(value)


def _label(function: Any) -> str:
    return getattr(function, "__qualname__", repr(function))
