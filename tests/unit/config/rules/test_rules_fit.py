"""What listeners, routes and clusters must have in common."""

from __future__ import annotations

import pytest
from checked import accepted, mesh, refused, warned


def test_a_subset_that_no_endpoint_is_in_is_a_warning() -> None:
    (warning,) = warned(mesh("[{cluster: demo, subset: {version: v2}}]"))
    assert warning.endswith("listeners[0].routes[0].subset: no endpoint of cluster 'demo' has version: v2")


def test_a_hash_that_the_balancer_does_not_look_at_is_a_warning() -> None:
    for balancer in ("", ", balancer: round_robin"):
        (warning,) = warned(mesh("[{cluster: demo, hash: user}]", cluster=balancer))
        assert warning.endswith("has no effect: the balancer of cluster 'demo', round_robin, looks at no hash")
    assert warned(mesh("[{cluster: demo, hash: user}]", cluster=", balancer: narrow")) == []


def test_a_cluster_that_no_route_leads_to_is_a_warning() -> None:
    (warning,) = warned(mesh("[{reply: {error: denied}}]"))
    assert warning == "2:19: clusters[0].name: no route leads to cluster 'demo'"


TWO_MODES = """
listeners:
  - {name: a, listen: "127.0.0.1:1", protocol: redis, routes: [{cluster: demo}]}
  - {name: b, listen: "127.0.0.1:2", protocol: {name: redis, mode: pinned}, routes: [{cluster: demo}]}
clusters:
  - {name: demo, endpoints: ["127.0.0.1:3"]}
"""


def test_clients_with_connections_of_their_own_and_others_have_clusters_of_their_own() -> None:
    (problem,) = refused(TWO_MODES)
    assert "clients of listener 'b' and listener 'a' differ in whether connections are shared (mode)" in problem
    assert problem.endswith("give each a cluster of its own")
    accepted(TWO_MODES.replace("protocol: redis", "protocol: {name: redis, mode: pinned}"))
    own = TWO_MODES.replace("protocol: redis,", "protocol: {name: redis, mode: pinned},").replace(
        '"127.0.0.1:3"]', '"127.0.0.1:3"], protocol: redis'
    )
    assert all("the cluster's own protocol differ" in problem for problem in refused(own))


def test_a_retry_for_clients_with_connections_of_their_own_is_warned_of() -> None:
    text = TWO_MODES.replace("protocol: redis,", "protocol: {name: redis, mode: pinned},")
    (warning,) = warned(text.replace("[{cluster: demo}]", "[{cluster: demo, retry: {attempts: 2}}]", 1))
    assert "has no effect behind a client's first request" in warning


def test_a_pinned_protocol_needs_no_connections_mode_and_takes_no_other() -> None:
    text = TWO_MODES.replace("protocol: redis,", "protocol: {name: redis, mode: pinned},")
    assert accepted(text).clusters[0].connections.mode is None
    assert (
        "leave out its connections.mode (multiplex), or write pinned"
        in refused(text.replace('"127.0.0.1:3"]', '"127.0.0.1:3"], connections: {mode: multiplex}'))[0]
    )


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
@pytest.mark.parametrize("protocol", ["redis", "{name: redis, mode: pinned}"])
def test_connections_are_borrowed_only_by_clients_that_log_in_at_the_proxy(mode: str, protocol: str) -> None:
    text = TWO_MODES.replace("protocol: redis,", f"protocol: {protocol},")
    problem = refused(text.replace('"127.0.0.1:3"]', f'"127.0.0.1:3"], connections: {{mode: {mode}}}'))[0]
    assert f"connections.mode {mode} needs clients that log in at the proxy" in problem


def test_a_cluster_speaks_what_its_clients_speak() -> None:
    (problem,) = refused(mesh(cluster=", protocol: mute"))
    assert problem.endswith(
        "cluster 'demo' speaks mute, clients of the listener dubbo; no filter of the route translates that"
    )
    accepted(mesh(cluster=", protocol: {name: dubbo, depth: 3}"))


def test_a_cluster_may_speak_what_a_filter_of_its_route_translates_requests_into() -> None:
    filters = ", filters: [interpreter: {into: mute}]"
    accepted(mesh(listener=filters, cluster=", protocol: mute"))
    accepted(mesh(listener=filters))
    other = ", filters: [interpreter: {into: held}]"
    (problem,) = refused(mesh(listener=other, cluster=", protocol: mute"))
    assert problem.endswith("no filter of the route translates that")
    off = "[{cluster: demo, filters: {interpreter: off}}]"
    assert len(refused(mesh(off, listener=filters, cluster=", protocol: mute"))) == 1
    into = "[{cluster: demo, filters: {interpreter: {into: mute}}}]"
    accepted(mesh(into, listener=other, cluster=", protocol: mute"))


