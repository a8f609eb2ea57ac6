"""
Endpoints from the domain name system: the addresses of a name, or what SRV records list.

Lives here: `Dns`: what is asked, when again, and what is made of the answers. Does not: the protocol (twisted.names).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Annotated, Literal, NamedTuple, Protocol

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.names import client, dns, error, hosts, resolve
from twisted.python.failure import Failure
from zope.interface import implementer

from metaproxy.interfaces import IDiscovery
from metaproxy.units import Option, Seconds

Update = Callable[[Sequence[Mapping[str, object]]], None]
Found = tuple[list[dict[str, object]], float]
"""Endpoints, and how many seconds they hold."""
Addresses = tuple[list[str], float]
"""The addresses of a host, and how many seconds they hold."""
Answer = tuple[Sequence[dns.RRHeader], Sequence[dns.RRHeader], Sequence[dns.RRHeader]]
"""Of a name server: the answer itself, authority, additional records."""

RESOLV, HOSTS = "/etc/resolv.conf", "/etc/hosts"
PATIENCE = (1, 2, 4)
"""Seconds after which a query is sent again; after the last it has failed."""
_REFRESH, _MAX_REFRESH = Seconds(5.0), Seconds(60.0)
_SRV = re.compile(r"_[\w-]+\._(tcp|udp)\.[\w.-]+")
_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_][\w-]{0,62}(\.[A-Za-z0-9_][\w-]{0,62})*\.?", re.ASCII)
_HOST = re.compile(r"([\w.-]+):(\d{1,5})")


class Resolver(Protocol):
    """What is asked of twisted.names; its own interface has other types for the answers than they have."""

    def lookupAddress(self, name: str, timeout: Sequence[int]) -> Deferred[Answer]: ...
    def lookupIPV6Address(self, name: str, timeout: Sequence[int]) -> Deferred[Answer]: ...
    def lookupService(self, name: str, timeout: Sequence[int]) -> Deferred[Answer]: ...


@implementer(IDiscovery)
class Dns:
    """
    Endpoints from the addresses of a host, or from SRV records.

    A host of /etc/hosts is found there, unless `servers` is given. When asking fails, or there is no such name or no
    record, the last answer stays.
    """

    is_service = False
    """Whether the target is a name with SRV records, however it is written."""

    def __init__(
        self,
        target: Annotated[
            str,
            Option("`host:port` for the addresses (A and AAAA) of a host, or `_service._tcp.name` for SRV records."),
        ],
        clock: IReactorTime,
        refresh: Annotated[
            Seconds,
            Option("Time before it asks again, where the records' time to live is less.", above="0s"),
        ] = _REFRESH,
        max_refresh: Annotated[Seconds, Option("The same, where it is more.")] = _MAX_REFRESH,
        family: Annotated[Literal["v4", "v6", "all"], Option("Which addresses.")] = "all",
        servers: Annotated[
            list[str] | None,
            Option(
                "Name servers, each `ip` or `ip:port`. Without them a host of `/etc/hosts` is found there.",
                default="those of `/etc/resolv.conf`",
            ),
        ] = None,
    ) -> None:
        host = _HOST.fullmatch(target)
        if not self.is_service and not _SRV.fullmatch(target) and (host is None or not 0 < int(host[2]) < 65536):
            raise ValueError(f"{target!r} is neither host:port nor _service._tcp.name")
        if family not in ("v4", "v6", "all"):
            raise ValueError(f"family: {family!r} is none of v4, v6, all")
        if not refresh:
            raise ValueError("refresh: 0 would ask without a pause; write 5s")
        if max_refresh < refresh:
            raise ValueError(f"max_refresh: {max_refresh:g} s is less than refresh, {refresh:g} s")
        self.servers = [_server(each) for each in servers or ()]
        self._name, self._port = (host[1], int(host[2])) if host is not None and not self.is_service else (target, 0)
        self._clock = clock
        self._bounds = refresh, max_refresh
        self._families = [kind for name, kind in (("v4", dns.A), ("v6", dns.AAAA)) if family in (name, "all")]
        self._addresses: dict[tuple[str, int], list[str]] = {}
        self.problem = ""
        self._last: object = None
        self._failures = 0
        self._timer: IDelayedCall | None = None
        self._update: Update | None = None
        self._failed: Callable[[str], None] | None = None

    # -- life

    def start(self, update: Update, failed: Callable[[str], None]) -> None:
        self._update, self._failed = update, failed
        self._ask()

    def stop(self) -> None:
        self._update = self._failed = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask(self) -> None:
        self._timer = None
        try:
            resolver = self.resolver()
        except (OSError, ValueError) as problem:
            self._wrong(Failure(problem))
            return
        asked = self._hosts(resolver) if self._port else self._services(resolver)
        asked.addCallbacks(self._right, self._wrong)

    def resolver(self) -> Resolver:
        """Return a resolver for one question: it reads again what may have changed, and has no timer of its own."""
        if self.servers:
            return client.Resolver(servers=self.servers, timeout=PATIENCE, reactor=self._clock)
        servers = name_servers(RESOLV)
        remote = client.Resolver(servers=servers, timeout=PATIENCE, reactor=self._clock)
        return resolve.ResolverChain([hosts.Resolver(HOSTS, ttl=0), remote])

    def _right(self, found: Found) -> None:
        if self._update is None:
            return
        endpoints, ttl = found
        self._failures = 0
        self.problem = ""
        least, most = self._bounds
        self._timer = self._clock.callLater(min(max(ttl, least), most), self._ask)
        if endpoints != self._last:
            self._last = endpoints
            self._update(endpoints)

    def _wrong(self, failure: Failure) -> None:
        if self._failed is None:
            return
        least, most = self._bounds
        self._timer = self._clock.callLater(min(least * 2 ** min(self._failures, 10), most), self._ask)
        self._failures += 1
        self.problem = f"dns: {self._name}: {_in_words(failure)[:200]}"
        self._failed(self.problem)

    # -- addresses of a host

    def _hosts(self, resolver: Resolver) -> Deferred[Found]:
        asked = self._resolved(resolver, self._name)
        return asked.addCallback(lambda found: ([{"address": _join(ip, self._port)} for ip in found[0]], found[1]))

    def _resolved(self, resolver: Resolver, name: str) -> Deferred[Addresses]:
        """The addresses of a host, sorted, and their time to live. Fails when there is none."""
        try:
            return succeed(([str(ip_address(name))], self._bounds[1]))
        except ValueError:
            pass
        queries: list[Deferred[Addresses | str]] = [self._addresses_of(resolver, name, kind) for kind in self._families]
        return gatherResults(queries).addCallback(partial(self._joined, name))

    def _addresses_of(self, resolver: Resolver, name: str, kind: int) -> Deferred[Addresses | str]:
        """Return the addresses of one family, [] when it has none, and their time to live; a text if asking failed."""
        look_up = resolver.lookupAddress if kind == dns.A else resolver.lookupIPV6Address

        def answered(answer: Answer) -> Addresses | str:
            records = [record for record in answer[0] if record.type == kind]
            ttl = min((record.ttl for record in records), default=self._bounds[0])
            found = self._addresses[name, kind] = [_address(record) for record in records]
            return found, float(ttl)

        def failed(failure: Failure) -> Addresses | str:
            last = self._addresses.get((name, kind))
            if failure.check(*_NO_SUCH_NAME) or not last:
                return _in_words(failure)
            return last, self._bounds[0]  # one family does not answer, the other may

        asked: Deferred[Addresses | str] = look_up(name, PATIENCE).addCallback(answered)
        return asked.addErrback(failed)

    def _joined(self, name: str, answers: list[Addresses | str]) -> Addresses:
        known = [one for one in answers if not isinstance(one, str)]
        found = sorted({ip for ips, _ in known for ip in ips}, key=lambda ip: (ip_address(ip).version, ip_address(ip)))
        if not found:
            raise LookupError(next((one for one in answers if isinstance(one, str)), f"{name} has no address"))
        return found, min(ttl for ips, ttl in known if ips)

    # -- SRV

    def _services(self, resolver: Resolver) -> Deferred[Found]:
        asked = resolver.lookupService(self._name, PATIENCE)
        return asked.addCallback(lambda answer: self._served(resolver, answer[0]))

    def _served(self, resolver: Resolver, records: Sequence[dns.RRHeader]) -> Deferred[Found]:
        found = [_service(one) for one in records if one.type == dns.SRV]
        found = [one for one in found if one.target not in ("", ".")]
        if not found:
            raise LookupError("no SRV record")
        asked = [self._target(resolver, one) for one in sorted({one.target for one in found})]
        return gatherResults(asked).addCallback(lambda answers: _places(found, dict(answers)))

    def _target(self, resolver: Resolver, name: str) -> Deferred[tuple[str, Addresses]]:
        """A target's name with its addresses; one that has none must not hide the others."""
        asked = self._resolved(resolver, name)
        return asked.addErrback(lambda failure: ([], self._bounds[1])).addCallback(lambda answer: (name, answer))


