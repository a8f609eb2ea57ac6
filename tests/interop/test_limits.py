"""
Limits as real Dubbo, Thrift and Redis clients meet them, and envoyproxy/ratelimit as the one who counts.

Lives here: refusals in each client's own words, limits that two proxies share, what happens when there is no service.
Does not: when a bucket has a token, what the gradient finds (tests/unit/filters).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import Program, answers, eventually, free_port

peer = pytest.mark.peer
pytestmark = peer("java", "py", "redis-py", "redis-server")
PROTOCOLS = ("dubbo", "thrift", "redis")
COUNTED: dict[str, dict[str, Any]] = {
    "dubbo": {"method": "add"},
    "thrift": {"method": "add"},
    "redis": {"command": "INCR"},
}
"""What limits count, by protocol; everything else passes."""
ADD = {"method": "add", "args": [3, 4]}
FRAMED = {"transport": "framed", "protocol": "binary", "mux": False}

SERVICE_LIMITS = """\
domain: shop
descriptors:
  - {key: protocol, value: dubbo, rate_limit: {unit: day, requests_per_unit: 3}}
  - {key: protocol, value: thrift, rate_limit: {unit: day, requests_per_unit: 3}}
  - {key: protocol, value: redis, rate_limit: {unit: day, requests_per_unit: 3}}
"""


class Servers(NamedTuple):
    """Ports: of a server of each protocol, and of a Redis for counters."""

    ports: dict[str, int]
    counters: int


class RateLimitService(NamedTuple):
    port: int
    program: Program


@pytest.fixture(scope="module")
def servers(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Servers:
    ports, counters = {name: free_port() for name in PROTOCOLS}, free_port()
    start(catalogue.dubbo_server("java", "alpha", ports["dubbo"]))
    start(catalogue.thrift_server("py", "alpha", f"{ports['thrift']}:framed:binary"), lambda: answers(ports["thrift"]))
    for port in (ports["redis"], counters):
        start(catalogue.redis_server(port, tmp_path_factory.mktemp("redis")), lambda port=port: answers(port))
    return Servers(ports, counters)


@pytest.fixture
def service(start_here: Start, servers: Servers, tmp_path: Path) -> RateLimitService:
    """envoyproxy/ratelimit; its counters begin at zero for each test."""
    redis, port = free_port(), free_port()
    start_here(catalogue.redis_server(redis, tmp_path), lambda: answers(redis))
    (tmp_path / "ratelimit" / "config").mkdir(parents=True)
    (tmp_path / "ratelimit" / "config" / "shop.yaml").write_text(SERVICE_LIMITS)
    command = catalogue.rate_limit_service(port, free_port(), free_port(), redis, tmp_path)
    return RateLimitService(port, start_here(command, lambda: answers(port)))


def limited(servers: Servers, filters: Callable[[str], list[Any]]) -> tuple[dict[str, int], dict[str, Any]]:
    """A listener of each protocol with the filters that `filters` gives for it: their ports, and the configuration."""
    ports = {name: free_port() for name in PROTOCOLS}
    listeners = [
        listener(f"{name}-in", port, name, [{"cluster": name}], filters=filters(name)) for name, port in ports.items()
    ]
    return ports, {"listeners": listeners, "clusters": [cluster(name, port) for name, port in servers.ports.items()]}


def events(proxy: Proxy, protocol: str, filter: str) -> dict[str, int]:
    """The events of a filter of one listener."""
    labels = (f'listener="{protocol}-in"', f'filter="{filter}"')
    found = {}
    for name, value in proxy.stats().items():
        if name.startswith("metaproxy_filter_events_total") and all(label in name for label in labels):
            found[name.partition('event="')[2].partition('"')[0]] = int(value)
    return found


def asked(protocol: str, port: int, clients: Clients, times: int = 1, name: str = "") -> list[Any]:
    """What `times` counted calls on one connection came to: a value, or an exception's class and text."""
    if protocol == "redis":
        return _incremented(port, times)
    if protocol == "dubbo":
        results = clients(catalogue.dubbo_client(name or "java")).run(port=port, calls=[ADD] * times)
    else:
        results = clients(catalogue.thrift_client(name or "py")).run(port=port, calls=[ADD] * times, **FRAMED)
    return [
        one["value"] if "value" in one else f"{one['error']['class']}: {one['error']['message']}" for one in results
    ]


