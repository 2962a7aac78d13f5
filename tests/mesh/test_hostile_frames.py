"""Whatever a peer writes, before or after it has proven itself: it is refused or cut off, and harms nobody else."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import pytest
import raw_peer
from raw_peer import (
    CALL,
    CANCEL,
    CHUNK,
    FRAME_BYTES_MAX,
    GOODBYE,
    HELLO,
    KINDS,
    LAST,
    LOOK,
    MAGIC,
    PING,
    PONG,
    PROOF,
    REFUSE,
    Key,
    RawPeer,
    call,
    frame,
    goodbye,
    hello,
    pack,
)

import mpreg
from mpreg.testing import LocalMesh, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MIB = 1 << 20
SMALL = mpreg.Config(max_value_bytes=MIB, receive_bytes=2 * MIB)
OPEN_TO_CLIENTS = {REFUSE, GOODBYE, PING, PONG, raw_peer.CREDIT, CALL, CHUNK, CANCEL, LOOK}


@contextlib.asynccontextmanager
async def attacked(config: mpreg.Config | None = None) -> AsyncIterator[str]:
    """The address of a node that serves others meanwhile, and goes on serving them."""
    async with LocalMesh(2, transport="tcp", config=config) as mesh:
        for node in mesh.nodes:
            node.function(f"double.{node.name}")(double)
        await mesh.converged()
        async with mesh.connect(0) as client:
            names = ["double.node-0", "double.node-1"]
            assert [await client.call(name, 4) for name in names] == [8, 8]
            entry = client.entry
            yield mesh.nodes[0].address
            assert [await client.call(name, 4) for name in names] == [8, 8]
            assert client.entry == entry
        async with mesh.connect(0) as newcomer:
            assert await newcomer.call(names[1], 1) == 2
        assert await mesh.nodes[1].call(names[0], 3) == 6
        states = {member.name: member.state for member in await mesh.nodes[1].members()}
        assert (states["node-0"], states["node-1"]) == ("alive", "alive")


def double(x: int) -> int:
    return 2 * x


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """As `attacked`, with the usual settings."""
    async with attacked() as address:
        yield address


# Before the proof


async def refusal(address: str, *parts: bytes) -> tuple[str, dict, str]:
    """How a peer is refused that begins with these bytes."""
    peer = await RawPeer.dial(address)
    peer.write(*parts)
    return await peer.refusal()


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: mesh\r\n\r\n", "too_large"),
        (bytes.fromhex("16030100f8010000f40303") + bytes(32), "too_large"),
        (b"\0" * 16, "malformed"),
        (frame(200), "malformed"),
        (frame(HELLO, b"mpreg"), "bad_magic"),
        (frame(HELLO, b"MPREG\r\n\0\0\1\0\1" + pack({})), "bad_magic"),
        (frame(HELLO, b"mpreg\n\0\0\0\1\0\1" + pack({})), "bad_magic"),
        (frame(HELLO, b"mpreg\r\n\0\0\1\0\1" + pack({})), "malformed"),
        (frame(HELLO, b"mpreg\r\n\0\0\1\0\1" + b"\x91" * 4000 + b"\xc0"), "malformed"),
        (frame(HELLO, b"mpreg\r\n\0\0\1\0\1" + b"\xdf\xff\xff\xff\xff"), "malformed"),
    ],
    ids=["http", "tls", "zeros", "unknown kind", "short", "case", "line end", "empty", "deep", "count"],
)
async def test_garbage_before_the_hello_is_refused_by_name(address: str, first: bytes, reason: str) -> None:
    name, _, text = await refusal(address, first)
    assert name == reason, text


async def test_random_bytes_before_the_hello_are_refused(address: str, mpreg_seed: int) -> None:
    chance = random.Random(mpreg_seed)
    for _ in range(30):
        name, _, text = await refusal(address, chance.randbytes(chance.randrange(16, 200)))
        assert name in ("too_large", "malformed"), text


async def test_a_hello_over_eight_kib_is_refused_before_it_is_here(address: str) -> None:
    own = hello(Key(), "client", addresses=["x" * 9000])
    name, fields, _ = await refusal(address, frame(HELLO, own)[:16])
    assert (name, fields) == ("too_large", {"bytes": len(own), "max": 8192})


async def test_a_slow_hello_ends_with_the_time_for_handshakes(caplog: pytest.LogCaptureFixture) -> None:
    async with attacked(mpreg.Config(handshake_timeout=0.2)) as address:
        silent, halfway, unproven = [await RawPeer.dial(address) for _ in range(3)]
        own = frame(HELLO, hello(unproven.key, "client"))
        halfway.write(own[:40])
        unproven.write(own)
        for peer in (silent, halfway, unproven):
            name, fields, text = await peer.refusal()
            assert (name, fields) == ("too_slow", {"limit_ms": 200}), text
        # One reason is said once.
        await wait_for(lambda: caplog.text.count("longer than 200 ms") == 1, what="a line")


async def test_frames_cut_short_by_the_end_are_no_news(address: str, caplog: pytest.LogCaptureFixture) -> None:
    peer = await RawPeer.dial(address)
    own = hello(peer.key, "client")
    theirs = await peer.next(HELLO)
    proof = frame(PROOF, peer.proof(own, theirs.payload, "client"))
    peer.close()
    whole = frame(HELLO, own)
    for end in (0, 1, 15, 16, 17, len(whole) - 1, len(whole), len(whole) + 16, len(whole) + len(proof) - 1):
        peer = await RawPeer.dial(address)
        peer.write((whole + proof)[:end])
        peer.close()
    assert caplog.text == ""


async def test_no_version_in_common_names_both_ranges(address: str, caplog: pytest.LogCaptureFixture) -> None:
    # Nobody knows yet what follows the versions then.
    own = frame(HELLO, MAGIC + bytes([0, 2, 0, 7]) + b"\xc1 whatever it may be")
    name, fields, text = await refusal(address, own)
    assert name == "no_common_version"
    assert fields == {"refusing": {"lowest": 1, "highest": 1}, "refused": {"lowest": 2, "highest": 7}}
    assert "1 to 1" in text
    assert "2 to 7" in text
    await wait_for(lambda: text in caplog.text, what="the node's log says so too")


@pytest.mark.parametrize("role", ["node", "client", "worker"])
async def test_another_cluster_is_refused_whatever_it_sends_behind_its_hello(address: str, role: str) -> None:
    own = frame(HELLO, hello(Key(), role, cluster="us"))
    for follows in [b"", *(frame(kind, b"\xc0" * 8, stream=1) for kind in KINDS), call("double.node-0", 1)]:
        name, fields, text = await refusal(address, own, follows)
        assert name == ("foreign_cluster" if role == "node" else "other_cluster"), text
        assert (fields["refusing"], fields["refused"]) == ("default", "us")


async def test_no_other_frame_is_read_before_the_hello(address: str) -> None:
    for kind in sorted({*KINDS} - {HELLO, REFUSE}):
        name, fields, text = await refusal(address, frame(kind, b"\xc0" * 8, stream=1))
        assert (name, fields) == ("unexpected_frame", {"expected": HELLO, "got": kind}), text


async def test_no_other_frame_is_read_before_the_proof(address: str) -> None:
    for kind in sorted({*KINDS} - {PROOF, REFUSE}):
        own = frame(HELLO, hello(Key(), "client"))
        name, fields, text = await refusal(address, own, frame(kind, b"\xc0" * 8, stream=1))
        assert (name, fields) == ("unexpected_frame", {"expected": PROOF, "got": kind}), text


async def test_a_role_that_nobody_may_take_is_refused(address: str) -> None:
    name, _, text = await refusal(address, frame(HELLO, hello(Key(), "gateway")))
    assert (name, "granted, never declared" in text) == ("malformed", True)
    name, _, text = await refusal(address, frame(HELLO, hello(Key(), "king")))
    assert name == "malformed", text


def of_another_key(peer: RawPeer, own: bytes, theirs: bytes) -> bytes:
    message = peer.transcript(own, theirs, "client")
    return peer.proof(own, theirs, "client", signature=Key().sign(message))


def of_another_role(peer: RawPeer, own: bytes, theirs: bytes) -> bytes:
    message = peer.transcript(own, theirs, "node")
    return peer.proof(own, theirs, "client", signature=peer.key.sign(message))


def of_another_handshake(peer: RawPeer, own: bytes, theirs: bytes) -> bytes:
    return peer.proof(own, theirs[:-1] + b"\xc2", "client")


BAD_PROOFS: dict[str, tuple[Callable[[RawPeer, bytes, bytes], bytes], str]] = {
    "by another key": (of_another_key, "bad_signature"),
    "for another role": (of_another_role, "bad_signature"),
    "of another handshake": (of_another_handshake, "secret_wrong"),
    "all zeros": (lambda peer, own, theirs: peer.proof(own, theirs, "client", signature=bytes(64)), "bad_signature"),
    "too short": (lambda peer, own, theirs: peer.proof(own, theirs, "client", signature=bytes(63)), "malformed"),
    "another secret": (lambda peer, own, theirs: peer.proof(own, theirs, "client", secret=bytes(32)), "secret_wrong"),
    "no secret": (lambda peer, own, theirs: peer.proof(own, theirs, "client", secret=None), "secret_missing"),
    "no map": (lambda *_: pack([1, 2]), "malformed"),
    "nothing": (lambda *_: b"", "malformed"),
}


@pytest.mark.parametrize("how", BAD_PROOFS)
async def test_a_bad_proof_is_refused(address: str, how: str, caplog: pytest.LogCaptureFixture) -> None:
    make, reason = BAD_PROOFS[how]
    peer = await RawPeer.dial(address)
    own = hello(peer.key, "client")
    peer.write(frame(HELLO, own))
    theirs = await peer.next(HELLO)
    peer.write(frame(PROOF, make(peer, own, theirs.payload)), call("double.node-0", 1))
    name, _, text = await peer.refusal()
    assert name == reason, text
    await wait_for(lambda: text in caplog.text, what="the node's log says so too")


async def test_a_proof_sent_back_or_again_proves_nothing(address: str) -> None:
    first = await RawPeer.dial(address)
    own = hello(first.key, "client")
    first.write(frame(HELLO, own))
    theirs = await first.next(HELLO)
    proof = first.proof(own, theirs.payload, "client")
    first.write(frame(PROOF, proof))
    their_proof = (await first.next(PROOF)).payload
    for replayed in (proof, their_proof):
        peer = await RawPeer.dial(address)
        peer.write(frame(HELLO, own), frame(PROOF, replayed))
        name, _, text = await peer.refusal()
        assert name == "secret_wrong", text
    first.write(call("double.node-0", 1))
    assert await first.reply(1) == (True, 1, 2)
    first.close()


# After it


async def breach(address: str, *parts: bytes) -> str:
    """Why a proven client is cut off that writes these bytes."""
    peer = await RawPeer.connect(address)
    peer.write(*parts)
    return await peer.breach()


async def test_a_client_made_by_hand_is_served(address: str) -> None:
    peer = await RawPeer.connect(address)
    peer.write(call("double.node-1", 1))
    assert await peer.reply(1) == (True, 1, 2)
    peer.close()


async def test_frames_beyond_the_role_of_a_client_cut_it_off(address: str, caplog: pytest.LogCaptureFixture) -> None:
    for kind in sorted({*KINDS} - OPEN_TO_CLIENTS):
        detail = await breach(address, frame(kind, b"\xc0" * 8, stream=1))
        assert "client" in detail
        await wait_for(lambda detail=detail: detail in caplog.text, what=f"the log says {detail!r}")


@pytest.mark.parametrize(
    ("bytes_", "told"),
    [
        (frame(200, stream=1), "unknown frame kind 200"),
        (frame(CALL, bytes(FRAME_BYTES_MAX + 1), stream=1)[:16], "at most 131072 are allowed"),
        (b"GET / HTTP/1.1\r\n\r\n", "at most 131072 are allowed"),
        (frame(CALL, b"\xc1" * 20, meta=b"\xc1" * 9, stream=1), "call"),
        (frame(CALL, b"", stream=0), "without a stream"),
        (frame(CALL, b"", stream=1, flags=0x80), "flags"),
        (frame(PING, b"1234567"), "payload of 7 bytes"),
        (frame(PING, b"12345678", meta=b"12"), "metadata"),
        (frame(CHUNK, b"x", stream=1, flags=LAST), "stream"),
        (frame(CANCEL, stream=1), "stream"),
        (call("double.node-0", 2), "stream"),
        (call("double.node-0", 1, value_bytes=100) + frame(CHUNK, bytes(101), stream=1, flags=LAST), "101"),
        (call("double.node-0", 1, value_bytes=100) + frame(CHUNK, bytes(99), stream=1, flags=LAST), "99"),
        (frame(GOODBYE, b"\1"), "payload of 1 bytes"),
        (frame(GOODBYE, goodbye(2)), "a goodbye that names stream s2"),
    ],
    ids=[
        "unknown kind", "length", "http", "metadata", "stream 0", "flags", "ping", "meta of a ping",
        "chunk of nothing", "cancel of nothing", "stream of the other side", "value too long", "value too short",
        "half a goodbye", "goodbye of what never was",
    ],
)  # fmt: skip
async def test_frames_that_no_peer_may_send_cut_it_off(
    address: str, bytes_: bytes, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    detail = await breach(address, bytes_)
    assert told in detail.lower()
    await wait_for(lambda: detail in caplog.text, what="the node's log says so too")


async def test_calls_on_streams_that_go_backwards_are_dropped_and_later_ones_served(address: str) -> None:
    peer = await RawPeer.connect(address)
    peer.write(*(call("double.node-0", stream, sequence=stream) for stream in (5, 3, 5, 1, 7)))
    assert sorted([(await peer.next(raw_peer.REPLY)).stream for _ in range(2)]) == [5, 7]
    peer.write(frame(PING, b"12345678"))
    assert (await peer.frame()).kind == PONG, "and nothing more came for the others"
    peer.close()


async def test_random_frames_of_a_proven_client_harm_nobody(address: str, mpreg_seed: int) -> None:
    chance = random.Random(mpreg_seed)
    for _ in range(20):
        peer = await RawPeer.connect(address)
        for stream in range(1, 41, 2):
            good = bytearray(call("double.node-0", stream, sequence=stream))
            good[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
            peer.write(bytes(good))
        # Longer than any length that the changes may have made, so that it ends in any case.
        peer.write(b"\xff" * 2 * FRAME_BYTES_MAX)
        await peer.last()


async def test_values_beyond_the_limits_are_refused_and_the_next_call_is_served() -> None:
    async with attacked(SMALL) as address:
        peer = await RawPeer.connect(address)
        for stream, declared in ((1, MIB + 1), (3, 10 << 30), (5, (1 << 64) - 1)):
            peer.write(call("double.node-0", stream, value_bytes=declared))
            ok, executed, error = await peer.reply(stream)
            assert (ok, executed, error["code"]) == (False, 0, "too_large")
            assert "max_value_bytes" in error["message"]
        peer.write(call("double.node-0", 7))
        assert await peer.reply(7) == (True, 1, 2)
        peer.close()


async def test_what_is_declared_and_never_sent_is_given_back_when_its_peer_goes() -> None:
    async with attacked(SMALL) as address:
        whole = MIB
        first, second, third = [await RawPeer.connect(address) for _ in range(3)]
        first.write(call("double.node-0", 1, value_bytes=whole), frame(CHUNK, bytes(1000), stream=1))
        first.write(call("double.node-0", 3, value_bytes=70_000))
        assert (await first.reply(3))[2]["code"] == "overloaded", "one peer gets half"
        second.write(call("double.node-0", 1, value_bytes=whole), frame(PING, b"12345678"))
        await second.next(PONG)
        third.write(call("double.node-0", 1, value_bytes=70_000))
        ok, executed, error = await third.reply(1)
        assert (ok, executed, error["code"]) == (False, 0, "overloaded")
        assert "receive_bytes" in error["message"]
        first.close()
        stream = 1

        async def taken() -> bool:
            nonlocal stream
            stream += 2
            third.write(call("double.node-0", stream, value_bytes=whole), frame(CHUNK, b"\xc1", stream=stream))
            third.write(frame(PING, b"12345678"))
            came = await third.frame()
            return came.kind == PONG

        await wait_for(taken, what="there is room again")
        second.close()
        third.close()


async def test_frames_cut_short_behind_the_proof_harm_nobody(address: str) -> None:
    whole = (
        call("double.node-0", 1) + call("double.node-0", 3, value_bytes=90_000) + frame(CHUNK, bytes(50_000), stream=3)
    )
    for end in (1, 15, 16, 20, len(call("double.node-0", 1)) + 10, len(whole) - 1, len(whole)):
        peer = await RawPeer.connect(address)
        peer.write(whole[:end])
        peer.close()


async def test_no_stranger_ends_a_node_by_what_it_claims_to_know() -> None:
    """It may make a node that has no members start again a few times, since a member would say the same."""
    async with LocalMesh([mpreg.Node("lone")], transport="tcp") as mesh:
        mesh.nodes[0].function("double")(double)
        for _ in range(10):
            peer = await RawPeer.dial(mesh.nodes[0].address)
            said = raw_peer.unpack((await peer.next(HELLO)).payload[len(MAGIC) + 4 :])["incarnation"]
            refusal = {"reason": {"stale_incarnation": {"known": said + 5, "said": said}}, "text": "later"}
            peer.write(frame(REFUSE, pack(refusal)))
            await peer.last()
        async with mesh.connect(0) as client:
            assert await client.call("double", 2) == 4