@implementer(IDiscovery)
class DnsSrv(Dns):
    """
    Endpoints from the SRV records of a name.

    As `dns`, but for any name: registries answer for names without underscores, too.
    """

    is_service = True

    def __init__(
        self,
        target: Annotated[str, Option("A name with SRV records, such as `demo.service.consul`.", least=1)],
        clock: IReactorTime,
        refresh: Annotated[
            Seconds,
            Option("Time before it asks again, where the records' time to live is less.", above="0s"),
        ] = _REFRESH,
        max_refresh: Annotated[Seconds, Option("The same, where it is more.")] = _MAX_REFRESH,
        family: Annotated[Literal["v4", "v6", "all"], Option("Which addresses.")] = "all",
        servers: Annotated[
            list[str] | None,
            Option("Name servers, each `ip` or `ip:port`.", default="those of `/etc/resolv.conf`"),
        ] = None,
    ) -> None:
        if not _NAME.fullmatch(target):
            raise ValueError(f"{target!r} is not a name with SRV records; write demo.service.consul")
        super().__init__(target, clock, refresh, max_refresh, family, servers)


class _Service(NamedTuple):
    """An SRV record. ttl: seconds that it holds."""

    priority: int
    target: str
    port: int
    weight: int
    ttl: float


def _service(record: dns.RRHeader) -> _Service:
    service = record.payload
    assert isinstance(service, dns.Record_SRV)
    return _Service(service.priority, str(service.target), service.port, service.weight, float(record.ttl))


