"""The extension with its hooks set: what calls or serves imports `_mpreg` from here."""

from __future__ import annotations

from mpreg import _mpreg as native
from mpreg._errors import describe_exception, make_error

__all__ = ["native"]

native.set_hooks(make_error, describe_exception)
