"""RESULTS.md: one section for each program, each written by its own."""

from __future__ import annotations

import platform
from pathlib import Path

FILE = Path(__file__).with_name("RESULTS.md")
HEAD = "# Results\n"


def machine() -> str:
    """What the figures were measured on."""
    import os

    system = f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    return f"{system}, CPython {platform.python_version()}"


def write_section(title: str, body: str) -> None:
    """Puts `body` in place of what stood under `## title`, or at the end; what stands above all sections stays."""
    text = FILE.read_text() if FILE.exists() else HEAD
    head, *parts = text.split("\n## ")
    sections = dict(part.split("\n", 1) for part in parts)
    sections[title] = f"\n{body.strip()}\n"
    FILE.write_text(
        f"{head.rstrip()}\n" + "".join(f"\n## {name}\n\n{text.strip()}\n" for name, text in sections.items())
    )
