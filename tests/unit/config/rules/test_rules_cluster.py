"""A cluster by itself: its endpoints, its balancer, its health checks."""

from __future__ import annotations

import pytest
from checked import accepted, mesh, refused, warned


def test_an_endpoint_stands_once_in_its_cluster() -> None:
    text = "clusters:\n- name: a\n  endpoints:\n  - b:1\n  - {address: b:1, weight: 2}\n"
    assert refused(text) == ["5:15: clusters[0].endpoints[1].address: b:1 is there already, in line 4"]


def test_a_cluster_without_endpoints_is_a_warning_and_one_without_the_key_is_wrong() -> None:
    assert (
        "no endpoints; every request is answered with no_endpoint" in warned("clusters: [{name: a, endpoints: []}]")[1]
    )
    assert refused("clusters: [{name: a}]") == ["1:12: clusters[0]: endpoints is missing"]


def test_a_balancer_is_built_from_its_endpoints() -> None:
    accepted(mesh(cluster=", balancer: narrow"))
    two = "clusters:\n- name: a\n  endpoints: [b:1, b:2]\n  balancer: {name: narrow%s}\n"
    assert refused(two % "") == ["4:20: clusters[0].balancer.name: narrow: 2 endpoints; it serves 1 at most"]
    accepted(two % ", most: 2")
    assert refused(two % ", mots: 2") == [
        "4:28: clusters[0].balancer.mots: narrow: no option 'mots'; did you mean 'most'?"
    ]


def test_a_slow_start_of_a_balancer_that_hashes_is_a_warning() -> None:
    (warning,) = warned(mesh(cluster=", slow_start: 30s, balancer: {name: maglev, key: user}"))
    assert warning.endswith("slow_start: has no effect: keys would move to and fro with the weights of maglev")
    assert warned(mesh(cluster=", slow_start: 30s")) == []


def test_a_preference_of_a_zone_that_the_proxy_does_not_know_is_a_warning() -> None:
    (warning,) = warned(mesh(cluster=", locality: {min_healthy: 80}"))
    assert warning.endswith("locality: has no effect: node.zone, the proxy's own zone, is not given")
    assert warned(mesh(cluster=", locality: {}") + "node: {zone: a}\n") == []


def test_a_codec_that_has_no_probe_can_not_be_checked_by_it() -> None:
    check = ", health_check: {kind: codec}"
    multiplexed = "{name: thrift, multiplexed: true}"
    (told,) = refused(mesh(protocol=multiplexed, cluster=check))
    assert told.endswith("kind: thrift has no probe, at least with these options; see its page, or write tcp")
    (told,) = refused(mesh(protocol="thrift", cluster=f"{check}, protocol: {multiplexed}"))
    assert "thrift has no probe" in told
    assert accepted(mesh(protocol="thrift", cluster=check))
    assert accepted(mesh(protocol="{name: thrift, transport: framed}", cluster=check))
    assert accepted(mesh(protocol="redis", cluster=check))


def test_who_logs_in_at_the_servers_is_the_client_or_left_out() -> None:
    accepted(mesh(protocol="{name: mysql, users: {ann: x}}", cluster=", credentials: {login_as: client}"))
    (error,) = refused(mesh(cluster=", credentials: {user: app, login_as: cilent}"))
    assert "credentials: login_as is not known; write login_as: client" in error and "cilent" not in error


@pytest.mark.parametrize("protocol", ["mysql", "postgres", "mongodb"])
def test_nobody_is_the_client_at_the_servers_where_clients_do_not_log_in_at_the_proxy(protocol: str) -> None:
    as_client = ", credentials: {user: app, password: x, login_as: client}"
    (error,) = refused(mesh(protocol=protocol, cluster=as_client))
    assert f"do not log in at the proxy ({protocol}, with these options)" in error
    accepted(mesh(protocol=f"{{name: {protocol}, users: {{ann: pencil}}}}", cluster=as_client))
    (error,) = refused(mesh(protocol="redis", cluster=as_client))
    assert "login_as has no effect" in error
