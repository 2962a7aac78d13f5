"""A peer of a node that proves who it is and then writes whatever bytes it likes: the wire, once more, by hand.

Frames, hello, proof and Ed25519 are written from their descriptions (`rust/wire`, RFC 8032), not from the shipped code, so
a change of the wire shows here too.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import struct
from typing import Any, NamedTuple, Self

import msgspec

from mpreg.testing._surroundings import secret_file

HELLO, PROOF, REFUSE, GOODBYE, PING, PONG, CREDIT = 1, 2, 3, 4, 5, 6, 7
MEMBERSHIP, CATALOG, ROUTE = 16, 17, 18
CALL, REPLY, CHUNK, CANCEL, STARTED, ITEM = 32, 33, 34, 35, 36, 37
LOOK, LOOK_REPLY = 48, 49
KINDS = (
    HELLO, PROOF, REFUSE, GOODBYE, PING, PONG, CREDIT, MEMBERSHIP, CATALOG, ROUTE,
    CALL, REPLY, CHUNK, CANCEL, STARTED, ITEM, LOOK, LOOK_REPLY,
)  # fmt: skip
MORE, LAST = 1, 2
BROKE_THE_PROTOCOL = 5
FRAME_BYTES_MAX = 128 << 10
MAGIC = b"mpreg\r\n\0"
DOMAIN = b"mpreg/handshake/1\0"
pack, unpack = msgspec.msgpack.encode, msgspec.msgpack.decode

# Ed25519: the curve's prime, order and base point, in extended coordinates.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def _add(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    a = (one[1] - one[0]) * (other[1] - other[0])
    b = (one[1] + one[0]) * (other[1] + other[0])
    c, d = 2 * one[3] * other[3] * D, 2 * one[2] * other[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(factor: int) -> bytes:
    """`factor` times the base point, as its 32 bytes."""
    point, sum_ = BASE, (0, 1, 1, 0)
    while factor:
        if factor & 1:
            sum_ = _add(sum_, point)
        point, factor = _add(point, point), factor >> 1
    inverse = pow(sum_[2], P - 2, P)
    x, y = sum_[0] * inverse % P, sum_[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def node_id(key: bytes) -> bytes:
    """The id that belongs to a public key."""
    return hashlib.sha256(key).digest()[:16]


class Key:
    """An Ed25519 key of a peer."""

    def __init__(self) -> None:
        digest = hashlib.sha512(os.urandom(32)).digest()
        self._secret = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | 1 << 254
        self._prefix = digest[32:]
        self.public = _times(self._secret)
        self.node = node_id(self.public)

    def sign(self, message: bytes) -> bytes:
        r = int.from_bytes(hashlib.sha512(self._prefix + message).digest(), "little") % ORDER
        start = _times(r)
        k = int.from_bytes(hashlib.sha512(start + self.public + message).digest(), "little") % ORDER
        return start + ((r + k * self._secret) % ORDER).to_bytes(32, "little")


def goodbye(last: int, *unfinished: int, reason: int = 1) -> bytes:
    """Payload: the receiver's streams up to `last` were taken, but for `unfinished`."""
    return struct.pack(f">BQH{len(unfinished)}Q", reason, last, len(unfinished), *unfinished)


def frame(kind: int, payload: bytes = b"", *, meta: bytes = b"", stream: int = 0, flags: int = 0) -> bytes:
    """A frame as bytes."""
    return struct.pack(">IBBHQ", len(meta) + len(payload), kind, flags, len(meta), stream) + meta + payload


def hello(key: Key, role: str, *, versions: tuple[int, int] = (1, 1), **changes: Any) -> bytes:
    """The payload of a hello."""
    said = {
        "features": 0,
        "limits": {
            "max_frame_bytes": FRAME_BYTES_MAX,
            "max_value_bytes": 1 << 30,
            "connection_window": 16 << 20,
            "pending_calls": 65_536,
        },
        "role": role,
        "cluster": "default",
        "name": "raw",
        "key": key.public,
        "incarnation": 1,
        "nonce": os.urandom(32),
        **changes,
    }
    return MAGIC + struct.pack(">HH", *versions) + pack(said)


