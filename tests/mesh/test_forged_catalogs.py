"""A member that lies: batches it never signed, of others, changed, again, out of order. Only owners change their rows."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING, Any

from raw_peer import CATALOG, MEMBERSHIP, Key, RawPeer, frame, node_id, pack

from mpreg.testing import LocalMesh, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

TAG = b"mpreg/catalog/1\0"


def batch(key: Key, span: tuple[int, int], *rows: list, **changes: Any) -> dict[str, Any]:
    """Changes `span` of the log of `key`, signed by it."""
    said = {"cluster": "default", "owner": key.node, "incarnation": 1, "from": span[0], "to": span[1], **changes}
    body = TAG + pack([*said.values(), 0, 1, list(rows)])
    return {"key": key.public, "signature": key.sign(body), "body": body}


def facts(key: Key, version: int = 1) -> list:
    return [version, struct.pack(">H", 1), pack({"name": "raw", "key": key.public, "addresses": []})]


def function(name: str, version: int) -> list:
    said = {"name": name, "id": name, "version": "1.0.0", "contract": bytes(32)}
    return [version, struct.pack(">H", 2) + name.encode() + b"\0001.0.0", pack(said)]


def gone(name: str, version: int) -> list:
    return [version, struct.pack(">H", 2) + name.encode() + b"\0001.0.0", None]


def batches(*signed: dict[str, Any]) -> bytes:
    return frame(CATALOG, pack({"batches": list(signed)}))


@contextlib.asynccontextmanager
async def lied_to() -> AsyncIterator[tuple[LocalMesh, RawPeer]]:
    """A mesh of two nodes, the first of which has taken a member made by hand."""
    async with LocalMesh(2, transport="tcp") as mesh:
        for node in mesh.nodes:
            node.function(f"own.{node.name}")(one)
        await mesh.converged()
        async with mesh.connect(0) as client:
            peer = await RawPeer.connect(mesh.nodes[0].address, "node", incarnation=1)
            peer.write(batches(batch(peer.key, (1, 2), facts(peer.key), function("mine", 2))))
            await client.wait_for("mine")
            yield mesh, peer
            peer.close()
            assert [await client.call(f"own.{node.name}") for node in mesh.nodes] == [1, 1]
        assert await mesh.nodes[1].call("own.node-0") == 1


def one() -> int:
    return 1


async def names(mesh: LocalMesh) -> set[str]:
    return {entry.name for entry in await mesh.nodes[0].catalog()}


async def taken(mesh: LocalMesh, name: str) -> None:
    """What came on the connection before this name has been handled."""

    async def is_there() -> bool:
        return name in await names(mesh)

    await wait_for(is_there, what=f"{name} is in {mesh}")


USUAL = {"own.node-0", "own.node-1", "mine"}


async def test_a_member_made_by_hand_is_believed_about_itself() -> None:
    async with lied_to() as (mesh, _):
        assert await names(mesh) == USUAL


async def test_a_batch_with_a_forged_signature_closes_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with lied_to() as (mesh, peer):
        forged = batch(peer.key, (3, 3), function("forged", 3))
        forged["signature"] = forged["signature"][:-1] + bytes([forged["signature"][-1] ^ 1])
        good = batch(peer.key, (3, 3), function("good", 3))
        peer.write(batches(good, forged))
        await peer.breach()
        await wait_for(lambda: "a bad control frame" in caplog.text and peer.key.node.hex() in caplog.text)
        assert await names(mesh) <= USUAL, "nor is anything else of the frame taken"


async def test_a_changed_batch_closes_the_connection() -> None:
    async with lied_to() as (mesh, peer):
        changed = batch(peer.key, (3, 3), function("before", 3))
        changed["body"] = changed["body"].replace(b"before", b"behind")
        peer.write(batches(changed))
        await peer.breach()
        assert await names(mesh) <= USUAL


async def test_nobody_speaks_for_another_owner(caplog: pytest.LogCaptureFixture) -> None:
    async with lied_to() as (mesh, peer):
        victim, incarnation = await identity(mesh, 1)
        stolen = batch(peer.key, (9, 9), function("stolen", 9), owner=victim, incarnation=incarnation)
        peer.write(
            batches(stolen),
            batches(batch(peer.key, (3, 3), function("foreign", 3), cluster="us")),
            batches(batch(peer.key, (3, 3), function("later", 3))),
        )
        await taken(mesh, "later")
        assert await names(mesh) == USUAL | {"later"}
        for why in ("signed by another node than its owner", "belongs to another cluster"):
            await wait_for(lambda why=why: why in caplog.text, what=why)


async def identity(mesh: LocalMesh, number: int) -> tuple[bytes, int]:
    """The `NodeId` and incarnation that a node proves."""
    peer = await RawPeer.connect(mesh.nodes[number].address)
    peer.close()
    return node_id(peer.theirs["key"]), peer.theirs["incarnation"]


async def test_replayed_batches_change_nothing_and_nothing_resurrects() -> None:
    async with lied_to() as (mesh, peer):
        first = batch(peer.key, (3, 3), function("short.lived", 3))
        peer.write(batches(first))
        await taken(mesh, "short.lived")
        peer.write(batches(first, first), batches(batch(peer.key, (4, 4), gone("short.lived", 4))), batches(first))
        peer.write(batches(batch(peer.key, (5, 5), function("later", 5))), batches(first, first))
        await taken(mesh, "later")
        assert await names(mesh) == USUAL | {"later"}


async def test_another_incarnation_of_a_batch_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with lied_to() as (mesh, peer):
        peer.write(
            batches(batch(peer.key, (3, 3), function("old", 3), incarnation=0)),
            batches(batch(peer.key, (3, 3), function("later", 3))),
        )
        await taken(mesh, "later")
        assert await names(mesh) == USUAL | {"later"}
        await wait_for(lambda: "earlier start" in caplog.text, what="it is logged")


async def test_control_frames_that_cannot_be_read_close_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with lied_to() as (mesh, peer):
        for kind in (MEMBERSHIP, CATALOG):
            for payload in (b"", b"\xc1", b"\xdf\xff\xff\xff\xff", b"\x91" * 1000, pack({"batches": [1]})):
                liar = await RawPeer.connect(mesh.nodes[0].address, "node")
                liar.write(frame(kind, payload))
                await liar.breach()
                await wait_for(lambda liar=liar: liar.key.node.hex() in caplog.text, what="it is logged")
        assert peer.key.node.hex() not in caplog.text


def leave(key: Key, node: bytes, incarnation: int) -> dict[str, Any]:
    """The goodbye of `node`, signed by `key`."""
    body = b"mpreg-leave-v1\0" + pack(["default", node, incarnation, "graceful_shutdown"])
    return {"key": key.public, "signature": key.sign(body), "body": body}


async def test_nobody_says_goodbye_for_another() -> None:
    async with lied_to() as (mesh, peer):
        victim, incarnation = await identity(mesh, 1)
        peer.write(frame(MEMBERSHIP, pack({"leave": leave(peer.key, victim, incarnation)})))
        peer.write(batches(batch(peer.key, (3, 3), function("later", 3))))
        await taken(mesh, "later")
        forged = leave(peer.key, victim, incarnation)
        # The key is the victim's now, the signature is not.
        other = await RawPeer.connect(mesh.nodes[1].address)
        other.close()
        peer.write(frame(MEMBERSHIP, pack({"leave": forged | {"key": other.theirs["key"]}})))
        await peer.breach()
        states = {member.name: member.state for member in await mesh.nodes[0].members()}
        assert (states["node-0"], states["node-1"]) == ("alive", "alive")


async def test_an_own_goodbye_counts() -> None:
    async with lied_to() as (mesh, peer):
        peer.write(frame(MEMBERSHIP, pack({"leave": leave(peer.key, peer.key.node, 1)})))

        async def has_left() -> bool:
            states = {member.name: member.state for member in await mesh.nodes[0].members()}
            return states.get("raw") == "left"

        await wait_for(has_left, what="a leave made by hand is one")
