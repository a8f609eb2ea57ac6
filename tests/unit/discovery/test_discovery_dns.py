"""Against a name server of twisted.names on loopback; time is a test's own where it matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import defer, reactor, task
from twisted.names import client, common, dns, error, server
from zope.interface.verify import verifyObject

from metaproxy.discovery import dns as module
from metaproxy.discovery.dns import Dns, DnsSrv, Resolver
from metaproxy.interfaces import IDiscovery


class Zone(common.ResolverBase):
    """Names with records; `broken` ones are answered with a server failure. asked: how often."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[tuple[str, int], list[Any]] = {}
        self.broken = False
        self.asked = 0

    def put(self, name: str, *payloads: Any, ttl: int = 30) -> None:
        for payload in payloads:
            self.records.setdefault((name, payload.TYPE), []).append(
                dns.RRHeader(name, payload.TYPE, dns.IN, ttl, payload, auth=True)
            )

    def _lookup(self, name: bytes, cls: int, type: int, timeout: Any) -> Any:
        self.asked += 1
        text = dns.domainString(name).decode().lower()
        if self.broken:
            return defer.fail(error.DNSQueryTimeoutError(1))
        if not any(known == text for known, _ in self.records):
            return defer.fail(error.AuthoritativeDomainError(text))
        return defer.succeed((self.records.get((text, type), []), [], []))


class Heard:
    def __init__(self) -> None:
        self.updates: list[Sequence[Mapping[str, Any]]] = []
        self.failures: list[str] = []

    @property
    def addresses(self) -> list[str]:
        return [one["address"] for one in self.updates[-1]]


@pytest.fixture
def zone() -> Iterator[None]:
    made: Any = Zone()
    made.port = reactor.listenUDP(  # type: ignore[attr-defined]
        0, dns.DNSDatagramProtocol(server.DNSServerFactory(clients=[made], verbose=0)), interface="127.0.0.1"
    )
    yield made
    pytest_twisted.blockon(made.port.stopListening())


class NetworkDns(Dns):
    """Its time is a test's; its questions wait for answers by the real reactor's."""

    def resolver(self) -> Resolver:
        return client.Resolver(servers=self.servers, timeout=(1, 2), reactor=reactor)


class NetworkDnsSrv(DnsSrv):
    """As NetworkDns."""

    resolver = NetworkDns.resolver


class Asking:
    """A Dns on a clock of its own, whose questions go over the network."""

    def __init__(self, zone: Any, target: str, kind: type[Dns] = NetworkDns, **options: Any) -> None:
        self.clock = task.Clock()
        self.heard = Heard()
        port = zone.port.getHost().port
        self.dns = kind(target, self.clock, servers=[f"127.0.0.1:{port}"], **options)
        self.dns.start(self.heard.updates.append, self.heard.failures.append)

    async def settled(self, number: int = 1) -> Heard:
        """Once so many answers or failures are there."""
        for _ in range(1000):
            if len(self.heard.updates) + len(self.heard.failures) >= number and self.clock.getDelayedCalls():
                return self.heard
            await task.deferLater(reactor, 0.005)
        raise AssertionError("nothing came")

    async def next(self, seconds: float) -> None:
        """Time passes and a question, if one is due, is answered."""
        self.clock.advance(seconds)
        for _ in range(1000):
            if self.clock.getDelayedCalls():
                return
            await task.deferLater(reactor, 0.005)


@pytest_twisted.ensureDeferred
async def test_a_hosts_addresses_of_both_families_sorted(zone: Any) -> None:
    zone.put("demo.svc", dns.Record_A("127.0.0.2"), dns.Record_A("127.0.0.1"), dns.Record_AAAA("::1"))
    asking = Asking(zone, "demo.svc:20880")
    assert (await asking.settled()).addresses == ["127.0.0.1:20880", "127.0.0.2:20880", "[::1]:20880"]
    asking.dns.stop()


