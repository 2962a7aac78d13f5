"""Mutual TLS over loopback, with a certificate authority made for the test by the `openssl` command."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator  # noqa: TC003 - mpreg evaluates the annotations of functions
from typing import TYPE_CHECKING

import pytest

import mpreg

if TYPE_CHECKING:
    from pathlib import Path

    from children import Children

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs the openssl command to issue certificates"
)


class Authority:
    """Issues certificates by the rule of the mesh: one URI name, `spiffe://<cluster>/<kind>/<name>`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._openssl("genpkey", "-algorithm", "ed25519", "-out", "ca.key")
        self._openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=ca", "-days", "2", "-out", "ca.pem")

    def issue(self, kind: str, name: str, cluster: str = "default") -> mpreg.Config:
        extensions = f"subjectAltName=URI:spiffe://{cluster}/{kind}/{name}\nbasicConstraints=critical,CA:FALSE\n"
        (self.directory / "extensions").write_text(extensions + "extendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl("genpkey", "-algorithm", "ed25519", "-out", f"{name}.key")
        (self.directory / f"{name}.key").chmod(0o600)
        self._openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", "request")
        self._openssl(
            "x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1",
            "-extfile", "extensions", "-out", f"{name}.pem",
        )  # fmt: skip
        files = {"tls_ca": "ca.pem", "tls_cert": f"{name}.pem", "tls_key": f"{name}.key"}
        return mpreg.Config(**{setting: self.directory / file for setting, file in files.items()})

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def plus_one(x: int) -> int:
    return x + 1


async def echo(value: object) -> object:
    return value


async def test_workers_of_a_node_with_certificates_need_none(
    authority: Authority, children: Children, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(
        "import mpreg\nnode = mpreg.Node('shop')\n@node.function\nasync def plus_one(x: int) -> int: return x + 1\n"
    )
    files = {name: str(value) for name, value in authority.issue("node", "shop").given().items()}
    command = ("-c", "from mpreg.cli import main; main()", "run", "shop", "--workers", "2")
    async with mpreg.Node("other", config=authority.issue("node", "other")) as other:
        children.python(*command, seeds=other.address, **files)
        await other.wait_for("plus_one", timeout=30)
        assert await other.call("plus_one", 1) == 2


async def test_nodes_and_clients_call_each_other_under_their_certificates(authority: Authority) -> None:
    owner = mpreg.Node("owner", config=authority.issue("node", "owner"))
    owner.function("plus_one", inline=True)(plus_one)
    owner.function("echo")(echo)
    async with owner:
        other = mpreg.Node("other", seeds=[owner.address], config=authority.issue("node", "other"))
        async with other, mpreg.connect(other.address, config=authority.issue("client", "caller")) as client:
            assert await other.call("plus_one", 1) == 2
            await client.wait_for("echo")
            value = bytes(range(256)) * 4096 * 3
            assert await client.call("echo", value) == value


async def test_streams_and_large_results_of_graphs_go_under_certificates(authority: Authority) -> None:
    owner = mpreg.Node("owner", config=authority.issue("node", "owner"))

    @owner.function
    async def blocks(count: int) -> AsyncIterator[bytes]:
        for number in range(count):
            yield bytes([number]) * 100_000

    @owner.function
    def large(size: int) -> bytes:
        return bytes(size)

    async with owner:
        other = mpreg.Node("other", seeds=[owner.address], config=authority.issue("node", "other"))

        @other.function
        def length(value: bytes) -> int:
            return len(value)

        async with other, mpreg.connect(other.address, config=authority.issue("client", "caller")) as client:
            await client.wait_for("blocks")
            assert [block[::50_000] async for block in client.stream(blocks, 3)] == [b"\0\0", b"\1\1", b"\2\2"]
            # Made at one node, needed at the other: it goes from there to here, and not through the client.
            assert await client.run(client.step(length, client.step(large, 1_000_000))) == 1_000_000


async def test_a_node_takes_nobody_without_a_certificate(authority: Authority) -> None:
    async with mpreg.Node("owner", config=authority.issue("node", "owner")) as owner:
        with pytest.raises(mpreg.ConnectionLostError, match="the peer speaks TLS and this side does not"):
            async with mpreg.connect(owner.address):
                pass


async def test_a_certificate_for_another_name_or_cluster_is_refused_at_start(authority: Authority) -> None:
    with pytest.raises(mpreg.ConfigError, match="the certificate is for owner"):
        await mpreg.Node("other", config=authority.issue("node", "owner")).start()
    with pytest.raises(mpreg.ConfigError, match='no CA is known for cluster "us"'):
        await mpreg.Node("far", config=authority.issue("node", "far", cluster="us")).start()


async def test_a_key_that_others_may_read_is_refused(authority: Authority) -> None:
    config = authority.issue("node", "owner")
    (authority.directory / "owner.key").chmod(0o644)
    with pytest.raises(mpreg.ConfigError, match=r"owner\.key"):
        await mpreg.Node("owner", config=config).start()
