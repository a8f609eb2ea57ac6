"""
Traces through one proxy and through two, with real clients and servers, at real collectors: a Zipkin, and an OTLP sink.

Lives here: which spans there are, how they hang together, what they say; collectors that are away. Does not: rules of
the decision (tests/unit/telemetry/test_tracing.py).
"""

from __future__ import annotations

import json
import re
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import mysql_peers
import postgres_peers
import pytest
from catalogue import Clients, Start
from mysql_peers import MariaDB
from postgres_peers import PostgreSQL
from proxied import Proxy, cluster, listener
from running import Jobs, answers, eventually, free_port

peer = pytest.mark.peer
sys.path += [str(mysql_peers.PYTHON), str(postgres_peers.PYTHON)]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
W3C = f"00-{TRACE}-{CALLER}-01"
TRACED = "11111111-2222-9333-8444-555555555555"
UNTRACED = "11111111-2222-4333-8444-555555555555"


class Collector(NamedTuple):
    """An OTLP collector that is not ours, and the file in which it writes what it is sent."""

    url: str
    file: Path

    def spans(self, service: str = "") -> list[dict[str, Any]]:
        """Oldest first; tags as a mapping."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        found = [json.loads(line) for line in lines]
        return [_tagged(each["span"]) for each in found if service in ("", each["service"])]


def _tagged(span: dict[str, Any]) -> dict[str, Any]:
    return {**span, "tags": {each["key"]: each["value"]["stringValue"] for each in span["attributes"]}}


@pytest.fixture
def otlp(start_here: Start, tmp_path: Path) -> Collector:
    port, file = free_port(), tmp_path / "spans"
    start_here(catalogue.otlp_sink(port, file))
    return Collector(f"http://127.0.0.1:{port}/v1/traces", file)


def chain(
    proxy: Callable[..., Proxy], protocol: Any, server: int, tracing: dict[str, Any], **options: Any
) -> tuple[int, list[Proxy]]:
    """client -> A, outbound -> B, inbound -> server. The port of A."""
    second, first = free_port(), free_port()
    proxies = []
    for name, port, up, direction in (("b", second, server, "inbound"), ("a", first, second, "outbound")):
        made = listener("in", port, protocol, [{"cluster": "up"}], tracing={"direction": direction, **options})
        config: dict[str, Any] = {"node": {"id": f"node-{name}", "cluster": f"proxy-{name}", "zone": "z1"}}
        config |= {"tracing": {"interval": "50ms", **tracing}, "listeners": [made], "clusters": [cluster("up", up)]}
        proxies.append(proxy(config))
    return first, proxies


def call(jobs: Jobs, port: int, method: str, *args: Any, **options: Any) -> dict[str, Any]:
    (result,) = jobs.run(port=port, calls=[{"method": method, "args": list(args), **options}])
    return result


@peer("otlp")
@peer("java")
@pytest.mark.parametrize("client", [pytest.param(each, marks=peer(each)) for each in ("java", "npm", "dubbo-py")])
def test_a_dubbo_call_through_two_proxies_is_one_trace(
    client: str, start_here: Start, clients: Clients, proxy: Callable[..., Proxy], otlp: Collector
) -> None:
    server = free_port()
    start_here(catalogue.dubbo_server("java", "alpha", server))
    port, _ = chain(proxy, "dubbo", server, {"exporter": "otlp", "url": otlp.url})
    sent = {"traceparent": W3C, "tracestate": "vendor=x", "tenant": "blue", "app-token": "hidden-from-view"}
    result = call(clients(catalogue.dubbo_client(client)), port, "attachments", attachments=sent)
    assert "value" in result, result
    assert eventually(lambda: len(otlp.spans()) == 2), otlp.spans()
    (a,), (b,) = otlp.spans("proxy-a"), otlp.spans("proxy-b")

    assert (a["name"], b["name"]) == (
        "egress org.example.HelloService/attachments", "ingress org.example.HelloService/attachments",
    )  # fmt: skip
    assert (a["kind"], b["kind"]) == ("SPAN_KIND_CLIENT", "SPAN_KIND_SERVER")
    assert {a["traceId"], b["traceId"]} == {TRACE}
    assert (a["parentSpanId"], b["parentSpanId"]) == (CALLER, a["spanId"])
    times = [a["startTimeUnixNano"], b["startTimeUnixNano"], b["endTimeUnixNano"], a["endTimeUnixNano"]]
    assert times == sorted(times)

    # The server is handed B's span, to go on from.
    seen = result["value"]
    assert seen["traceparent"] == f"00-{TRACE}-{b['spanId']}-01"
    assert seen["tracestate"] == "vendor=x"
    assert (seen["x-b3-traceid"], seen["x-b3-spanid"], seen["x-b3-sampled"]) == (TRACE, b["spanId"], "1")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-9[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", seen["x-request-id"])

    for name, span in (("a", a["tags"]), ("b", b["tags"])):
        assert span["guid:x-request-id"] == seen["x-request-id"]
        assert span["request metadata: tenant"] == "blue"
        assert span["request metadata: app-token"] == "****"
        assert span["upstream_cluster.name"] == span["upstream_cluster"] == "up"
        assert (span["node_id"], span["zone"], span["component"]) == (f"node-{name}", "z1", "proxy")
        assert (span["outcome"], span["peer.address"]) == ("ok", "127.0.0.1")
        assert int(span["request_size"]) > 100 and int(span["response_size"]) > 100
        assert "error" not in span


@peer("otlp")
@peer("npm")
def test_what_an_earlier_proxy_decided_holds(
    start_here: Start, clients: Clients, proxy: Callable[..., Proxy], otlp: Collector
) -> None:
    server, port = free_port(), free_port()
    start_here(catalogue.dubbo_server("npm", "alpha", server))
    tracing = {"exporter": "otlp", "url": otlp.url, "interval": "50ms"}
    made = listener("in", port, "dubbo", [{"cluster": "up"}], tracing={"sampling": 100})
    one = proxy({"tracing": tracing, "listeners": [made], "clusters": [cluster("up", server)]})
    jobs = clients(catalogue.dubbo_client("npm"))
    for id in (UNTRACED, TRACED, "of another scheme"):
        result = call(jobs, port, "attachments", attachments={"x-request-id": id, "traceparent": W3C})
        assert result["value"]["x-request-id"] == id
        assert (result["value"]["traceparent"] == W3C) == (id != TRACED)
    assert eventually(otlp.spans)
    (span,) = otlp.spans("metaproxy")
    assert span["tags"]["guid:x-request-id"] == TRACED
    assert one.stats()['metaproxy_filter_events_total{event="untraced",filter="tracing",listener="in"}'] == 2


@peer("otlp")
@peer("npm")
def test_without_tracing_nothing_is_added_and_nobody_is_told(
    start_here: Start, clients: Clients, proxy: Callable[..., Proxy], otlp: Collector
) -> None:
    server, port = free_port(), free_port()
    start_here(catalogue.dubbo_server("npm", "alpha", server))
    tracing = {"exporter": "otlp", "url": otlp.url, "interval": "50ms"}
    made = listener("in", port, "dubbo", [{"cluster": "up"}])
    one = proxy({"tracing": tracing, "listeners": [made], "clusters": [cluster("up", server)]})
    result = call(clients(catalogue.dubbo_client("npm")), port, "attachments", attachments={"x-request-id": TRACED})
    assert "traceparent" not in result["value"]
    one.stop()
    assert otlp.spans() == []


@peer("py")
def test_a_thrift_call_with_headers_through_two_proxies_is_one_trace_in_zipkin(
    start_here: Start, clients: Clients, proxy: Callable[..., Proxy], zipkin: str
) -> None:
    server = free_port()
    start_here(catalogue.thrift_server("py", "alpha", f"{server}:header:binary"))
    tracing = {"exporter": "zipkin", "url": f"{zipkin}/api/v2/spans"}
    port, _ = chain(proxy, "thrift", server, tracing, propagation=["b3"])
    calls = [{"method": "headers", "headers": {"b3": f"{TRACE}-{CALLER}-1", "tenant": "blue"}}]
    jobs = clients(catalogue.thrift_client("py"))
    (result,) = jobs.run(port=port, transport="header", protocol="binary", calls=calls)
    assert "value" in result, result
    found: dict[str, dict[str, Any]] = {}

    def both() -> bool:
        found.update({span["localEndpoint"]["serviceName"]: span for span in ask(f"{zipkin}/api/v2/trace/{TRACE}")})
        return len(found) == 2

    assert eventually(both, 20), found
    a, b = found["proxy-a"], found["proxy-b"]
    assert (a["name"], b["name"]) == ("egress headers", "ingress headers")
    assert (a["kind"], b["kind"]) == ("CLIENT", "SERVER")
    assert (a["parentId"], b["parentId"]) == (CALLER, a["id"])
    assert result["value"]["b3"] == f"{TRACE}-{b['id']}-1"
    assert "traceparent" not in result["value"]
    assert a["tags"]["request metadata: tenant"] == b["tags"]["request metadata: tenant"] == "blue"
    assert a["tags"]["guid:x-request-id"] == result["value"]["x-request-id"]


@pytest.fixture(scope="module")
def zipkin(start: Start) -> str:
    port = free_port()
    start(catalogue.zipkin_server(port), lambda: answers(port))
    return f"http://127.0.0.1:{port}"


def ask(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError:  # 404: not there yet
        return []


@peer("zipkin")
@peer("npm")
def test_zipkin_shows_failures(start_here: Start, clients: Clients, proxy: Callable[..., Proxy], zipkin: str) -> None:
    port = free_port()
    made = listener("in", port, "dubbo", [{"cluster": "up"}], tracing={"direction": "inbound"})
    tracing = {"exporter": "zipkin", "url": f"{zipkin}/api/v2/spans", "service": "failing", "interval": "50ms"}
    one = proxy({"tracing": tracing, "listeners": [made], "clusters": [cluster("up", free_port())]})
    assert "error" in call(clients(catalogue.dubbo_client("npm")), port, "add", 3, 4)
    (trace,) = eventually(lambda: ask(f"{zipkin}/api/v2/traces?serviceName=failing"), 20)
    (span,) = trace
    assert span["name"] == "ingress org.example.helloservice/add"  # Zipkin has names in lower case
    assert (span["tags"]["error"], span["tags"]["outcome"], span["tags"]["response_flags"]) == ("true", "connect", "UF")
    assert one.stats()['metaproxy_filter_events_total{event="traced",filter="tracing",listener="in"}'] == 1


@peer("otlp")
@peer("redis-server")
@peer("redis-py")
def test_a_protocol_that_carries_nothing_has_spans_all_the_same(
    start_here: Start, proxy: Callable[..., Proxy], otlp: Collector, tmp_path: Path
) -> None:
    import redis

    server, port = free_port(), free_port()
    start_here(catalogue.redis_server(server, tmp_path), lambda: answers(server))
    made = listener("in", port, "redis", [{"cluster": "up"}], tracing={})
    tracing = {"exporter": "otlp", "url": otlp.url, "interval": "50ms"}
    proxy({"tracing": tracing, "listeners": [made], "clusters": [cluster("up", server)]})
    with redis.Redis(port=port, socket_timeout=5) as client:
        assert client.set("user:1", "hidden-value") and client.get("user:1") == b"hidden-value"
    names = {"ingress SET", "ingress GET"}
    assert eventually(lambda: names <= {span["name"] for span in otlp.spans()}), otlp.spans()
    spans = {span["name"]: span for span in otlp.spans()}
    assert spans["ingress SET"]["tags"]["request metadata: key"] == "user:1"
    assert len({spans[name]["traceId"] for name in names}) == 2
    assert "hidden-value" not in otlp.file.read_text()


def say_to_postgres(port: int, text: str) -> None:
    import psycopg

    place = f"host=127.0.0.1 port={port} user=app password=secret dbname=postgres"
    with psycopg.connect(place, autocommit=True) as c:
        assert c.execute(text).fetchone() == (1,)
        prepared = text.replace("%", "%%").replace("1", "%s::int", 1)
        assert c.execute(prepared, (2,), prepare=True).fetchone() == (2,)


def say_to_mysql(port: int, text: str) -> None:
    import mysql.connector

    login: dict[str, Any] = {"user": "app", "password": "secret", "database": "d", "collation": "utf8mb4_general_ci"}
    with mysql.connector.connect(host="127.0.0.1", port=port, use_pure=True, ssl_disabled=True, **login) as c:
        for prepared, one, values in ((False, text, ()), (True, text.replace("1", "?", 1), (2,))):
            with c.cursor(prepared=prepared) as k:
                k.execute(one, values)
                assert k.fetchall() == [values or (1,)]


@pytest.fixture(
    params=[
        pytest.param("postgres", marks=peer("postgres", "postgres-python")),
        pytest.param("mysql", marks=peer("mariadb", "mysql-python")),
    ]
)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A protocol, and the port of a server that speaks it."""
    port, protocol = free_port(), str(request.param)
    server = PostgreSQL(port) if protocol == "postgres" else MariaDB(port, tmp_path_factory.mktemp("mariadb"))
    yield protocol, port
    server.stop()