def _address(record: dns.RRHeader) -> str:
    assert isinstance(record.payload, (dns.Record_A, dns.Record_AAAA))
    return str(ip_address(record.payload.address))


def _places(services: Sequence[_Service], ips: Mapping[str, Addresses]) -> Found:
    """Return the endpoints of SRV records. Raises LookupError when no target has an address."""
    ranks = {rank: index for index, rank in enumerate(sorted({one.priority for one in services}))}
    endpoints: dict[str, dict[str, object]] = {}
    for service in sorted(services, key=lambda one: one[:3]):
        for ip in ips[service.target][0]:
            place, priority = _join(ip, service.port), min(127, ranks[service.priority])
            endpoints.setdefault(place, {"address": place, "weight": max(1, service.weight), "priority": priority})
    if not endpoints:
        raise LookupError("no target of the SRV records has an address")
    return list(endpoints.values()), min(*(one.ttl for one in services), *(ttl for _, ttl in ips.values()))


_NO_SUCH_NAME = (error.DNSNameError, error.AuthoritativeDomainError)


def _in_words(failure: Failure) -> str:
    """What twisted.names says is a whole message, as it is in memory."""
    if failure.check(*_NO_SUCH_NAME):
        return "no such name"
    if failure.check(error.DNSQueryTimeoutError, TimeoutError, error.ResolverError):
        return "no answer in time"
    if failure.check(error.DNSServerError):
        return "the server failed"
    if failure.check(error.DomainError):
        return "refused"
    return failure.getErrorMessage() or type(failure.value).__name__


def _join(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _server(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    try:
        ip_address(host if colon else text)
        number = int(port) if colon else 53
    except ValueError:
        raise ValueError(f"servers: {text!r} is not ip or ip:port") from None
    return (host if colon else text), number


def name_servers(path: str) -> list[tuple[str, int]]:
    """Those of a resolv.conf. Raises OSError, or ValueError when there is none."""
    with open(path, encoding="utf-8", errors="replace") as file:
        found = re.findall(r"^\s*nameserver\s+(\S+)", file.read(65536), re.MULTILINE)
    if not found:
        raise ValueError(f"{path} has no nameserver")
    return [(str(each), 53) for each in found]
