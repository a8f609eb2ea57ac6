"""One HTTP port of a control plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import treq
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.web.resource import Resource
from twisted.web.server import Request

from metaproxy.admin.http_server import HttpServer

REACTOR: Any = reactor


class Here(Resource):
    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        return b"here"


def server(listen: str) -> HttpServer:
    return HttpServer("test", Here(), listen, REACTOR)


@pytest_twisted.ensureDeferred
async def test_it_answers_on_its_port_until_it_is_stopped() -> None:
    made = server("127.0.0.1:0")
    made.startService()
    response = await treq.get(f"http://{made.bound}/", persistent=False)
    assert await response.text() == "here"
    await made.stopService()
    assert made.bound == ""


@pytest_twisted.ensureDeferred
async def test_it_answers_on_ipv6_and_on_a_socket_in_a_folder(tmp_path: Path) -> None:
    for listen in ("[::1]:0", f"unix:{tmp_path}/s"):
        made = server(listen)
        made.startService()
        assert made.bound.startswith(listen.removesuffix("0"))
        await made.stopService()


@pytest_twisted.ensureDeferred
async def test_an_address_that_is_taken_is_said_at_the_start() -> None:
    made = server("127.0.0.1:0")
    made.startService()
    with pytest.raises(CannotListenError):
        server(made.bound).startService()
    await made.stopService()
