"""What both kinds of client are opened with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mpreg._errors import ConfigError
from mpreg._fields import TIMEOUT_MAX, seconds
from mpreg._logging import connect_logging
from mpreg._sources import client_settings, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpreg._config import Config
    from mpreg._sources import Surroundings


def open_settings(
    addresses: Sequence[str], timeout: float | None, config: Config | None, surroundings: Surroundings
) -> tuple[dict[str, Any], float]:
    """The extension's settings, and the deadline of calls that name none."""
    for each in addresses:
        if not isinstance(each, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a type checker
            raise ConfigError(
                f'each address is a string like "127.0.0.1:7000", not {each!r}; several: one after the other'
            )
    resolved = resolve({}, config, surroundings, role="client")
    # The order given is the order tried.
    entries = list(dict.fromkeys(addresses)) or list(resolved.own["seeds"])
    if not entries:
        raise ConfigError(
            'no node to connect to: give an address, connect("127.0.0.1:7000"), or set MPREG_SEEDS, or seeds in mpreg.toml'
        )
    connect_logging(resolved.config.log_level)
    limit = resolved.config.timeout if timeout is None else timeout
    return client_settings(resolved, entries), seconds(limit, "timeout", least=0.001, most=TIMEOUT_MAX)
