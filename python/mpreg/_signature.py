"""A function's signature as the mesh sees it: without its `Context`, as contract text, and as hints to convert by.

Read in two steps. At the decorator only text is looked at, so that annotations may name classes defined further down;
when the function is registered with a node, or called by its object, annotations are evaluated and hints compiled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import re
import types
from typing import TYPE_CHECKING, Any, Final, cast

from mpreg._errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpreg._mpreg import Converter

_EMPTY: Final = inspect.Parameter.empty
# A dotted name outside quotes; its last part is what was written in most modules.
_DOTTED: Final = re.compile(r"""('[^']*'|"[^"]*")|\b(?:[^\W\d]\w*\.)+([^\W\d]\w*)""")
_FORWARD: Final = re.compile(r"ForwardRef\(['\"](.*?)['\"](?:, [^)]*)?\)")
_QUOTED: Final = re.compile(r"""(['"])[^'"]*\1""")
_CONTEXT: Final = re.compile(r"(?:[^\W\d]\w*\.)*Context(?:\[.*\])?")


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as callers see it."""

    name: str
    kind: int
    required: bool
    convert: Converter | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """What callers see of a function."""

    function: Callable[..., Any]
    shown: inspect.Signature
    takes_context: bool

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Signature:
        """Reads `function`; `ConfigError` if Python itself cannot say its parameters."""
        try:
            whole = inspect.signature(function)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{function!r} cannot be registered: {error}; wrap it in a function of your own"
            ) from None
        parameters = list(whole.parameters.values())
        takes_context = bool(parameters) and _is_context(parameters[0].annotation, function)
        if takes_context and parameters[0].kind not in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):
            raise ConfigError(f"{function!r}: a Context is a positional parameter, the first one")
        for other in parameters[1:]:
            if _is_context(other.annotation, function):
                raise ConfigError(f"{function!r}: the Context must be the first parameter, {other.name!r} is not")
        return cls(function, whole.replace(parameters=parameters[1:]) if takes_context else whole, takes_context)

    @functools.cached_property
    def contract(self) -> str:
        """Names, kinds, presence of defaults, annotations and return as written; equal text = equal contract."""
        lines = [
            f"{p.name}|{int(p.kind)}|{'=' if p.default is not _EMPTY else ''}|{annotation_text(p.annotation)}"
            for p in self.shown.parameters.values()
        ]
        return "\n".join([*lines, f"->{annotation_text(self.shown.return_annotation)}"])

    @functools.cached_property
    def text(self) -> str:
        """For people: `(sku: str, *, qty: int = 1) -> float`."""
        parameters = [
            p.replace(annotation=_Shown.of(p.annotation)) if p.annotation is not _EMPTY else p
            for p in self.shown.parameters.values()
        ]
        returned = self.shown.return_annotation
        return str(
            inspect.Signature(parameters, return_annotation=_Shown.of(returned) if returned is not _EMPTY else _EMPTY)
        )

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """With their compiled hints."""
        return tuple(
            Parameter(
                p.name,
                int(p.kind),
                p.default is _EMPTY and p.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD),
                self._compile(p.annotation, f"parameter {p.name!r}"),
            )
            for p in self.shown.parameters.values()
        )

    @functools.cached_property
    def convert_result(self) -> Converter | None:
        """What rebuilds the result by the return annotation."""
        return self._compile(self.shown.return_annotation, "the return value")

    @property
    def check(self) -> ArgumentsCheck:
        """What refuses arguments that do not fit."""
        return ArgumentsCheck(f"{_label(self.function)}{self.text}", self.shown)

    def _compile(self, annotation: Any, where: str) -> Converter | None:
        from mpreg._hints import compile as compile_hint

        if annotation is _EMPTY:
            return None
        try:
            hint = _evaluated(annotation, self.function)
        except Exception as error:  # noqa: BLE001 - an annotation is code; whatever it raises is told
            raise ConfigError(
                f"{_label(self.function)}: the annotation {annotation!r} of {where} cannot be evaluated ({error}); "
                "import its names at run time (outside `if TYPE_CHECKING:`) or leave the annotation out"
            ) from None
        return compile_hint(hint)


class ArgumentsCheck:
    """Takes the arguments of a call; `TypeError` that names the function unless they fit its signature.

    It is kept by handles, which Python's collector cannot look into: so it holds neither the function nor a default.
    """

    __slots__ = ("_shape", "_shown")

    def __init__(self, shown: str, signature: inspect.Signature) -> None:
        self._shown = shown
        self._shape = inspect.Signature(
            [
                p.replace(annotation=_EMPTY, default=_EMPTY if p.default is _EMPTY else None)
                for p in signature.parameters.values()
            ]
        )

    def __call__(self, /, *args: Any, **kwargs: Any) -> None:
        try:
            self._shape.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._shown}: {error}") from None


class _Shown:
    """Makes `inspect.Signature` print an annotation without quotes."""

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def of(cls, annotation: Any) -> _Shown:
        return cls(annotation_text(annotation))

    def __repr__(self) -> str:
        return self._text


def annotation_text(annotation: Any) -> str:
    """An annotation as written: the same for a class, its name in quotes, and `from __future__ import annotations`."""
    if annotation is _EMPTY:
        return ""
    if isinstance(annotation, str):
        # Quotes in a module that quotes every annotation by itself.
        text = annotation.strip("'\"") if _QUOTED.fullmatch(annotation) else annotation
    elif annotation is None or annotation is type(None):
        text = "None"
    elif type(annotation) is not types.GenericAlias and isinstance(annotation, type):
        text = annotation.__qualname__
    else:
        text = repr(annotation)
    text = _FORWARD.sub(r"\1", text).replace("NoneType", "None")
    return _DOTTED.sub(lambda match: match[1] or match[2], text).replace(" ", "")


def _is_context(annotation: Any, function: Callable[..., Any]) -> bool:
    from mpreg._context import Context

    if isinstance(annotation, str):
        if not _CONTEXT.fullmatch(annotation.strip("'\" ")):
            return False
        try:
            annotation = _evaluated(annotation, function)
        except Exception:  # noqa: BLE001 - imported for type checkers only: the name is all there is, and it says it
            return True
    return isinstance(annotation, type) and issubclass(annotation, Context)


def _evaluated(annotation: Any, function: Callable[..., Any]) -> Any:
    """The hint behind an annotation, in the names its function sees."""
    if annotation is None:
        return type(None)
    if not _has_text(annotation):
        return annotation
    plain = _unwrapped(function)
    names: dict[str, Any] = dict(getattr(plain, "__globals__", {}))
    names.update({p.__name__: p for p in getattr(plain, "__type_params__", ())})
    if isinstance(plain, types.FunctionType):
        # Names of enclosing functions, as far as the function itself uses them.
        names.update(_enclosed(plain))
    import typing

    holder = types.SimpleNamespace(__annotations__={"hint": annotation})
    return typing.get_type_hints(holder, globalns=names, localns=names, include_extras=True)["hint"]


def _enclosed(function: types.FunctionType) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        # Empty while its name has no value yet: a local function that calls itself is decorated before it is bound.
        with contextlib.suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def _has_text(annotation: Any) -> bool:
    return isinstance(annotation, str) or "ForwardRef(" in repr(annotation)


def _unwrapped(function: Callable[..., Any]) -> Any:
    inner: Any = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    inner = getattr(inner, "__func__", inner)
    if isinstance(inner, types.FunctionType):
        return inner
    call = getattr(cast("Any", type(inner)), "__call__", None)  # noqa: B004 - the function behind a callable object, not a test
    return getattr(call, "__func__", call)


def _label(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
