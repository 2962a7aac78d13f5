"""Floor: client of the uvloop Protocol server; requests of one loop tick leave in one write."""

import asyncio
from typing import Any

import msgspec


class ProtocolClient(asyncio.Protocol):
    """`await client.call(name, *args)`."""

    async def connect(self, port: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.buffer, self.out, self.next_id = bytearray(), [], 0
        self.pending: dict[int, asyncio.Future[Any]] = {}
        self.transport, _ = await self.loop.create_connection(lambda: self, "127.0.0.1", port)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        at = 0
        while len(self.buffer) - at >= 4:
            end = at + 4 + int.from_bytes(self.buffer[at : at + 4], "big")
            if end > len(self.buffer):
                break
            call_id, value = msgspec.msgpack.decode(memoryview(self.buffer)[at + 4 : end])
            self.pending.pop(call_id).set_result(value)
            at = end
        del self.buffer[:at]

    def flush(self) -> None:
        self.transport.write(b"".join(self.out))
        self.out.clear()

    def call(self, function: str, *args: Any) -> "asyncio.Future[Any]":
        self.next_id += 1
        future = self.pending[self.next_id] = self.loop.create_future()
        request = msgspec.msgpack.encode((self.next_id, function, args))
        if not self.out:
            self.loop.call_soon(self.flush)
        self.out += (len(request).to_bytes(4, "big"), request)
        return future

    async def close(self) -> None:
        self.transport.close()
