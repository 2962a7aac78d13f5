"""A definition as Rust reads it when a node takes it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mpreg._streams import pump

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from mpreg._context import Context
    from mpreg._functions import Definition, Mode, Scope
    from mpreg._mpreg import CallContext
    from mpreg._signature import Parameter


@dataclasses.dataclass(frozen=True, slots=True)
class Registration:
    """Every field is documented in `_mpreg.pyi`."""

    name: str
    id: str
    version: str
    resources: frozenset[str]
    tags: Mapping[str, str]
    scope: Scope
    idempotent: bool
    concurrency: int | None
    timeout: float | None
    contract: str
    signature: str
    doc: str
    mode: Mode
    streaming: bool
    pump: Callable[..., Coroutine[Any, Any, None]] | None
    function: Callable[..., Any]
    make_context: Callable[[CallContext], object] | None
    parameters: tuple[Parameter, ...]
    raises: tuple[type[BaseException], ...]

    @classmethod
    def of(cls, definition: Definition, make_context: Callable[[CallContext], Context]) -> Registration:
        """Compiles the hints, which needs every name of the annotations to exist by now."""
        signature = definition.signature
        return cls(
            name=definition.name,
            id=definition.id,
            version=definition.version,
            resources=definition.resources,
            tags=definition.tags,
            scope=definition.scope,
            idempotent=definition.idempotent,
            concurrency=definition.concurrency,
            timeout=definition.timeout,
            contract=signature.contract,
            signature=signature.text,
            doc=definition.doc,
            mode=definition.mode,
            streaming=definition.streaming,
            pump=pump if definition.streaming and definition.mode == "async" else None,
            function=definition.function,
            make_context=make_context if signature.takes_context else None,
            parameters=signature.parameters,
            raises=definition.raises,
        )