def test_a_fallback_speaks_what_its_cluster_speaks() -> None:
    filters = ", filters: [interpreter: {into: mute}]"
    spare = "}, {name: spare, endpoints: [127.0.0.1:20882]"
    both = f", protocol: mute, fallback: [spare]{spare}, protocol: mute"
    accepted(mesh(listener=filters, cluster=both))
    (problem,) = refused(mesh(listener=filters, cluster=f", protocol: mute, fallback: [spare]{spare}"))
    assert problem.endswith("cluster 'spare' speaks dubbo, requests to this one are mute")


def test_a_protocol_that_needs_a_connection_a_client_gets_no_other() -> None:
    accepted(mesh(protocol="held"))
    accepted(mesh(protocol="held", cluster=", connections: {mode: pinned}"))
    (problem,) = refused(mesh(protocol="held", cluster=", connections: {mode: pool}"))
    assert "each client of held needs a connection of its own to cluster 'demo'" in problem


def test_connections_of_raw_bytes_are_not_mirrored() -> None:
    text = mesh("[{cluster: demo, mirror: other}]", protocol="tcp")
    other = "clusters: [{name: other, endpoints: ['127.0.0.1:2']}, "
    (problem,) = refused(text.replace("clusters: [", other))
    assert "routes[0].mirror" in problem
    assert "not copied" in problem


def test_tls_begins_in_the_protocol_only_where_that_has_words_for_it() -> None:
    problems = refused(TWO_MODES.replace('"127.0.0.1:3"]', '"127.0.0.1:3"], tls: {start: protocol}'))
    assert any("redis has no words that begin TLS" in problem for problem in problems)


def test_a_topology_and_kept_answers_need_a_protocol_that_has_them() -> None:
    told = refused(TWO_MODES.replace('"127.0.0.1:3"]', '"127.0.0.1:3"], topology: primary_replica'))
    assert any("redis has no topology 'primary_replica': it has cluster, sentinel" in one for one in told)
    told = refused(TWO_MODES.replace("[{cluster: demo}]", "[{cluster: demo, cache: 1s}]", 1))
    assert any("answers of redis can't be kept; leave it out" in one for one in told)


COPIES = """
listeners:
  - {name: a, listen: "127.0.0.1:1", protocol: kafka, routes: [{cluster: one, mirror: {cluster: two}}]}
  - {name: b, listen: "127.0.0.1:2", protocol: {name: kafka, prefix: b.}, routes: [{cluster: one, mirror: two}]}
clusters:
  - {name: one, endpoints: ["127.0.0.1:3"]}
  - {name: two, endpoints: ["127.0.0.1:4"], health_check: {kind: codec}}
"""


def test_clients_with_connections_of_their_own_are_mirrored_where_the_codec_makes_copies() -> None:
    accepted(COPIES)
    accepted(COPIES.replace('"127.0.0.1:4"]', '"127.0.0.1:4"], connections: {mode: multiplex}'))
    (problem,) = refused(
        mesh("[{cluster: demo, mirror: other}]", protocol="held").replace(
            "clusters: [", "clusters: [{name: other, endpoints: ['127.0.0.1:2']}, "
        )
    )
    assert "have a state on their connection; a copy would miss it" in problem


@pytest.mark.parametrize("mode", ["amqp", "{name: amqp, users: {a: b}}", "{name: amqp, logins: forward}"])
def test_however_clients_log_in_the_same_mirror_will_do(mode: str) -> None:
    text = COPIES.replace("{name: kafka, prefix: b.}", "amqp").replace("protocol: kafka", f"protocol: {mode}")
    other = text.replace("routes: [{cluster: one, mirror: two}]", "routes: [{cluster: three, mirror: two}]")
    accepted(f"{other}  - {{name: three, endpoints: ['127.0.0.1:5']}}\n")


def test_answers_to_copies_that_the_codec_makes_are_not_compared() -> None:
    (problem,) = refused(COPIES.replace("{cluster: two}", "{cluster: two, compare: true}"))
    assert "listeners[0].routes[0].mirror" in problem
    assert "copies of kafka are requests of the proxy's own, whose answers can't be compared; leave out" in problem


def test_copies_that_the_codec_makes_share_connections() -> None:
    problem, *_ = refused(COPIES.replace('"127.0.0.1:4"]', '"127.0.0.1:4"], connections: {mode: pinned}'))
    assert "copies of kafka share connections to cluster 'two': leave out its connections.mode (pinned)" in problem


def test_a_cluster_that_gets_copies_by_another_codec_gets_no_requests() -> None:
    text = "gets copies of kafka, on connections of the proxy's own, and requests as well; write a cluster for each"
    for other in (
        COPIES.replace("cluster: one, mirror: two", "cluster: two"),
        COPIES.replace('"127.0.0.1:3"]', '"127.0.0.1:3"], fallback: [two]'),
    ):
        assert any("clusters[1].name" in one and text in one for one in refused(other)), refused(other)
