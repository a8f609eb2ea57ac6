"""Which listener a redirected connection is for: the order of Envoy's filter chains, and what becomes of the rest."""

from __future__ import annotations

from typing import Any

from metaproxy.proxy.chains import Chain, ChainTable, networks
from metaproxy.proxy.client_hello import PLAIN, Hello


def chosen(
    chains: list[Chain], destination: str = "10.0.0.1:80", hello: Hello = PLAIN, source: str = "10.9.9.9"
) -> str | None:
    table = ChainTable(chains)
    host, _, port = destination.rpartition(":")
    return table.choose(table.at(host.strip("[]"), port), hello, source)


def tls(name: str = "", *alpn: str) -> Hello:
    return Hello(True, name, alpn)


def net(*texts: str) -> Any:
    return networks(texts)


def test_the_port_goes_before_the_address() -> None:
    chains = [Chain("address", destinations=net("10.0.0.1")), Chain("port", ports=(80,))]
    assert chosen(chains) == "port"
    assert chosen(chains, "10.0.0.1:81") == "address"


def test_the_smallest_network_wins() -> None:
    chains = [
        Chain("all"), Chain("large", destinations=net("10.0.0.0/8")), Chain("small", destinations=net("10.0.0.0/24")),
        Chain("host", destinations=net("10.0.0.1")), Chain("port", ports=(80,), destinations=net("10.0.0.2")),
    ]  # fmt: skip
    assert chosen(chains, "10.0.0.1:81") == "host"
    assert chosen(chains, "10.0.0.7:81") == "small"
    assert chosen(chains, "10.7.0.7:81") == "large"
    assert chosen(chains, "11.0.0.1:81") == "all"
    assert chosen(chains, "10.0.0.2:80") == "port"
    assert chosen(chains, "[::ffff:10.0.0.1]:81") == "host"


def test_there_is_no_way_back_but_to_the_chain_that_takes_everything() -> None:
    chains = [Chain("port", ports=(80,), destinations=net("10.0.0.2")), Chain("address", destinations=net("10.0.0.1"))]
    assert chosen(chains) is None
    assert chosen([*chains, Chain("all")]) == "all"


def test_names_go_from_the_whole_to_the_wildcard_of_fewest_parts() -> None:
    chains = [
        Chain("any", encrypted=True), Chain("org", names=("*.org",)), Chain("example", names=("*.example.org",)),
        Chain("exact", names=("a.example.org",)),
    ]  # fmt: skip
    assert chosen(chains, hello=tls("a.example.org")) == "exact"
    assert chosen(chains, hello=tls("b.example.org")) == "example"
    assert chosen(chains, hello=tls("b.c.org")) == "org"
    assert chosen(chains, hello=tls("b.c.com")) == "any"
    assert chosen(chains, hello=tls()) == "any"
    assert chosen(chains) is None


def test_istios_inbound_chains_tell_its_own_tls_from_others_and_from_none() -> None:
    chains = [
        Chain("mtls", ports=(20880,), encrypted=True, alpn=("istio", "istio-peer-exchange")),
        Chain("tls", ports=(20880,), encrypted=True),
        Chain("plain", ports=(20880,), encrypted=False),
        Chain("rest"),
    ]
    at = "10.0.0.1:20880"
    assert chosen(chains, at, tls("outbound_.20880_._.a", "istio")) == "mtls"
    assert chosen(chains, at, tls("a", "h2")) == "tls"
    assert chosen(chains, at) == "plain"
    assert chosen(chains, "10.0.0.1:81", tls("a", "istio")) == "rest"


def test_the_first_of_the_clients_offers_that_a_chain_has_decides() -> None:
    chains = [Chain("one", alpn=("a",)), Chain("two", alpn=("b",)), Chain("none")]
    assert chosen(chains, hello=tls("", "b", "a")) == "two"
    assert chosen(chains, hello=tls("", "c")) == "none"


def test_many_offers_cost_no_look_at_every_chain_each() -> None:
    looked: list[object] = []

    class Counted(tuple[str, ...]):
        def __contains__(self, item: object) -> bool:
            looked.append(item)
            return super().__contains__(item)

    chains = [Chain(str(number), alpn=Counted(("a",))) for number in range(10)]
    assert chosen(chains, hello=tls("", *(f"x{number}" for number in range(1000)), "a")) == "0"
    assert len(looked) <= len(chains)


def test_the_source_comes_last() -> None:
    chains = [Chain("near", sources=net("10.9.0.0/16")), Chain("any"), Chain("tls", encrypted=True)]
    assert chosen(chains) == "near"
    assert chosen(chains, source="10.8.0.1") == "any"
    assert chosen(chains, hello=tls()) == "tls"


def test_of_two_that_fit_equally_well_the_first_is_taken() -> None:
    assert chosen([Chain("one", ports=(80,)), Chain("two", ports=(80,))]) == "one"
