"""The model: that it has every key, and that the docs are made of it."""

from __future__ import annotations

import importlib.util
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from authority import Authority

from metaproxy.config.check import check
from metaproxy.config.model import Admin, Cluster, Config, Endpoint, Listener, Route, Tokens
from metaproxy.config.schema.reading import Use
from metaproxy.config.schema.shape import Section, about, options
from metaproxy.plugins import Registry
from metaproxy.units import Secret

HERE = Path(__file__).parent
DOCS = HERE.parents[2] / "docs"
REGISTRY = Registry([HERE / "dropins"])

_AUTHORITY = Authority(Path(tempfile.mkdtemp(prefix="metaproxy-test-")), "ca")
_AUTHORITY.issue("proxy", "proxy", file="proxy")
ENVIRON = {"PKI": str(_AUTHORITY.folder)}

# Every key that a configuration may have, now or later: users' files and checks from outside rely on these names.
EVERY_KEY = """
admin:
  listen: 127.0.0.1:9901
  tokens: {read: {secret: admin-read}, write: {secret: admin-write}}
  insecure: false
node: {id: sidecar-1, cluster: demo, zone: a, metadata: {}}
workers: 1
plugins: [./plugins]
overload: {max_memory: 1GiB, max_lag: 100ms}
runtime: {}
listeners:
  - name: dubbo-in
    listen: 0.0.0.0:20880
    protocol: dubbo
    tls:
      certificate: "${PKI}/proxy.pem"
      key: "${PKI}/proxy.key"
      client_ca: "${PKI}/ca.pem"
      require_client_certificate: true
    proxy_protocol: false
    max_connections: 10000
    max_frame: 16MiB
    max_inflight: 1024
    idle_timeout: 1h
    stall_timeout: 30s
    drain_timeout: 30s
    filters:
      - gate: {wait: 1s}
      - local_rate_limit: {limit: 1000, per: 1s, burst: 1000}
    routes:
      - name: canary
        match:
          interface: org.example.Demo
          method: {prefix: say}
          user: {present: true, not: false}
          source.address: {cidr: 10.0.0.0/8}
        percent: 25
        clusters: {demo-v1: 90, demo: 10}
        subset: {version: v2}
        timeout: 2s
        retry: {attempts: 2, on: [connect, reset], per_try_timeout: 500ms, backoff: 25ms..250ms, hedge_after: 100ms}
        hash: [user]
        sticky: user
        priority: high
        mirror: [{cluster: demo-v1, percent: 100}]
        request: {set: {tenant: blue}, remove: [debug]}
        response: {set: {served-by: "%upstream_address%"}}
        filters: {local_rate_limit: {limit: 10, per: 1s}, gate: off}
      - reply: {error: not_found, message: gone}
        match: {method: old}
      - cluster: demo
    access_log: [{file: /dev/stdout, format: json}]
    tracing: {sampling: 10}
clusters:
  - name: demo
    endpoints:
      - 127.0.0.1:20881
      - {address: 127.0.0.1:20882, weight: 2, zone: b, priority: 0, metadata: {version: v2}}
    protocol: dubbo
    balancer: {name: ring_hash, key: [interface, user]}
    connect_timeout: 1s
    request_timeout: 15s
    connections: {mode: multiplex, per_endpoint: 2, idle_timeout: 5m, max_age: 1h, max_requests: 1000000}
    fallback: [demo-v1]
    credentials: {user: app, password: {secret: redis-password}}
    breaker: {max_connections: 1024, max_pending: 1024, max_requests: 1024, max_retries: 3, retry_budget: 20}
    health_check: {interval: 5s, timeout: 1s, healthy: 2, unhealthy: 3, kind: tcp}
    outlier: {consecutive_errors: 5}
    panic_threshold: 50
    slow_start: 30s
    locality: {prefer: zone, min_healthy: 70}
    tls: {ca: "${PKI}/ca.pem", server_name: demo}
  - {name: demo-v1, discovery: {dns: "demo.svc:20880", refresh: 5s}}
xds: {server: "127.0.0.1:18000", transport: grpc, resources: [listeners, clusters, routes, endpoints]}
secrets: {redis-password: {value: a}, admin-read: {value: b}, admin-write: {value: c}}
tracing: {exporter: zipkin, url: "http://127.0.0.1:9411/api/v2/spans"}
static_resources: {}
dynamic_resources: {}
"""
LATER = [
    "static_resources",
    "dynamic_resources",
]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- every key


def test_every_key_is_known_and_those_that_do_nothing_yet_are_refused() -> None:
    config, problems = check(EVERY_KEY, "demo.yaml", REGISTRY, ENVIRON)
    assert config is None
    assert {problem.text for problem in problems} == {"not supported yet in this version"}
    assert [problem.path for problem in problems] == LATER