@peer("otlp")
def test_a_statement_goes_on_with_the_trace_that_its_comment_names(
    database: tuple[str, int], proxy: Callable[..., Proxy], otlp: Collector
) -> None:
    """As sqlcommenter writes it, behind a query and in a prepared statement."""
    protocol, server = database
    ports, users = {way: free_port() for way in ("passing", "pooled")}, {"name": protocol, "users": {"app": "secret"}}
    tracing = {"exporter": "otlp", "url": otlp.url, "interval": "50ms"}
    config = {
        "tracing": tracing,
        "listeners": [
            listener(way, ports[way], each, [{"cluster": way}], tracing={"direction": "inbound"})
            for way, each in (("passing", protocol), ("pooled", users))
        ],
        "clusters": [
            cluster("passing", server),
            cluster("pooled", server, credentials={"user": "app", "password": "secret"}),
        ],
    }
    proxy(config)
    say = say_to_postgres if protocol == "postgres" else say_to_mysql
    for way in ports:
        say(ports[way], f"select 1 /*traceparent='{W3C}',tracestate='vendor%3Dx'*/")

    def spans(way: str, name: str = "ingress select") -> list[dict[str, Any]]:
        return [span for span in otlp.spans() if span["tags"]["listener"] == way and span["name"] == name]

    def two(way: str) -> bool:
        return len(spans(way)) >= 2

    for way in ports:
        assert eventually(partial(two, way)), otlp.spans()
        for span in spans(way):
            assert (span["traceId"], span["parentSpanId"]) == (TRACE, CALLER)
            assert span["tags"]["request metadata: tracestate"] == "vendor=x"
            assert (span["tags"]["outcome"], span["tags"]["upstream_cluster"]) == ("ok", way)
    others = [span for span in otlp.spans() if span["name"] != "ingress select"]
    assert others and TRACE not in {span["traceId"] for span in others}


