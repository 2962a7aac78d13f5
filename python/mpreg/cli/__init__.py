"""The command `mpreg`. Nothing of it is imported by the library."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The entry point of the wheel."""
    from mpreg.cli._main import mpreg

    mpreg()