@pytest.mark.parametrize(("family", "addresses"), [("v4", ["127.0.0.1:1"]), ("v6", ["[::1]:1"])])
@pytest_twisted.ensureDeferred
async def test_one_family_alone(zone: Any, family: str, addresses: list[str]) -> None:
    zone.put("demo.svc", dns.Record_A("127.0.0.1"), dns.Record_AAAA("::1"))
    asking = Asking(zone, "demo.svc:1", family=family)
    heard = await asking.settled()
    assert heard.addresses == addresses and zone.asked == 1
    asking.dns.stop()


@pytest_twisted.ensureDeferred
async def test_srv_records_are_endpoints_with_weights_and_priorities(zone: Any) -> None:
    zone.put("a.svc", dns.Record_A("127.0.0.1"))
    zone.put("b.svc", dns.Record_A("127.0.0.2"))
    zone.put(
        "_dubbo._tcp.svc",
        dns.Record_SRV(20, 0, 20881, "b.svc"),
        dns.Record_SRV(10, 3, 20880, "a.svc"),
        dns.Record_SRV(10, 1, 20880, "gone.svc"),
    )
    asking = Asking(zone, "_dubbo._tcp.svc")
    await asking.settled()
    assert asking.heard.updates == [
        [
            {"address": "127.0.0.1:20880", "weight": 3, "priority": 0},
            {"address": "127.0.0.2:20881", "weight": 1, "priority": 1},
        ]
    ]
    asking.dns.stop()


@pytest_twisted.ensureDeferred
async def test_srv_records_are_found_under_any_name_where_they_are_asked_for(zone: Any) -> None:
    zone.put("demo.service.consul", dns.Record_SRV(1, 5, 20880, "a.svc"))
    zone.put("a.svc", dns.Record_A("127.0.0.1"))
    asking = Asking(zone, "demo.service.consul", NetworkDnsSrv)
    await asking.settled()
    assert asking.heard.updates == [[{"address": "127.0.0.1:20880", "weight": 5, "priority": 0}]]
    asking.dns.stop()


@pytest.mark.parametrize("target", ["demo.svc:20880", "a b", ".svc", "a..b", "x" * 300])
def test_a_name_with_srv_records_has_no_port(target: str) -> None:
    with pytest.raises(ValueError, match="is not a name with SRV records"):
        DnsSrv(target, task.Clock())


@pytest_twisted.ensureDeferred
async def test_it_is_asked_again_when_the_records_time_is_over_within_the_bounds(zone: Any) -> None:
    zone.put("demo.svc", dns.Record_A("127.0.0.1"), ttl=30)
    asking = Asking(zone, "demo.svc:1", family="v4", refresh=5.0, max_refresh=60.0)
    await asking.settled()
    (call,) = asking.clock.getDelayedCalls()
    assert call.getTime() == 30
    zone.records.clear()
    zone.put("demo.svc", dns.Record_A("127.0.0.3"), ttl=1)
    await asking.next(30)
    assert asking.heard.addresses == ["127.0.0.3:1"]
    (call,) = asking.clock.getDelayedCalls()
    assert call.getTime() == 35
    zone.records.clear()
    zone.put("demo.svc", dns.Record_A("127.0.0.3"), ttl=3600)
    await asking.next(5)
    (call,) = asking.clock.getDelayedCalls()
    assert call.getTime() == 95
    assert len(asking.heard.updates) == 2, "the same answer is no update"
    asking.dns.stop()


@pytest_twisted.ensureDeferred
async def test_failures_keep_the_last_answer_and_are_asked_again_later_and_later(zone: Any) -> None:
    zone.put("demo.svc", dns.Record_A("127.0.0.1"), ttl=1)
    asking = Asking(zone, "demo.svc:1", refresh=5.0, max_refresh=12.0)
    await asking.settled()
    zone.records.clear()
    await asking.next(5)
    assert asking.heard.failures == ["dns: demo.svc: no such name"] == [asking.dns.problem]
    assert len(asking.heard.updates) == 1
    waits = []
    for _ in range(3):
        (call,) = asking.clock.getDelayedCalls()
        waits.append(call.getTime() - asking.clock.seconds())
        await asking.next(waits[-1])
    assert waits == [5, 10, 12]
    zone.put("demo.svc", dns.Record_A("127.0.0.9"), ttl=1)
    await asking.next(12)
    assert asking.heard.addresses == ["127.0.0.9:1"]
    assert asking.dns.problem == ""
    asking.dns.stop()