@peer("otlp")
@peer("npm")
def test_b23_the_access_log_has_the_ids_of_a_traced_call(
    start_here: Start, clients: Clients, proxy: Callable[..., Proxy], otlp: Collector, tmp_path: Path
) -> None:
    server, port = free_port(), free_port()
    start_here(catalogue.dubbo_server("npm", "alpha", server))
    fields = {"id": "%REQ(x-request-id)%", "trace": "%TRACE_ID%", "flags": "%RESPONSE_FLAGS%"}
    logs = [{"file": str(tmp_path / "log"), "fields": fields}]
    made = listener("in", port, "dubbo", [{"cluster": "up"}], tracing={}, access_log=logs)
    proxy(
        {
            "tracing": {"exporter": "otlp", "url": otlp.url, "interval": "50ms"},
            "listeners": [made],
            "clusters": [cluster("up", server)],
        }
    )
    call(clients(catalogue.dubbo_client("npm")), port, "add", 3, 4)
    assert eventually(lambda: otlp.spans() and (tmp_path / "log").exists() and (tmp_path / "log").read_text())
    line = json.loads((tmp_path / "log").read_text())
    (span,) = otlp.spans("metaproxy")
    assert line == {"id": span["tags"]["guid:x-request-id"], "trace": span["traceId"], "flags": None}


