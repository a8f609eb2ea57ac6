"""How `topology` is written."""

from __future__ import annotations

import pytest
from checked import accepted, refused

from metaproxy.config.schema.topologies import Topology

CONFIG = """
listeners: [{name: front, listen: "127.0.0.1:1", protocol: redis, routes: [{cluster: demo}]}]
clusters: [{name: demo, endpoints: ["127.0.0.1:2"], topology: %s}]
"""


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{a: b, c: d}", "write one word, or `{WORD: NAME}`"),
        ('""', "an empty text"),
        ('{sentinel: ""}', "an empty text"),
        ("sentinel", "sentinel needs the name of the master; write {sentinel: NAME}"),
        ("{cluster: x}", "nothing stands behind cluster; write `topology: cluster`"),
        ("primary_replica", "redis has no topology 'primary_replica': it has cluster, sentinel"),
    ],
)
def test_what_can_t_be_one_is_refused(written: str, told: str) -> None:
    (problem,) = refused(CONFIG % written)
    assert "clusters[0].topology" in problem
    assert told in problem


@pytest.mark.parametrize(
    ("written", "read"),
    [("cluster", Topology("cluster")), ("{sentinel: mymaster}", Topology("sentinel", "mymaster"))],
)
def test_it_is_a_word_with_a_name_behind_it_where_that_needs_one(written: str, read: Topology) -> None:
    assert accepted(CONFIG % written).clusters[0].topology == read


def test_a_discovery_beside_servers_that_tell_which_there_are_is_refused() -> None:
    text = (CONFIG % "cluster").replace('endpoints: ["127.0.0.1:2"]', "discovery: {dns_srv: x.example}")
    (problem,) = refused(text)
    assert "clusters[0].discovery" in problem
    assert "write `endpoints`, some of them" in problem


def test_those_that_tell_which_there_are_may_have_a_login_of_their_own_or_none() -> None:
    for written, read in (("{password: x}", {"password": "x"}), ("{}", {})):
        (found,) = accepted(CONFIG % f"cluster, topology_credentials: {written}").clusters
        assert (found.topology_credentials, found.credentials) == (read, {})
    assert accepted(CONFIG % "cluster").clusters[0].topology_credentials is None


@pytest.mark.parametrize(("protocol", "told"), [("redis", "of cluster, sentinel"), ("dubbo", "leave it out")])
def test_a_login_for_those_that_are_not_asked_is_refused(protocol: str, told: str) -> None:
    text = CONFIG.replace(", topology: %s", ", topology_credentials: {password: x}").replace("redis", protocol)
    (problem,) = refused(text)
    assert "clusters[0].topology_credentials" in problem
    assert told in problem