@pytest_twisted.ensureDeferred
async def test_a_server_that_fails_and_an_answer_without_a_record_change_nothing(zone: Any) -> None:
    zone.put("demo.svc", dns.Record_A("127.0.0.1"), ttl=1)
    asking = Asking(zone, "demo.svc:1", family="v4")
    await asking.settled()
    zone.broken = True
    await asking.next(5)
    assert asking.heard.failures == []  # what was known of the name is still used
    assert len(asking.heard.updates) == 1
    zone.broken = False
    zone.records = {("demo.svc", dns.MX): []}
    await asking.next(5)
    assert asking.heard.failures == ["dns: demo.svc: demo.svc has no address"]
    asking.dns.stop()


@pytest_twisted.ensureDeferred
async def test_nothing_is_told_after_a_stop(zone: Any) -> None:
    zone.put("demo.svc", dns.Record_A("127.0.0.1"))
    asking = Asking(zone, "demo.svc:1")
    asking.dns.stop()
    for _ in range(20):
        await task.deferLater(reactor, 0.005)
    assert (asking.heard.updates, asking.heard.failures) == ([], [])
    assert asking.clock.getDelayedCalls() == []


def test_it_keeps_the_interface_and_may_be_stopped_before_it_is_started() -> None:
    one = Dns("demo.svc:1", task.Clock())
    assert verifyObject(IDiscovery, one)
    one.stop()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target": "demo"}, "neither host:port nor _service._tcp.name"),
        ({"target": "demo:70000"}, "neither host:port"),
        ({"target": "_demo._sctp.svc"}, "neither"),
        ({"target": "a:1", "family": "v5"}, "none of v4, v6, all"),
        ({"target": "a:1", "refresh": 0.0}, "without a pause"),
        ({"target": "a:1", "refresh": 9.0, "max_refresh": 8.0}, "less than refresh"),
        ({"target": "a:1", "servers": ["ns.example"]}, "is not ip or ip:port"),
    ],
)
def test_what_is_wrong_is_told(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Dns(clock=task.Clock(), **options)


def test_the_name_servers_are_those_of_resolv_conf_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("search svc\nnameserver 127.0.0.53\n  nameserver 10.0.0.1\n#nameserver 1.1.1.1\n")
    assert module.name_servers(str(file)) == [("127.0.0.53", 53), ("10.0.0.1", 53)]
    assert Dns("a:1", task.Clock(), servers=["127.0.0.1", "127.0.0.1:5353"]).servers == [
        ("127.0.0.1", 53), ("127.0.0.1", 5353),
    ]  # fmt: skip
    file.write_text("")
    monkeypatch.setattr(module, "RESOLV", str(file))
    heard = Heard()
    one = Dns("a:1", task.Clock())
    one.start(heard.updates.append, heard.failures.append)
    assert heard.failures and "has no nameserver" in heard.failures[0]
    one.stop()


@pytest_twisted.ensureDeferred
async def test_a_host_of_the_hosts_file_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (tmp_path / "hosts").write_text("127.0.0.7 demo.svc\n")
    monkeypatch.setattr(module, "RESOLV", str(tmp_path / "resolv.conf"))
    monkeypatch.setattr(module, "HOSTS", str(tmp_path / "hosts"))
    heard = Heard()
    one = Dns("demo.svc:1", reactor, family="v4")
    one.start(heard.updates.append, heard.failures.append)
    for _ in range(100):
        if heard.updates:
            break
        await task.deferLater(reactor, 0.01)
    assert heard.addresses == ["127.0.0.7:1"]
    one.stop()
