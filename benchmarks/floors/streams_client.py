"""Floor: client of the Streams server; one connection, replies matched by id."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec


class StreamsClient:
    """`await client.call(name, *args)`."""

    async def connect(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=4 << 20)
        self.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending: dict[int, asyncio.Future[Any]] = {}
        self.next_id = 0
        self.task = asyncio.create_task(self.read())

    async def read(self) -> None:
        decode = msgspec.msgpack.decode
        while True:
            size = int.from_bytes(await self.reader.readexactly(4), "big")
            call_id, value = decode(await self.reader.readexactly(size))
            self.pending.pop(call_id).set_result(value)

    async def call(self, function: str, *args: Any) -> Any:
        self.next_id += 1
        future = self.pending[self.next_id] = asyncio.get_running_loop().create_future()
        request = msgspec.msgpack.encode((self.next_id, function, args))
        self.writer.write(len(request).to_bytes(4, "big") + request)
        return await future

    async def items(self, size: int) -> AsyncIterator[Any]:
        """`async for item in client.items(size)`; the connection is of no other use afterwards."""
        self.task.cancel()
        decode = msgspec.msgpack.decode
        request = msgspec.msgpack.encode((1, "items", (size,)))
        self.writer.write(len(request).to_bytes(4, "big") + request)
        while True:
            length = int.from_bytes(await self.reader.readexactly(4), "big")
            yield decode(await self.reader.readexactly(length))[1]

    async def close(self) -> None:
        self.task.cancel()
        self.writer.close()
