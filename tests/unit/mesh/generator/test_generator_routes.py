"""The routes of a MetaRouter, in the form in which Aeraki sends them."""

from __future__ import annotations

from mesh_stand import HOST, RULE, Stand

OTHER = "other.demo.svc.cluster.local"


def routes(stand: Stand) -> list[dict[str, object]]:
    hosts = stand.one("routes", f"{HOST}_20880")["virtual_hosts"]
    assert isinstance(hosts, list) and len(hosts) == 1
    assert hosts[0]["domains"] == ["*"]
    found: list[dict[str, object]] = hosts[0]["routes"]
    return found


def routed(route: str) -> Stand:
    return Stand().hello().put("MetaRouter", "hello", f"{{hosts: [{HOST}], routes: [{route}]}}")


def test_without_a_router_all_goes_to_the_service() -> None:
    assert routes(Stand().hello()) == [
        {"name": "default", "match": {"prefix": "/"}, "route": {"cluster": f"outbound|20880||{HOST}"}}
    ]


def test_a_router_with_limits_alone_has_the_same_routes() -> None:
    limits = f"{{hosts: [{HOST}], localRateLimit: {{tokenBucket: {{maxTokens: 1, fillInterval: 1s}}}}}}"
    assert routes(Stand().hello().put("MetaRouter", "hello", limits)) == routes(Stand().hello())


def test_attributes_are_conditions_on_headers() -> None:
    attributes = "a: {exact: x}, b: {prefix: y}, c: {regex: z.*}, d: {}, e: {exact: ''}"
    (route,) = routes(
        routed(f"{{match: {{attributes: {{{attributes}}}}}, route: [{{destination: {{host: {HOST}}}}}]}}")
    )
    match = route["match"]
    assert isinstance(match, dict)
    assert sorted(match["headers"], key=str) == [
        {"name": "a", "exact_match": "x"},
        {"name": "b", "prefix_match": "y"},
        {"name": "c", "safe_regex_match": {"regex": "z.*"}},
        {"name": "e", "present_match": True},
    ]


def test_weights_are_weighted_clusters_with_their_sum() -> None:
    shares = [("v1", 20), ("v2", 80)]
    one, two = (f"{{destination: {{host: {HOST}, subset: {name}}}, weight: {weight}}}" for name, weight in shares)
    (route,) = routes(routed(f"{{route: [{one}, {two}]}}"))
    assert route["route"] == {
        "weighted_clusters": {
            "clusters": [
                {"name": f"outbound|20880|v1|{HOST}", "weight": 20},
                {"name": f"outbound|20880|v2|{HOST}", "weight": 80},
            ],
            "total_weight": 100,
        }
    }


def test_a_mirror_has_its_share_in_millionths() -> None:
    mirror = f"mirror: {{host: {HOST}, subset: v2}}, mirrorPercentage: {{value: 0.5}}"
    stand = routed(f"{{route: [{{destination: {{host: {HOST}}}}}], {mirror}}}")
    route = routes(stand)[0]["route"]
    assert isinstance(route, dict)
    assert route["request_mirror_policies"] == [
        {
            "cluster": f"outbound|20880|v2|{HOST}",
            "runtime_fraction": {"default_value": {"numerator": 5000, "denominator": "MILLION"}},
        }
    ]


def test_mutations_set_and_do_not_append() -> None:
    (route,) = routes(
        routed(
            f"{{route: [{{destination: {{host: {HOST}}}}}], requestMutation: [{{key: foo, value: bar}}], "
            "responseMutation: [{key: a, value: b}]}"
        )
    )
    assert route["request_headers_to_add"] == [
        {"header": {"key": "foo", "value": "bar"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    ]
    assert "response_headers_to_add" in route


def test_a_destination_has_the_port_of_the_listener_or_its_own() -> None:
    stand = routed(f"{{route: [{{destination: {{host: {OTHER}, port: {{number: 9}}}}}}]}}")
    assert routes(stand)[0]["route"] == {"cluster": f"outbound|9||{OTHER}"}


def test_destinations_that_are_not_there_are_noted() -> None:
    stand = routed(f"{{route: [{{destination: {{host: {OTHER}}}}}]}}")
    assert stand.notes("MetaRouter", "hello") == [
        f"routes[0].route[0].destination: no ServiceEntry or Service has the host {OTHER}"
    ]
    stand = routed(f"{{route: [{{destination: {{host: {HOST}, port: {{number: 9}}}}}}]}}")
    assert stand.notes("MetaRouter", "hello") == [
        f"routes[0].route[0].destination: {HOST} has no port 9; there is 20880"
    ]
    stand = routed(f"{{route: [{{destination: {{host: {HOST}, subset: v11}}}}]}}")
    assert "did you mean 'v1'?" in stand.notes("MetaRouter", "hello")[0]
    stand = routed(f"{{route: [{{destination: {{host: {HOST}, subset: v1}}}}]}}")
    stand.put("DestinationRule", "hello", RULE.replace("version: v1", "version: v9"))
    assert "no server of" in stand.notes("MetaRouter", "hello")[0]


def hashed(where: str, route: str = f"{{route: [{{destination: {{host: {HOST}, subset: v1}}}}]}}") -> object:
    policy = "{loadBalancer: {consistentHash: {httpHeaderName: KEY}}}"
    own = f"{{version: v1}}, trafficPolicy: {policy.replace('KEY', 'one')}"
    rule = RULE.replace("{version: v1}", own) if "v1" in where else RULE
    rule += f"trafficPolicy: {policy.replace('KEY', 'all')}" if "top" in where else ""
    action = routes(routed(route).put("DestinationRule", "hello", rule))[0]["route"]
    assert isinstance(action, dict)
    return [one["header"]["header_name"] for one in action.get("hash_policy", [])]


def test_the_attribute_of_a_consistent_hash_is_that_of_the_subset_or_else_of_the_rule() -> None:
    assert hashed("") == []
    assert hashed("top") == ["all"]
    assert hashed("v1") == ["one"]
    assert hashed("v1, top") == ["one"]
    assert hashed("v1, top", f"{{route: [{{destination: {{host: {HOST}}}}}]}}") == ["all"]


def test_weights_have_the_attributes_of_all_their_destinations() -> None:
    one, two = (f"{{destination: {{host: {HOST}{subset}}}, weight: 50}}" for subset in (", subset: v1", ""))
    both = f"{{route: [{one}, {two}]}}"
    assert hashed("v1, top", both) == ["one", "all"]
