"""HTTP/2 at both ends of the proxy: h2spec, h2specd, and other implementations as clients and servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import http_peers
import pytest
import spec_peers
from catalogue import Start
from proxied import Proxy, cluster, listener
from running import free_port

peer = pytest.mark.peer

MakeProxy = Callable[[Mapping[str, Any]], Proxy]

SMALLER = "http2/5.1.1 Sends stream identifier that is numerically smaller than previous"
"""What h2spec finds in nghttpd: for a stream that was passed over it wants the connection to end."""

PREFACE = "http2/3.5 Sends invalid connection preface"
"""What is no preface of HTTP/2 is answered 400 where clients may speak HTTP/1.1: to h2spec half a frame."""


@peer("h2spec", "nginx", "nghttpd")
@pytest.mark.parametrize(("version", "http1"), [(1, True), (2, False)])
def test_h2spec_finds_nothing_that_it_does_not_find_in_nghttpd(
    version: int, http1: bool, start_here: Start, proxy: MakeProxy, tmp_path: Path
) -> None:
    port, back = free_port(), free_port()
    if version == 1:
        start_here(http_peers.nginx(tmp_path, h1=back))
    else:
        (tmp_path / "index.html").write_text("hi\n")
        start_here(http_peers.nghttpd(tmp_path, back))
    proxy(
        {
            "listeners": [listener("web", port, {"name": "http", "http1": http1}, [{"cluster": "back"}])],
            "clusters": [cluster("back", back, protocol={"name": "http", "version": version})],
        }
    )
    spec = spec_peers.h2spec(port)
    assert len(spec.passed) + len(spec.skipped) + len(spec.failed) == 145
    assert spec.failed.keys() <= ({SMALLER, PREFACE} if http1 else {SMALLER}), spec.failed


@peer("h2spec")
def test_h2specd_finds_nothing_in_what_goes_to_servers(proxy: MakeProxy) -> None:
    port, first = free_port(), spec_peers.free_range()
    ports = range(first, first + spec_peers.H2SPECD_CASES)
    routes = [{"match": {"x-case": str(number)}, "cluster": f"case-{number}"} for number in ports]
    servers = [
        cluster(f"case-{number}", number, protocol={"name": "http", "version": 2}, connect_timeout="1s")
        for number in ports
    ]
    proxy({"listeners": [listener("web", port, "http", routes)], "clusters": servers})
    spec = spec_peers.h2specd(spec_peers.through(port), first)
    assert len(spec.passed) + len(spec.skipped) + len(spec.failed) == spec_peers.H2SPECD_CASES
    assert spec.failed == {}
