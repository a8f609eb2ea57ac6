from __future__ import annotations

from urllib.parse import quote

import pytest

from metaproxy.discovery.instances import Instance
from metaproxy.discovery.zookeeper.dubbo import is_url, read_provider, read_rule, with_rules


def name(url: str) -> str:
    """As Dubbo names a node."""
    return quote(url, safe="")


def provider(query: str = "", place: str = "10.0.0.7:20880", scheme: str = "dubbo") -> Instance:
    found = read_provider(name(f"{scheme}://{place}/org.example.Demo?{query}"))
    assert found is not None
    return found.instance


def test_a_provider_is_its_address_and_what_its_parameters_say() -> None:
    query = "anyhost=true&application=shop&dubbo=2.0.2&group=g&version=2.0.0&weight=200&dubbo.tag=gray&pid=7"
    assert provider(query) == Instance(
        "10.0.0.7:20880",
        200,
        {
            "application": "shop", "group": "g", "version": "2.0.0", "tag": "gray", "protocol": "dubbo",
            "interface": "org.example.Demo",
        },
    )  # fmt: skip


def test_a_provider_without_a_weight_has_that_of_dubbo() -> None:
    assert provider().weight == 100
    assert provider("weight=").weight == 100
    assert provider("weight=0").weight == 0


def test_a_provider_of_another_protocol_says_so() -> None:
    assert provider(scheme="tri").metadata["protocol"] == "tri"


def test_an_address_may_be_of_version_6_or_a_name() -> None:
    assert provider(place="[fe80::1]:20880").address == "[fe80::1]:20880"
    assert provider(place="user:secret@host-1.example:20880").address == "host-1.example:20880"


def test_a_provider_that_is_disabled_is_not_healthy() -> None:
    assert not provider("disabled=true").healthy
    assert not provider("enabled=false").healthy


def test_an_entry_that_stands_for_no_provider_is_none() -> None:
    assert read_provider(name("empty://0.0.0.0/org.example.Demo?category=providers")) is None


def test_names_that_are_urls_are_known_by_their_beginning() -> None:
    assert is_url(name("dubbo://h:1/x"))
    assert is_url("tri%3a%2f%2fh")
    assert not is_url("10.0.0.7:80")
    assert not is_url("member_0001")


@pytest.mark.parametrize(
    "url", ["dubbo://10.0.0.7/x", "dubbo://10.0.0.7:0/x", "dubbo://:1", "dubbo:10", "dubbo://h:99999/x"]
)
def test_what_is_no_provider_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_provider(name(url))


def test_a_long_name_is_refused() -> None:
    with pytest.raises(ValueError, match="characters"):
        read_provider(name("dubbo://h:1/x?") + "a" * 70000)


# -- rules


def ruled(*rules: str, query: str = "application=shop&version=1.0.0") -> list[tuple[str, int, bool]]:
    found = [read_provider(name(f"dubbo://10.0.0.{n}:20880/x?{query}")) for n in (1, 2)]
    read = [read_rule(name(f"override://{rule}")) for rule in rules]
    instances = with_rules([one for one in found if one], [one for one in read if one])
    return [(one.address[:8], one.weight, one.healthy) for one in instances]


def test_a_rule_for_one_host_disables_it() -> None:
    assert ruled("10.0.0.2/x?category=configurators&disabled=true") == [
        ("10.0.0.1", 100, True),
        ("10.0.0.2", 100, False),
    ]


def test_a_rule_for_all_hosts_sets_their_weight_and_one_for_a_host_comes_after_it() -> None:
    assert ruled("10.0.0.2:20880/x?weight=50", "0.0.0.0/x?weight=10") == [
        ("10.0.0.1", 10, True),
        ("10.0.0.2", 50, True),
    ]


def test_of_rules_for_the_same_host_that_of_the_higher_priority_decides() -> None:
    assert ruled("0.0.0.0/x?weight=50&priority=2", "0.0.0.0/x?weight=10&priority=1")[0][1] == 50


def test_a_rule_may_be_for_an_application_a_group_or_a_version() -> None:
    assert ruled("0.0.0.0/x?disabled=true&application=shop&version=1.0.0&group=*")[0][2] is False
    assert ruled("0.0.0.0/x?disabled=true&application=other")[0][2] is True
    assert ruled("0.0.0.0/x?disabled=true&version=2.0.0")[0][2] is True


def test_a_rule_for_another_port_changes_nothing() -> None:
    assert ruled("10.0.0.1:1/x?disabled=true")[0][2] is True
    assert ruled("10.0.0.1:0/x?disabled=true")[0][2] is False


def test_a_rule_can_enable_what_another_disabled() -> None:
    assert ruled("0.0.0.0/x?disabled=true", "10.0.0.1/x?disabled=false") == [
        ("10.0.0.1", 100, True),
        ("10.0.0.2", 100, False),
    ]


def test_rules_that_are_off_or_change_something_else_are_none() -> None:
    assert read_rule(name("override://0.0.0.0/x?disabled=true&enabled=false")) is None
    assert read_rule(name("override://0.0.0.0/x?timeout=500")) is None
    assert read_rule(name("absent://0.0.0.0/x?weight=1")) is None
