"""The data: the Python sources of the standard library, cut into shards by their paths.

Invariant: `files` lists what `grep_command` reads, so both count the same words in the same files.
"""

from __future__ import annotations

import os
import re
import shlex
import sysconfig
import zlib
from pathlib import Path
from typing import Final

SHARDS: Final = 12
WORD: Final = re.compile(r"[A-Za-z0-9_]+")
# Other people's packages, and directories without sources.
_LEFT_OUT: Final = ("site-packages", "dist-packages", "__pycache__")


def folder() -> Path:
    """Where this Python keeps its library."""
    return Path(sysconfig.get_path("stdlib"))


def files() -> list[str]:
    """Every source below the folder, as a path from there; links are not followed."""
    root = folder()
    found: list[str] = []
    for parent, below, names in os.walk(root):
        below[:] = [name for name in below if name not in _LEFT_OUT]
        paths = (Path(parent, name) for name in names if name.endswith(".py"))
        found += [str(path.relative_to(root)) for path in paths if path.is_file() and not path.is_symlink()]
    return sorted(found)


def shard_of(path: str) -> int:
    """The same on every machine."""
    return zlib.crc32(path.encode()) % SHARDS


def resource(shard: int) -> str:
    """What a node offers that owns the shard."""
    return f"shard/{shard}"


def grep_command(word: str) -> str:
    """A line for the shell that counts the word in the same files, without mpreg."""
    left_out = " ".join(f"--exclude-dir={name}" for name in _LEFT_OUT)
    return f"LC_ALL=C grep -rowha --include='*.py' {left_out} {word} {shlex.quote(str(folder()))} | wc -l"