def _incremented(port: int, times: int) -> list[Any]:
    import redis

    found: list[Any] = []
    with redis.Redis(port=port, driver_info=None) as client:
        for _ in range(times):
            try:
                found.append(bool(client.execute_command("INCR", "n")))
            except redis.exceptions.ResponseError as error:
                found.append(f"{type(error).__name__}: {error}")
    return found


def passed(result: Any) -> bool:
    return result in (7, True)


CALLERS = [
    pytest.param("dubbo", "java", "org.apache.dubbo.rpc.RpcException", marks=()),
    pytest.param("dubbo", "npm", "Error", marks=peer("npm", "java")),
    pytest.param("dubbo", "dubbo-py", "RuntimeError", marks=peer("dubbo-py", "java")),
    pytest.param("thrift", "py", "ApplicationException", marks=peer("py")),
    pytest.param("thrift", "js", "ApplicationException", marks=peer("js", "py")),
    pytest.param("redis", "", "ResponseError", marks=peer("redis-py", "redis-server")),
]


@pytest.fixture(scope="module")
def local(servers: Servers, shared_proxy: Callable[..., Proxy]) -> tuple[dict[str, int], dict[str, int], Proxy]:
    """Ports with a limit of two for each connection, and without any."""

    def filters(name: str) -> list[Any]:
        condition = {"match": COUNTED[name], "limit": 2, "per": "1h", "key": "source.port"}
        return [{"local_rate_limit": {"conditions": [condition], "headers": True}}]

    ports, config = limited(servers, filters)
    unlimited, others = limited(servers, lambda name: [])
    listeners = [{**one, "name": f"open-{one['name']}"} for one in others["listeners"]]
    config["listeners"] += listeners
    return ports, unlimited, shared_proxy(config)


@pytest.mark.parametrize("protocol, name, raised", CALLERS)
def test_the_third_call_is_refused_in_the_clients_own_words(
    protocol: str, name: str, raised: str, clients: Clients, local: Any
) -> None:
    ports, unlimited, _ = local
    results = asked(protocol, ports[protocol], clients, 3, name)
    assert [passed(one) for one in results] == [True, True, False], results
    assert raised in results[2].partition(": ")[0]
    assert "local_rate_limit: too many requests; retry in" in results[2]
    assert all(passed(one) for one in asked(protocol, unlimited[protocol], clients, 5, name))
    again = asked(protocol, ports[protocol], clients, 1, name)
    assert passed(again[0]), "another connection has a bucket of its own"


def test_what_no_condition_counts_passes_and_answers_tell_what_is_left(clients: Clients, local: Any) -> None:
    ports, _, proxy = local
    before = events(proxy, "dubbo", "local_rate_limit")
    calls = [ADD, *[{"method": "whoami"}] * 5]
    results = clients(catalogue.dubbo_client("java")).run(port=ports["dubbo"], calls=calls)
    assert [one.get("value") for one in results] == [7, *["alpha"] * 5]
    assert results[0]["attachments"]["x-ratelimit-limit"] == "2, 2;w=3600"
    assert results[0]["attachments"]["x-ratelimit-remaining"] == "1"
    assert "x-ratelimit-limit" not in results[1]["attachments"]
    after = events(proxy, "dubbo", "local_rate_limit")
    assert after == {**before, "ok": before["ok"] + 1}


@peer("npm", "java")
@pytest.mark.parametrize(
    "options, at_a_time", [({"limit": 4}, 4), ({"adaptive": {"min_rtt": {"min_concurrency": 3}}}, 3), (None, 20)]
)
def test_so_many_calls_at_a_time_and_no_more(
    options: dict[str, Any] | None, at_a_time: int, clients: Clients, servers: Servers, proxy: Callable[..., Proxy]
) -> None:
    ports, config = limited(servers, lambda name: [{"concurrency_limit": options}] if options else [])
    proxy(config)
    calls = [{"method": "slow", "args": [1500]}] * 20
    jobs = clients(catalogue.dubbo_client("npm"))
    results = jobs.run(port=ports["dubbo"], calls=calls, together=True)
    assert [one.get("value") for one in results].count(1500) == at_a_time, results
    refused = [one["error"]["message"] for one in results if "error" in one]
    assert all("concurrency_limit: too many requests under way" in one for one in refused)
    assert jobs.run(port=ports["dubbo"], calls=[ADD])[0]["value"] == 7, "there is room again"


