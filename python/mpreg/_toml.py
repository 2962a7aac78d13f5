"""Reads a settings file, and finds the line of a key in it, which `tomllib` does not tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mpreg._errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_BYTES_MAX: Final = 1 << 20


def read_table(path: Path) -> tuple[str, dict[str, Any]]:
    """The text and what it says."""
    import tomllib

    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
        if len(content) > _BYTES_MAX:
            raise ConfigError(f"{path} is larger than {_BYTES_MAX >> 20} MiB: it is no file of settings")
        text = content.decode()
        return text, tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{path} cannot be read: {reason}") from error


def line_of(name: str, text: str) -> int | None:
    """The line on which the top-level key or table begins; None if it is written in a way that is not looked for."""
    key = rf"""["']?{re.escape(name)}["']?"""
    starts = [m.start() for m in re.finditer(rf"^[ \t]*(?:\[\[?[ \t]*)?{key}[ \t]*[.=\]]", text, re.MULTILINE)]
    # Several look like it: those within long strings, lists and other tables have no whole document before them.
    found = starts[0] if len(starts) == 1 else next((at for at in starts if _is_whole(text[:at], name)), None)
    return None if found is None else text.count("\n", 0, found) + 1


def _is_whole(text: str, name: str) -> bool:
    import tomllib

    try:
        return name not in tomllib.loads(text)
    except ValueError:
        return False
