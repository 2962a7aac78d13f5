"""What the command prints: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Wide enough that nothing is cut or wrapped where no terminal says how wide it is.
_PIPE_WIDTH: Final = 10_000


def show_json(value: Any) -> None:
    """One document; what JSON cannot hold is shown as text."""
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=False, default=_text) + "\n")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for people; in a pipe one line per row, separated by tabs."""
    if not sys.stdout.isatty():
        sys.stdout.writelines("\t".join(_one_line(cell) for cell in row) + "\n" for row in rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)


def show_lines(*lines: str) -> None:
    """Text for people, as it is."""
    sys.stdout.writelines(printable(line) + "\n" for line in lines)


def tell(message: str, *hints: str) -> None:
    """An error on stderr, with what to do next."""
    sys.stderr.write(f"error: {printable(message)}\n")
    sys.stderr.writelines(f"hint: {printable(hint)}\n" for hint in hints)


def note(message: str) -> None:
    """A word on stderr beside the data."""
    sys.stderr.write(f"{printable(message)}\n")


def printable(text: str) -> str:
    """Text of others must not steer the terminal: control characters but line ends and tabs are escaped."""
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def escape(text: str) -> str:
    """For a table cell: no markup, no control characters."""
    from rich.markup import escape as escape_markup

    return escape_markup(printable(text))


def _one_line(text: str) -> str:
    return printable(text).replace("\n", " ").replace("\t", " ")


def _text(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, bytes | bytearray):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
