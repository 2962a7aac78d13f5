"""What the log says of a peer that neither answers nor refuses."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import mpreg
from mpreg.testing import wait_for

if TYPE_CHECKING:
    import pytest


async def test_who_does_not_answer_is_not_said_to_refuse(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        seed = f"127.0.0.1:{silent.getsockname()[1]}"
        async with mpreg.Node("early", seeds=[seed]):
            await wait_for(lambda: "does not answer" in caplog.text, what="it is logged")
            assert "refused" not in caplog.text
