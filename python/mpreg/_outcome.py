"""What one of many calls came to: of `call_all` for each node, of `map(errors="yield")` for each item."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

_T_co = TypeVar("_T_co", covariant=True)


class Outcome(Generic[_T_co]):
    """A value or an error."""

    __slots__ = ("_value", "error", "node")

    def __init__(self, *, node: str | None, value: Any = None, error: BaseException | None = None) -> None:
        self.node = node
        """Who it came from: `cluster/name/instance`. None for an item of `map` that failed before any node was found."""
        self.error = error
        """What the call raised; None if there is a value."""
        self._value = value

    @property
    def ok(self) -> bool:
        """True if there is a value."""
        return self.error is None

    @property
    def value(self) -> _T_co:
        """The result; raises the error if there is none."""
        if self.error is not None:
            raise self.error
        result: _T_co = self._value
        return result

    def __repr__(self) -> str:
        what = f"value={self._value!r}" if self.ok else f"error={self.error!r}"
        return f"Outcome(node={self.node!r}, {what})"
