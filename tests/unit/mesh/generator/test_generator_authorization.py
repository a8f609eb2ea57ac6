"""DubboAuthorizationPolicies before servers of every protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mesh_stand import ENTRY, HOST, Stand, plain, unpacked

from metaproxy.mesh.generator.node import ProxyNode
from metaproxy.mesh.objects.dubbo_authorization import CLOSED
from metaproxy.mesh.objects.reading import Key, Object

SERVER = ProxyNode(namespace="demo", addresses=("127.0.0.11",))
LISTENER = "127.0.0.11_20880"


def stand(port: str = "tcp-metaprotocol-dubbo") -> Stand:
    return Stand(SERVER).put("ServiceEntry", "hello", ENTRY.replace("tcp-metaprotocol-dubbo", port))


def rules(stand: Stand) -> list[dict[str, Any]]:
    """The RBAC rules before a server, in their order."""
    (chain,) = getattr(stand.resources.listeners[LISTENER], "filter_chains")  # noqa: B009
    messages = [plain(unpacked(one.typed_config)) for one in chain.filters]
    inner = messages[-1].get("dubbo_filters", [])
    assert isinstance(inner, list)
    found: list[Any] = [*messages[:-1], *(one["config"] for one in inner[:-1])]
    return [json.loads(json.dumps(one["rules"])) for one in found]


def policy(spec: str, name: str = "p", namespace: str = "demo", port: str = "tcp-metaprotocol-dubbo") -> Any:
    """The one policy that is made of a spec with one rule."""
    made = stand(port).put("DubboAuthorizationPolicy", name, spec, namespace=namespace)
    (one,) = rules(made)
    return one


def test_without_policies_nothing_stands_before_a_server() -> None:
    assert rules(stand()) == []


@pytest.mark.parametrize("port", ["tcp-metaprotocol-dubbo", "tcp-metaprotocol-thrift", "tcp-dubbo", "tcp-thrift"])
def test_a_policy_stands_before_servers_of_every_protocol(port: str) -> None:
    spec = "{rules: [{to: [{operation: {methods: [sayHello]}}]}]}"
    made = policy(spec, port=port)
    (rule,) = made["policies"].values()
    assert list(made["policies"]) == ["ns[demo]-policy[p]-rule[0]"]
    assert "sayHello" in str(rule["permissions"])
    assert rule["principals"] == [{"any": True}]


def test_refusals_come_before_permissions() -> None:
    made = stand()
    made.put("DubboAuthorizationPolicy", "a", "{rules: [{}]}")
    made.put("DubboAuthorizationPolicy", "b", "{action: DENY, rules: [{}]}")
    deny, allow = rules(made)
    assert deny["action"] == "DENY"
    assert "action" not in allow  # ALLOW is 0


def test_policies_of_the_root_namespace_hold_everywhere_and_those_of_others_do_not() -> None:
    assert list(policy("{rules: [{}]}", namespace="istio-system")["policies"]) == ["ns[istio-system]-policy[p]-rule[0]"]
    assert rules(stand().put("DubboAuthorizationPolicy", "p", "{rules: [{}]}", namespace="other")) == []


def test_a_permission_without_rules_allows_nothing_and_a_refusal_without_rules_refuses_nothing() -> None:
    assert policy("{action: ALLOW}") == {}
    assert rules(stand().put("DubboAuthorizationPolicy", "p", "{action: DENY}")) == []


def test_rules_and_items_are_alternatives_and_fields_must_all_hold() -> None:
    made = policy(
        "{rules: [{from: [{source: {principals: [a, b], notNamespaces: [c]}}, {source: {}}]}, {to: []}]}"
    )  # fmt: skip
    first, second = (made["policies"][f"ns[demo]-policy[p]-rule[{place}]"] for place in (0, 1))
    both, anybody = first["principals"]
    assert anybody == {"any": True}
    principals, namespaces = both["and_ids"]["ids"]
    assert len(principals["or_ids"]["ids"]) == 2
    assert "not_id" in namespaces
    assert second == {"permissions": [{"any": True}], "principals": [{"any": True}]}


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("cluster.local/ns/a/sa/b", {"exact": "spiffe://cluster.local/ns/a/sa/b"}),
        ("cluster.local/ns/a/*", {"prefix": "spiffe://cluster.local/ns/a/"}),
        ("*/sa/b", {"suffix": "/sa/b"}),
        ("*", {"safe_regex": {"regex": ".+"}}),
    ],
)
def test_principals_are_spiffe_ids_without_their_scheme(written: str, compared: object) -> None:
    made = policy(f"{{rules: [{{from: [{{source: {{principals: ['{written}']}}}}]}}]}}")
    (rule,) = made["policies"].values()
    (one,) = rule["principals"][0]["and_ids"]["ids"][0]["or_ids"]["ids"]
    assert one == {"authenticated": {"principal_name": compared}}


def test_a_namespace_is_a_part_of_the_identity() -> None:
    made = policy("{rules: [{from: [{source: {namespaces: ['shop.*']}}]}]}")
    assert r".*/ns/shop\..*/.*" in json.dumps(made).replace("\\\\", "\\")


def test_interfaces_and_methods_are_what_is_called() -> None:
    made = policy("{rules: [{to: [{operation: {interfaces: [org.*], notMethods: [drop]}}]}]}")
    (rule,) = made["policies"].values()
    interfaces, methods = rule["permissions"][0]["and_rules"]["rules"]
    assert interfaces["or_rules"]["rules"] == [
        {
            "metadata": {
                "filter": "envoy.filters.dubbo.rbac",
                "path": [{"key": "service"}],
                "value": {"string_match": {"prefix": "org."}},
            }
        }
    ]
    assert methods["not_rule"]["or_rules"]["rules"][0]["metadata"]["path"] == [{"key": "method"}]


def test_redis_and_plain_bytes_have_no_policies_of_calls() -> None:
    for port in ("tcp-redis", "tcp-kafka"):
        assert rules(stand(port).put("DubboAuthorizationPolicy", "p", "{rules: [{}]}")) == []
    assert HOST in str(stand("tcp-kafka").resources.clusters)


def test_what_stands_for_a_policy_that_is_refused_denies_all_and_says_so_in_its_name() -> None:
    made = stand()
    made.generator.put(Object(Key("DubboAuthorizationPolicy", "demo", "p"), CLOSED))
    (one,) = rules(made)
    anything = {"permissions": [{"any": True}], "principals": [{"any": True}]}
    assert one == {"action": "DENY", "policies": {"ns[demo]-policy[p]-refused": anything}}
