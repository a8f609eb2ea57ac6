"""
What `metaproxy convert --to envoy` writes, on a real Envoy: it is accepted, and does the same.

Lives here: that. Does not: what each key becomes (tests/unit/envoy/writing), MetaProtocolProxy, which is Aeraki's own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import catalogue
import named_servers
import pytest
import yaml
from catalogue import Start
from named_servers import Named
from proxied import Proxy
from running import answers, free_port

pytestmark = pytest.mark.peer("envoy")

OURS = """
node: {{id: p1, cluster: front, zone: z1}}
admin: {{listen: "127.0.0.1:{admin}"}}
tracing: {{exporter: zipkin, url: "http://127.0.0.1:{admin}/api/v2/spans"}}
listeners:
  - name: web
    listen: 127.0.0.1:{web}
    protocol: {{name: http, via: edge, max_head: 32KiB, max_streams: 50, ping_interval: 30s}}
    max_connections: 500
    idle_timeout: 60s
    stream_idle: 10s
    filters:
      - local_rate_limit: {{limit: 1000, per: 1s, refill: interval}}
      - rbac: {{policies: {{p: {{action: deny, permissions: [{{path: {{prefix: /secret}}}}]}}}}}}
    routes:
      - {{name: a, match: {{path: /a, x-tenant: {{prefix: be, ignore_case: true}}, query.v: "2"}}, cluster: one,
         timeout: 3s, hash: [x-user], retry: {{attempts: 2, "on": [connect]}},
         mirror: [{{cluster: three, percent: 1}}]}}
      - {{name: b, match: {{path: {{prefix: /b}}, method: {{in: [GET, HEAD]}}}}, cluster: two,
         rewrite: {{path: {{regex: "^/b", to: "/c"}}, host: h.example}}, request: {{set: {{x-set: "%x-in%"}}}}}}
      - {{name: c, match: {{path: {{regex: "/[a-z]+/c"}}}}, reply: {{name: "301", set: {{location: "https://%host%/x"}}}}}}
      - {{name: d, match: {{x-n: {{range: [1, 5]}}}}, cluster: three}}
      - {{name: e, cluster: one}}
    access_log: [{{file: /dev/null, format: "%START_TIME% %REQ(method)% %RESP(status)%"}}]
    tracing: {{sampling: 0, tags: {{a: {{literal: b}}}}}}
  - name: cache
    listen: 127.0.0.1:{cache}
    protocol: redis
    routes:
      - {{match: {{key: {{prefix: "ab:"}}}}, cluster: r1, hash: [key], timeout: 2s}}
      - {{cluster: r2, hash: [key], timeout: 2s}}
  - name: raw
    listen: 127.0.0.1:{raw}
    protocol: tcp
    routes: [{{cluster: r2, retry: {{attempts: 2, "on": [connect]}}, hash: [source.address]}}]
clusters:
  - {{name: one, endpoints: ["127.0.0.1:{one}"], balancer: ring_hash, outlier: {{}}}}
  - {{name: two, endpoints: ["127.0.0.1:{two}"], health_check: {{kind: {{http: {{path: /h}}}}}}}}
  - {{name: three, endpoints: ["127.0.0.1:{three}"], breaker: {{max_requests: 10, retry_budget: 20}}}}
  - {{name: r1, endpoints: ["127.0.0.1:{r1}"], balancer: maglev, keepalive: {{}}, health_check: {{kind: tcp}}}}
  - {{name: r2, endpoints: ["127.0.0.1:{r2}"], balancer: maglev, connect_timeout: 2s}}
"""
ASKED = [
    ("GET", "/a?v=2", {"x-tenant": "Beta"}), ("GET", "/a?v=3", {"x-tenant": "Beta"}), ("GET", "/b/1?x=y", {}),
    ("POST", "/b", {}), ("GET", "/x/c", {}), ("GET", "/n", {"x-n": "4"}), ("GET", "/n", {"x-n": "5"}),
    ("GET", "/secret", {}),
]  # fmt: skip


@pytest.fixture
def servers() -> Iterator[dict[str, Named]]:
    made = {name: named_servers.http_server(name) for name in ("one", "two", "three")}
    made |= {name: named_servers.redis_server(name) for name in ("r1", "r2")}
    yield made
    for server in made.values():
        server.close()


def configuration(servers: dict[str, Named]) -> tuple[str, dict[str, int]]:
    ports = {name: free_port() for name in ("web", "cache", "raw", "admin")}
    return OURS.format(**ports, **{name: one.port for name, one in servers.items()}), ports


def converted(text: str, folder: Path) -> Path:
    file, envoys = folder / "ours.yaml", folder / "envoy.yaml"
    file.write_text(text)
    command: list[str | Path] = [Path(sys.executable).with_name("metaproxy"), "convert", "--to", "envoy", file]
    envoys.write_bytes(subprocess.run(command, capture_output=True, timeout=30, check=True).stdout)
    return envoys


def test_the_written_bootstrap_does_the_same_on_a_real_envoy(
    start_here: Start, proxy: Callable[..., Proxy], servers: dict[str, Named], tmp_path: Path
) -> None:
    text, theirs = configuration(servers)
    bootstrap = converted(text, tmp_path)
    start_here(catalogue.envoy(bootstrap), lambda: answers(theirs["web"]))
    text, ours = configuration(servers)
    proxy({key: value for key, value in yaml.safe_load(text).items() if key != "admin"})  # it is given one
    for asked in ASKED:
        answers_ = [named_servers.call_http(ports["web"], *asked) for ports in (theirs, ours)]
        assert answers_[0] == answers_[1], asked
    for key in ("ab:1", "a"):
        assert len({named_servers.call_redis(ports["cache"], "GET", key) for ports in (theirs, ours)}) == 1
    assert [named_servers.call_redis(ports["raw"], "GET", "x") for ports in (theirs, ours)] == ["r2", "r2"]
