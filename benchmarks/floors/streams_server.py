"""Floor: raw asyncio Streams echo server with msgpack frames. `[id, fn, args]` in, `[id, result]` out."""

import asyncio
import socket

import msgspec

FUNCTIONS = {"add": lambda a, b: a + b, "echo": lambda x: x}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode
    try:
        while True:
            size = int.from_bytes(await reader.readexactly(4), "big")
            call_id, function, args = decode(await reader.readexactly(size))
            if function == "items":
                await send_items(writer, call_id, *args)
            reply = encode((call_id, FUNCTIONS[function](*args)))
            writer.write(len(reply).to_bytes(4, "big") + reply)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def send_items(writer: asyncio.StreamWriter, call_id: int, size: int) -> None:
    """Items until the receiver goes."""
    item = bytes(size)
    while True:
        frame = msgspec.msgpack.encode((call_id, item))
        writer.write(len(frame).to_bytes(4, "big") + frame)
        await writer.drain()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=4 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
