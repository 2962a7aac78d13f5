"""Calling from outside the mesh: a client is no member, it enters by a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from mpreg._caller import Caller
from mpreg._native import native
from mpreg._opening import open_settings
from mpreg._sources import Surroundings

if TYPE_CHECKING:
    from collections.abc import Generator

    from mpreg._config import Config


class Client(Caller):
    """An open connection to an entry node; made by `mpreg.connect`. Thread-safe, good for several loops.

    It reconnects by itself, to the next address if need be; calls wait for that within their deadline, and are then
    `ConnectionLostError`.
    """

    def __init__(self, core: native.ClientCore, timeout: float) -> None:
        self._core = core
        self._timeout = timeout
        self._attach(core, timeout)

    def __repr__(self) -> str:
        return f"<Client of {self.entry or 'nobody'}>"

    @property
    def entry(self) -> str | None:
        """The node it is connected to now, `cluster/name/instance`; None between two."""
        return self._core.entry

    async def close(self) -> None:
        """Cancels what is under way and disconnects. Twice changes nothing."""
        self._detach("this client is closed; make a new one with mpreg.connect()")
        await self._core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Connecting:
    """What `connect` returns: `async with` opens and closes a client, `await` opens one that you close."""

    def __init__(
        self,
        addresses: tuple[str, ...],
        timeout: float | None,
        config: Config | None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._arguments = (addresses, timeout, config)
        self._surroundings = surroundings
        self._client: Client | None = None

    def __await__(self) -> Generator[None, None, Client]:
        return self._open().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._open()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()

    if not TYPE_CHECKING:
        # A type checker finds these; others are told what to write.

        def __enter__(self) -> None:
            raise TypeError("connect() needs `async with`; where no loop runs, write `with mpreg.SyncClient(...)`")

        def __exit__(self, *_: object) -> None: ...

        def __getattr__(self, name: str) -> None:
            how = "; open the client first: `async with mpreg.connect(...) as client:` or `client = await mpreg.connect(...)`"
            raise AttributeError(f"{type(self).__name__!r} has no {name!r}{how if hasattr(Client, name) else ''}")

    async def _open(self) -> Client:
        settings, limit = open_settings(*self._arguments, self._surroundings or Surroundings.of_process())
        core = native.ClientCore(settings)
        try:
            await core.open()
        except BaseException:
            await core.close()
            raise
        return Client(core, limit)


def connect(*addresses: str, timeout: float | None = None, config: Config | None = None) -> Connecting:
    """Opens a client: `async with mpreg.connect("127.0.0.1:7000") as client`, or `client = await mpreg.connect()`.

    - `addresses`: nodes to enter by ("host:port", "unix:/path"), in the order they are tried; none: `MPREG_SEEDS`.
    - `timeout`: deadline of calls that name none, in seconds (30).
    - `config`: certificates and other settings; what it leaves out is read from `MPREG_*` and `mpreg.toml`.

    Tries for 5 s, then `ConnectionLostError` that names each try; `AuthError` if it was refused; `ConfigError` without any address.
    """
    return Connecting(addresses, timeout, config)