def test_the_keys_that_are_there_are_read() -> None:
    lines = EVERY_KEY.splitlines()
    for problem in check(EVERY_KEY, "demo.yaml", REGISTRY, ENVIRON)[1]:
        line = lines[problem.line - 1]
        key = re.escape(problem.path.rpartition(".")[2])
        one = re.compile(rf", {key}: [^,}}]*" if line.strip().startswith(("- {", "breaker")) else rf"^\s*{key}:.*")
        lines[problem.line - 1] = one.sub("", line)
    config, problems = check("\n".join(lines), "demo.yaml", REGISTRY, ENVIRON)
    assert problems == []
    assert config is not None
    listener, cluster = config.listeners[0], config.clusters[0]
    canary = listener.routes[0]
    assert config.admin.tokens == Tokens(read=Secret("b"), write=Secret("c"))
    assert listener.listen == ("0.0.0.0:20880",)
    assert listener.filters[1] == Use("local_rate_limit", {"limit": 1000, "per": "1s", "burst": 1000})
    assert (canary.percent, canary.clusters, canary.subset) == (25.0, {"demo-v1": 90, "demo": 10}, {"version": "v2"})
    assert canary.match["source.address"] == {"cidr": "10.0.0.0/8"}
    assert canary.filters == {"local_rate_limit": Use("local_rate_limit", {"limit": 10, "per": "1s"}), "gate": None}
    assert cluster.endpoints[1] == Endpoint(address="127.0.0.1:20882", weight=2, zone="b", metadata={"version": "v2"})
    assert cluster.balancer == Use("ring_hash", {"key": ["interface", "user"]})
    assert cluster.connections.max_age == 3600.0
    assert cluster.credentials == {"user": "app", "password": "a"}


def test_the_defaults_are_those_of_the_specification() -> None:
    listener = Listener(name="in", listen=("a:1",), protocol=Use("dubbo"))
    assert (listener.max_connections, listener.max_frame, listener.max_inflight) == (10000, 16 << 20, 1024)
    assert (listener.idle_timeout, listener.stall_timeout, listener.drain_timeout) == (3600.0, 30.0, 30.0)
    cluster = Cluster(name="demo", endpoints=())
    assert (cluster.connect_timeout, cluster.request_timeout, cluster.balancer) == (1.0, 15.0, Use("round_robin"))
    connections, breaker = cluster.connections, cluster.breaker
    assert (connections.mode, connections.per_endpoint, connections.idle_timeout) == (None, None, 300.0)
    # Requests: more than Envoy's 1024, which a few pipelining clients exceed at once.
    assert (breaker.max_connections, breaker.max_pending, breaker.max_requests) == (1024, 1024, 65536)
    assert (Config().admin.listen, Config().workers) == ("127.0.0.1:9901", 1)
    assert (Route(reply=None).percent, Route().timeout) == (100.0, None)


# -- the docs


def test_the_page_is_up_to_date() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text()
    assert generator().page(page) == page, "run `make docs`"


def test_the_schema_is_up_to_date() -> None:
    assert (DOCS / "reference" / "config.schema.json").read_text() == generator().schema(), "run `make docs`"


def test_a_section_without_a_place_in_the_page_is_missed() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text()
    with pytest.raises(ValueError, match="sections are"):
        generator().page(page.replace("<!-- options: Route -->", ""))


def test_a_table_is_what_the_model_says() -> None:
    assert generator().table(Tokens) == (
        "Bearer tokens of the admin API.\n"
        "\n"
        "| key | value | default | |\n"
        "|---|---|---|---|\n"
        "| `read` | a text, or `{secret: NAME}` | only `write` reads | Allows whatever changes nothing. |\n"
        "| `write` | a text, or `{secret: NAME}` | no one writes | Allows everything. |\n"
    )


def test_the_links_of_the_page_lead_somewhere() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text()
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= headings


def test_the_example_of_the_page_is_right_and_so_are_its_errors() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    config, problems = check(example, "demo.yaml", REGISTRY, {})
    assert problems == [] and config is not None and config.warnings == ()
    wrong = example.replace("cluster: greeter-v1", "cluster: greter-v1").replace("2s", "2 s")
    shown = re.findall(r"^    (demo\.yaml:.*)$", page, re.MULTILINE)
    assert [str(problem) for problem in check(wrong, "demo.yaml", REGISTRY, {})[1]] == shown


def test_every_section_and_key_says_what_it_is() -> None:
    for section in set(generator().sections()):
        assert about(section).endswith("."), section
        for name, option in options(section).items():
            assert option.about.endswith("."), (section, name)
            assert not {name} & set(section.LATER)


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def test_what_the_schema_refers_to_is_in_it() -> None:
    schema = json.loads(generator().schema())
    assert {reference.removeprefix("#/$defs/") for reference in _references(schema)} == set(schema["$defs"])


def test_the_schema_has_every_key_and_no_other() -> None:
    definitions = json.loads(generator().schema())["$defs"]
    for section in set(generator().sections()):
        schema = definitions[section.__name__]
        assert set(schema["properties"]) == set(options(section))
        assert schema["additionalProperties"] is False


def test_sections_have_no_keys_but_those_of_the_model() -> None:
    assert all(issubclass(section, Section) and not hasattr(section(), "__dict__") for section in (Admin, Tokens))