@peer("npm")
@pytest.mark.parametrize("exporter", ["otlp", "zipkin"])
def test_a_collector_that_is_away_costs_spans_and_nothing_else(
    exporter: str, start_here: Start, clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    server, port = free_port(), free_port()
    start_here(catalogue.dubbo_server("npm", "alpha", server))
    url = f"http://127.0.0.1:{free_port()}/"
    tracing = {"exporter": exporter, "url": url, "interval": "20ms", "timeout": "200ms", "max_queue": 5}
    made = listener("in", port, "dubbo", [{"cluster": "up"}], tracing={})
    one = proxy({"tracing": tracing, "listeners": [made], "clusters": [cluster("up", server)]})
    calls = [{"method": "add", "args": [3, 4]}] * 100
    results = clients(catalogue.dubbo_client("npm")).run(port=port, calls=calls)
    assert [each.get("value") for each in results] == [7] * 100
    name = r"metaproxy_tracing_spans_total\{result=\"%s\"\} ([\d.]+)"

    def lost() -> float:
        text = one.admin("/metrics")
        return sum(float(re.findall(name % result, text)[0]) for result in ("failed", "dropped"))

    assert eventually(lambda: lost() == 100, 15), one.admin("/metrics")
    assert re.findall(name % "exported", one.admin("/metrics")) == ["0.0"]
    assert one.log().count("spans can't be exported") == 1


@peer("otlp")
@peer("npm")
def test_spans_that_wait_are_sent_when_the_proxy_ends(
    start_here: Start, clients: Clients, proxy: Callable[..., Proxy], otlp: Collector
) -> None:
    server, port = free_port(), free_port()
    start_here(catalogue.dubbo_server("npm", "alpha", server))
    made = listener("in", port, "dubbo", [{"cluster": "up"}], tracing={})
    tracing = {"exporter": "otlp", "url": otlp.url, "interval": "10m"}
    one = proxy({"tracing": tracing, "listeners": [made], "clusters": [cluster("up", server)]})
    calls = [{"method": "add", "args": [3, 4]}] * 20
    clients(catalogue.dubbo_client("npm")).run(port=port, calls=calls)
    assert otlp.spans() == []
    one.stop()
    assert len(otlp.spans()) == 20


@peer("npm")
@pytest.mark.parametrize("exporter", ["otlp", "zipkin"])
def test_the_end_does_not_wait_for_a_collector_that_never_answers(
    exporter: str, start_here: Start, clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    server, port = free_port(), free_port()
    start_here(catalogue.dubbo_server("npm", "alpha", server))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        tracing = {"exporter": exporter, "url": url, "interval": "10ms", "timeout": "5m"}
        made = listener("in", port, "dubbo", [{"cluster": "up"}], tracing={})
        one = proxy({"tracing": tracing, "listeners": [made], "clusters": [cluster("up", server)]})
        assert call(clients(catalogue.dubbo_client("npm")), port, "add", 3, 4)["value"] == 7
        silent.settimeout(10)
        taken, _ = silent.accept()  # the spans are on their way
        one.stop()  # fails unless it ends by itself, long before five minutes
        taken.close()
