"""Floor: the same echo on a uvloop Protocol written by hand: all frames of a read, one write for all replies."""

import asyncio

import msgspec
import uvloop

FUNCTIONS = {"add": lambda a, b: a + b, "echo": lambda x: x}


class Server(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer = transport, bytearray()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        replies, at = [], 0
        while len(self.buffer) - at >= 4:
            end = at + 4 + int.from_bytes(self.buffer[at : at + 4], "big")
            if end > len(self.buffer):
                break
            call_id, function, args = msgspec.msgpack.decode(memoryview(self.buffer)[at + 4 : end])
            reply = msgspec.msgpack.encode((call_id, FUNCTIONS[function](*args)))
            replies += (len(reply).to_bytes(4, "big"), reply)
            at = end
        del self.buffer[:at]
        if replies:
            self.transport.write(b"".join(replies))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


uvloop.run(main())
