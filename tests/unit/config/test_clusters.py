"""Endpoints that are found, and clusters whose endpoints are."""

from __future__ import annotations

from typing import Any

import pytest
from checked import accepted, mesh, refused, warned
from works import Works, cluster

from metaproxy.cluster.membership import Membership
from metaproxy.config.found_endpoints import FoundEndpoints


def written(discovery: str, more: str = "") -> str:
    return mesh(protocol="redis").replace("endpoints: [127.0.0.1:20881]", f"discovery: {discovery}{more}")


def test_a_discovery_is_read_by_its_name_whatever_comes_first() -> None:
    use = accepted(written("{refresh: 5s, dns: demo.svc:20880}")).clusters[0].discovery
    assert use is not None and (use.name, use.options) == ("dns", {"target": "demo.svc:20880", "refresh": "5s"})
    assert warned(written("{dns: demo.svc:20880}")) == []


def test_a_files_path_starts_where_the_configuration_is() -> None:
    use = accepted(written("{file: demo.yaml}")).clusters[0].discovery
    assert use is not None and use.options == {"target": "/etc/demo.yaml"}


@pytest.mark.parametrize(
    ("discovery", "text"),
    [
        ("{dnss: demo.svc:1}", "discovery.dnss: no discovery 'dnss'; did you mean 'dns'?"),
        ("{phonebook: demo}", "no discovery 'phonebook'; there is consul, dns"),
        ("{dns: demo.svc}", "dns: 'demo.svc' is neither host:port nor _service._tcp.name"),
        ("{dns: demo.svc:1, refersh: 5s}", "dns: no option 'refersh'; did you mean 'refresh'?"),
        ("{dns: demo.svc:1, file: a}", "dns and file exclude each other"),
        ("{}", "an empty mapping"),
        ("dns", "a mapping such as"),
        ("{dns: 'demo.svc:1'}, endpoints: [127.0.0.1:1]", "endpoints and discovery exclude each other"),
    ],
)
def test_a_discovery_that_is_wrong_is_told(discovery: str, text: str) -> None:
    told = refused(written(discovery))
    assert len(told) == 1 and text in told[0]


def test_a_cluster_has_endpoints_or_a_discovery() -> None:
    (told,) = refused("clusters: [{name: demo, protocol: redis}]")
    assert told.endswith("clusters[0]: endpoints is missing")


def test_a_balancers_options_are_checked_without_any_endpoint() -> None:
    (told,) = refused(written("{dns: demo.svc:1}", ", balancer: {name: maglev, table_size: 4}"))
    assert "is not a prime" in told


FOUND: dict[str, Any] = {"discovery": {"file": "/nowhere.yaml"}}


def found(**more: Any) -> dict[str, object]:
    one = cluster(**FOUND, **more)
    del one["endpoints"]
    return one


def test_a_reload_leaves_what_was_found(works: Works) -> None:
    before = works.put(clusters=[found()]).clusters["one"]
    (membership,) = before.monitors
    assert isinstance(membership, Membership)
    before.update(FoundEndpoints()([{"address": "127.0.0.1:1"}]))
    after = works.put(clusters=[found()]).clusters["one"]
    assert after is before and len(after.endpoints) == 1


def test_a_cluster_that_is_replaced_begins_with_what_was_found(works: Works) -> None:
    before = works.put(clusters=[found()]).clusters["one"]
    before.update(FoundEndpoints()([{"address": "127.0.0.1:1"}]))
    before.drain(before.endpoints[0])
    after = works.put(clusters=[found(request_timeout="3s")]).clusters["one"]
    assert after is not before
    (endpoint,) = after.endpoints
    assert endpoint is not before.endpoints[0] and endpoint.counts is before.endpoints[0].counts
    assert endpoint.drained
