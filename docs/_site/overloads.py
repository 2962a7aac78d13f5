"""griffe leaves out methods of stubs that have overloads only; here the first one, with the docstring, stands for them."""

from __future__ import annotations

from typing import Any

import griffe


class StubOverloads(griffe.Extension):
    """Found by the name of this file, in mkdocs.yml."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Called when a class has been read."""
        for name, overloads in cls.overloads.items():
            if name not in cls.members and overloads:
                cls.set_member(name, overloads[0])