@peer("redis-py", "redis-server")
def test_a_blocking_command_takes_its_place_until_it_is_answered(servers: Servers, proxy: Callable[..., Proxy]) -> None:
    import redis

    ports, config = limited(servers, lambda name: [{"concurrency_limit": {"limit": 1}}])
    proxy(config)
    options: dict[str, Any] = {"driver_info": None, "decode_responses": True}
    with (
        redis.Redis(port=ports["redis"], **options) as client,
        redis.Redis(port=servers.ports["redis"], **options) as direct,
    ):
        waiting = redis.Connection(port=ports["redis"], decode_responses=True, driver_info=None)
        waiting.connect()
        waiting.send_command("BLPOP", "queue", 10)
        assert eventually(lambda: direct.info("clients")["blocked_clients"])
        with pytest.raises(redis.exceptions.ResponseError, match="too many requests under way"):
            client.get("a")
        direct.rpush("queue", "x")
        assert waiting.read_response() == ["queue", "x"]
        assert client.get("a") is None
        waiting.disconnect()


def globally(where: dict[str, Any] | None, name: str, **options: Any) -> list[Any]:
    """A global limit of three for the counted calls of a protocol; a rate limit service knows it, others get it."""
    descriptor: Any = [{"key": "protocol", "value": name}]
    if where is None or "redis" in where:
        descriptor = {"entries": descriptor, "limit": {"requests_per_unit": 3, "unit": "day"}}
    service = {} if where is None else {"service": where}
    common = {"domain": "shop", "timeout": "2s", "descriptors": [descriptor], "match": COUNTED[name]}
    return [{"global_rate_limit": {**common, **service, **options}}]


def shared_by_two(
    where: dict[str, Any], servers: Servers, clients: Clients, proxy: Callable[..., Proxy]
) -> list[tuple[Proxy, dict[str, int]]]:
    """Two proxies, between which the counted calls of each protocol alternate: the fourth is refused by either."""
    made = []
    for _ in range(2):
        ports, config = limited(servers, lambda name: globally(where, name))
        made.append((proxy(config), ports))
    for protocol in PROTOCOLS:
        results = [asked(protocol, made[number % 2][1][protocol], clients)[0] for number in range(6)]
        assert [passed(one) for one in results] == [True, True, True, False, False, False], results
        assert all("global_rate_limit: too many requests" in one for one in results[3:]), results
        for between, _ in made:
            counted = events(between, protocol, "global_rate_limit")
            assert counted["ok"] + counted["over_limit"] == 3
            assert counted["error"] == 0
    return made