def call(function: str, stream: int, *, value_bytes: int | None = None, sequence: int = 1) -> bytes:
    """A call of `function(1)`; with `value_bytes` its value is announced and comes in chunks."""
    value = pack([1])
    target = pack([1, 0, function, None, "*", [], None, None, 0, []])
    length = len(value) if value_bytes is None else value_bytes
    head = pack([stream, None, sequence, 0, 10_000_000, length, 1, 0, False, target, None])
    if value_bytes is None:
        return frame(CALL, value, meta=head, stream=stream)
    return frame(CALL, meta=head, stream=stream, flags=MORE)


class Frame(NamedTuple):
    """One that came."""

    kind: int
    stream: int
    meta: bytes
    payload: bytes


class RawPeer:
    """A connection of one's own making."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.key = Key()
        self.theirs: dict[str, Any] = {}
        """What the other side said in its hello."""

    @classmethod
    async def dial(cls, address: str) -> Self:
        """Connected, and nothing said."""
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    @classmethod
    async def connect(cls, address: str, role: str = "client", **changes: Any) -> Self:
        """Proven, as whatever it says it is."""
        self = await cls.dial(address)
        own = hello(self.key, role, **changes)
        self.write(frame(HELLO, own))
        theirs = (await self.next(HELLO)).payload
        self.theirs = unpack(theirs[12:])
        self.write(frame(PROOF, self.proof(own, theirs, role)))
        await self.next(PROOF)
        return self

    def transcript(self, own: bytes, theirs: bytes, role: str) -> bytes:
        """What this side signs."""
        parts = b"".join(struct.pack(">Q", len(part)) + part for part in (own, theirs, b""))
        return DOMAIN + hashlib.sha256(DOMAIN + parts + b"\0" + b"\0" + role.encode()).digest()

    def proof(self, own: bytes, theirs: bytes, role: str, **changes: Any) -> bytes:
        """The payload of this side's proof."""
        message = self.transcript(own, theirs, role)
        secret = hmac.digest(secret_file().read_bytes(), message, "sha256")
        return pack({"signature": self.key.sign(message), "secret": secret, **changes})

    def write(self, *parts: bytes) -> None:
        self._writer.write(b"".join(parts))

    def close(self) -> None:
        self._writer.close()

    async def frame(self) -> Frame:
        """The next frame."""
        async with asyncio.timeout(10):
            length, kind, _, meta, stream = struct.unpack(">IBBHQ", await self._reader.readexactly(16))
            body = await self._reader.readexactly(length)
        return Frame(kind, stream, body[:meta], body[meta:])

    async def next(self, kind: int) -> Frame:
        """The next frame of `kind`."""
        while (came := await self.frame()).kind != kind:
            pass
        return came

    async def last(self) -> Frame | None:
        """What the other side says last, before it hangs up; None: nothing."""
        last = None
        try:
            while True:
                last = await self.frame()
        except (asyncio.IncompleteReadError, ConnectionError):
            return last
        finally:
            self.close()

    async def reply(self, stream: int) -> tuple[bool, int, Any]:
        """The reply to a call: ok, executed (0 = no, 1 = yes, 2 = unknown), and its value."""
        came = await self.next(REPLY)
        assert came.stream == stream
        _, ok, executed, *_ = unpack(came.meta)
        return ok, executed, unpack(came.payload)

    async def refusal(self) -> tuple[str, Any, str]:
        """The handshake is refused: name and fields of the reason, and its text."""
        last = await self.last()
        assert last is not None, "it hung up without a word"
        assert last.kind == REFUSE, last
        said = unpack(last.payload)
        reason = said["reason"]
        name, fields = (reason, {}) if isinstance(reason, str) else next(iter(reason.items()))
        return name, fields, said["text"]

    async def breach(self) -> str:
        """The connection is closed because the protocol was broken: the detail."""
        last = await self.last()
        assert last is not None, "it hung up without a word"
        assert (last.kind, last.payload[:1]) == (GOODBYE, bytes([BROKE_THE_PROTOCOL])), last
        _, _, unfinished = struct.unpack(">BQH", last.payload[:11])
        return last.payload[11 + 8 * unfinished :].decode()
