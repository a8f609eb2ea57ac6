from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from authority import Authority, Issued
from twisted.internet import reactor, ssl
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Site

from metaproxy.clients.http import HttpFailed
from metaproxy.discovery.consul import Consul
from metaproxy.discovery.registry_tls import MOST, RegistryCalls, Tls, tls_of
from metaproxy.interfaces import IDiscovery
from metaproxy.options import OptionError
from metaproxy.plugins import Registry

NET: Any = reactor
URL = "https://127.0.0.1:8501"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Page(Resource):
    """Says who the client is."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        peer = request.transport.getPeerCertificate()
        name: str = peer.get_subject().CN if peer is not None else "unknown"
        return name.encode()


Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """serve(issued, ca): the URL of a server with that certificate, which asks for the client's where `ca` is given."""
    ports = []

    def started(issued: Issued, ca: Path | None = None) -> str:
        own = ssl.PrivateCertificate.loadPEM(issued.certificate.read_bytes() + issued.key.read_bytes())
        trusted = (ssl.Certificate.loadPEM(ca.read_bytes()),) if ca is not None else ()
        port = NET.listenSSL(0, Site(Page()), own.options(*trusted), interface="127.0.0.1")
        ports.append(port)
        return f"https://127.0.0.1:{port.getHost().port}"

    yield started
    for port in ports:
        pytest_twisted.blockon(port.stopListening())


async def answer(calls: RegistryCalls, url: str) -> str:
    try:
        return (await calls.call("GET", f"{url}/x", 5.0)).body.decode()
    except HttpFailed as error:
        return f"failed {error}"


@pytest_twisted.ensureDeferred
async def test_a_server_is_trusted_by_the_given_certificates_alone(
    authority: Authority, serve: Serve, tmp_path: Path
) -> None:
    url = serve(authority.issue("registry", "127.0.0.1"))
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other authority")
    good, bad = (RegistryCalls(NET, Tls(ca=str(one.ca))) for one in (authority, other))
    assert await answer(good, url) == "unknown"
    assert "certificate verify failed" in await answer(bad, url)
    good.close()
    bad.close()


@pytest_twisted.ensureDeferred
async def test_the_proxy_shows_its_own_certificate(authority: Authority, serve: Serve) -> None:
    url = serve(authority.issue("registry", "127.0.0.1"), authority.ca)
    own = authority.issue("proxy")
    calls = RegistryCalls(NET, Tls(str(authority.ca), str(own.certificate), str(own.key)))
    assert await answer(calls, url) == "proxy"
    calls.close()


@pytest_twisted.ensureDeferred
async def test_a_server_may_have_another_name_than_its_url(authority: Authority, serve: Serve) -> None:
    url = serve(authority.issue("registry", "etcd.internal"))
    wrong, right = (RegistryCalls(NET, Tls(str(authority.ca), server_name=name)) for name in ("", "etcd.internal"))
    assert (await answer(wrong, url)).startswith("failed")
    assert await answer(right, url) == "unknown"
    wrong.close()
    right.close()


@pytest_twisted.ensureDeferred
async def test_after_a_failure_certificates_are_read_again(authority: Authority, serve: Serve, tmp_path: Path) -> None:
    url = serve(authority.issue("registry", "127.0.0.1"))
    (tmp_path / "other").mkdir()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Authority(tmp_path / "other").ca.read_bytes())
    calls = RegistryCalls(NET, Tls(ca=str(ca)))
    assert (await answer(calls, url)).startswith("failed")
    ca.unlink()
    assert await answer(calls, url) == f"failed {ca}: No such file or directory"
    ca.write_bytes(authority.ca.read_bytes())
    assert await answer(calls, url) == "unknown"
    calls.close()


def test_files_that_can_not_be_read_are_named_when_the_configuration_is_checked(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="No such file") as caught:
        Consul("demo", Clock(), URL, tls={"ca": str(tmp_path / "none.pem")})
    assert caught.value.option == "tls"
    large = tmp_path / "large.pem"
    large.write_bytes(b"x" * (MOST + 1))
    with pytest.raises(OptionError, match="more than"):
        tls_of({"ca": str(large)})


def test_a_certificate_goes_with_its_key() -> None:
    with pytest.raises(OptionError, match="write both"):
        tls_of({"certificate": "c.pem"})


@pytest.mark.parametrize("name", ["consul", "etcd", "nacos", "eureka"])
def test_each_registry_over_http_has_it_and_names_its_files(name: str, authority: Authority) -> None:
    registry = Registry()
    options = {"target": "demo", "server": URL, "tls": {"ca": str(authority.ca)}}
    registry.factory(IDiscovery, name, options, {"clock": Clock()})()
    assert "tls.ca" in getattr(registry.load(IDiscovery, name), "files")  # noqa: B009