@peer("ratelimit")
def test_two_proxies_share_the_limits_of_a_rate_limit_service(
    servers: Servers, service: RateLimitService, clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    made = shared_by_two({"grpc": f"127.0.0.1:{service.port}"}, servers, clients, proxy)
    ports = made[0][1]
    calls = [{"method": "whoami"}] * 3
    others = clients(catalogue.dubbo_client("java")).run(port=ports["dubbo"], calls=calls)
    assert [one["value"] for one in others] == ["alpha"] * 3, "what is not counted passes"


def test_two_proxies_share_limits_on_a_redis(servers: Servers, clients: Clients, proxy: Callable[..., Proxy]) -> None:
    import redis

    shared_by_two({"redis": f"127.0.0.1:{servers.counters}", "prefix": "limits:"}, servers, clients, proxy)
    with redis.Redis(port=servers.counters, decode_responses=True) as client:
        names = list(client.scan_iter())
        found = sorted(name.rpartition("|")[0] for name in names)
        assert found == [f"limits:shop|protocol={name}|day" for name in sorted(PROTOCOLS)]
        for name in names:
            assert (client.get(name), 0 < client.ttl(name) <= 86400) == ("6", True)


def test_without_a_service_each_proxy_counts_for_itself(
    servers: Servers, clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    ports, config = limited(servers, lambda name: globally(None, name))
    proxy(config)
    for protocol in PROTOCOLS:
        results = asked(protocol, ports[protocol], clients, 5)
        assert [passed(one) for one in results] == [True, True, True, False, False], results


@peer("ratelimit")
def test_headers_of_the_service_and_the_quota_come_as_attachments(
    servers: Servers, service: RateLimitService, clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    where = {"grpc": f"127.0.0.1:{service.port}"}
    ports, config = limited(servers, lambda name: globally(where, name, headers=True))
    proxy(config)
    jobs = clients(catalogue.dubbo_client("java"))
    (result,) = jobs.run(port=ports["dubbo"], calls=[ADD])
    told = result["attachments"]
    assert (told["x-ratelimit-limit"], told["x-ratelimit-remaining"]) == ("3, 3;w=86400", "2")
    assert told["RateLimit-Limit"] == "3", "as the service itself tells it"
    results = asked("redis", ports["redis"], clients, 4)
    assert "retry in" in results[3]


@peer("ratelimit")
def test_when_the_service_dies_on_failure_decides(
    servers: Servers, service: RateLimitService, clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    where = {"grpc": f"127.0.0.1:{service.port}"}
    modes = {"dubbo": "allow", "thrift": "deny", "redis": "allow"}
    ports, config = limited(servers, lambda name: globally(where, name, on_failure=modes[name]))
    between = proxy(config)
    assert [passed(one) for one in asked("redis", ports["redis"], clients, 4)] == [True, True, True, False]
    service.program.kill()
    assert [passed(one) for one in asked("redis", ports["redis"], clients, 4)] == [True] * 4
    assert all("the limit can't be asked" in one for one in asked("thrift", ports["thrift"], clients, 2))
    assert events(between, "redis", "global_rate_limit") == {
        "ok": 3, "over_limit": 1, "enforced": 1, "error": 4, "failure_mode_allowed": 4,
    }  # fmt: skip
    assert events(between, "thrift", "global_rate_limit")["error"] == 2
    assert between.log().count("global_rate_limit: UNAVAILABLE") == 2, "once for each filter that can't ask"


@pytest.fixture(params=["redis", pytest.param("grpc", marks=peer("ratelimit"))])
def counting(request: pytest.FixtureRequest, start_here: Start, tmp_path: Path) -> tuple[dict[str, str], Program]:
    """Who counts, as `service:` has it, and the program: for tests that have it hang."""
    if request.param == "grpc":
        service: RateLimitService = request.getfixturevalue("service")
        return {"grpc": f"127.0.0.1:{service.port}"}, service.program
    port = free_port()
    (tmp_path / "counters").mkdir()
    program = start_here(catalogue.redis_server(port, tmp_path / "counters"), lambda: answers(port))
    return {"redis": f"127.0.0.1:{port}"}, program


def test_B7_who_counts_may_hang_and_only_what_is_counted_waits(
    servers: Servers, counting: tuple[dict[str, str], Program], proxy: Callable[..., Proxy]
) -> None:
    import redis

    where, program = counting
    ports, config = limited(servers, lambda name: globally(where, name, timeout="30s"))
    proxy(config)
    options: dict[str, Any] = {"port": ports["redis"], "driver_info": None, "socket_timeout": 10}
    waiting = redis.Connection(**options)
    waiting.connect()
    waiting.send_command("INCR", "n")
    waiting.read_response()
    program.signal(signal.SIGSTOP)
    try:
        waiting.send_command("INCR", "n")
        with redis.Redis(**options) as other:
            assert [other.ping() for _ in range(20)] == [True] * 20
        assert not waiting.can_read(timeout=0)
    finally:
        program.signal(signal.SIGCONT)
    assert isinstance(waiting.read_response(), int)
    waiting.disconnect()


def test_B7_an_answer_that_does_not_come_in_time_is_not_waited_for_and_later_ones_count_again(
    servers: Servers, counting: tuple[dict[str, str], Program], clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    where, program = counting
    ports, config = limited(servers, lambda name: globally(where, name, timeout="100ms"))
    between = proxy(config)
    assert eventually(lambda: passed(asked("redis", ports["redis"], clients)[0]) and counted(between, "ok"))
    program.signal(signal.SIGSTOP)
    try:
        assert [passed(one) for one in asked("redis", ports["redis"], clients, 5)] == [True] * 5
    finally:
        program.signal(signal.SIGCONT)
    assert counted(between, "failure_mode_allowed") >= 5
    assert eventually(lambda: not passed(asked("redis", ports["redis"], clients)[0]), 20)
    assert counted(between, "over_limit") == 1


def counted(between: Proxy, event: str) -> int:
    return events(between, "redis", "global_rate_limit")[event]


def test_a_limit_is_tried_without_refusing_anybody_and_enforced_live(
    servers: Servers, clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    options = {"limit": 1, "per": "1h", "enforced": {"runtime": "limit-enforced"}}
    ports, config = limited(servers, lambda name: [{"local_rate_limit": options}])
    between = proxy({"runtime": {"limit-enforced": 0}, **config})
    assert all(passed(one) for one in asked("redis", ports["redis"], clients, 5))
    assert events(between, "redis", "local_rate_limit") == {"ok": 1, "rate_limited": 4, "enforced": 0}
    between.admin("/runtime/limit-enforced", "PUT", b"100")  # the bucket stays as empty as it was
    assert [passed(one) for one in asked("redis", ports["redis"], clients, 3)] == [False] * 3
    assert events(between, "redis", "local_rate_limit") == {"ok": 1, "rate_limited": 7, "enforced": 3}


def test_configurations_change_under_load_and_no_request_fails_and_no_connection_stays(
    servers: Servers, counting: tuple[dict[str, str], Program], proxy: Callable[..., Proxy]
) -> None:
    import redis

    where, _ = counting
    ports, config = limited(servers, lambda name: [])
    between = proxy(config)
    over, failed, done = threading.Event(), list[Exception](), list[int]()

    def ask() -> None:
        number = 0
        with redis.Redis(port=ports["redis"], driver_info=None, socket_timeout=10) as client:
            while not over.is_set():
                try:
                    client.get("n")
                    number += 1
                except Exception as error:
                    failed.append(error)
                    return
        done.append(number)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    opened = []
    for number in range(15):
        every = globally(where, "redis", match={}, timeout="5s", on_failure="deny", domain=f"d{number}")
        config["listeners"][PROTOCOLS.index("redis")]["filters"] = every
        every[0]["global_rate_limit"]["descriptors"] = [
            {"entries": [{"key": "a", "value": "b"}], "limit": {"requests_per_unit": 10**9, "unit": "day"}}
        ]
        between.write(config)
        assert between.ask("/reload", "POST")[0] == 200
        opened.append(len(os.listdir(f"/proc/{between.pid}/fd")))
    over.set()
    for thread in asking:
        thread.join(20)
    assert failed == []
    assert len(done) == 4 and all(done)
    assert max(opened[5:]) <= max(opened[:5]) + 2, f"file descriptors after each change: {opened}"
    assert events(between, "redis", "global_rate_limit")["error"] == 0


def test_a_flood_over_the_limit_is_refused_without_asking_if_that_is_wanted(
    servers: Servers, counting: tuple[dict[str, str], Program], clients: Clients, proxy: Callable[..., Proxy]
) -> None:
    where, program = counting
    options = {"on_failure": "allow", "timeout": "1s", "remember_over_limit": True}
    ports, config = limited(servers, lambda name: globally(where, name, **options))
    between = proxy(config)
    assert [passed(one) for one in asked("redis", ports["redis"], clients, 5)] == [True] * 3 + [False] * 2
    program.kill()
    assert not any(passed(one) for one in asked("redis", ports["redis"], clients, 20))
    assert counted(between, "error") == 0
    assert all(passed(one) for one in asked("thrift", ports["thrift"], clients, 4)), "nobody is there to be asked"
