"""Filters of ours as Envoy's, and back."""

from __future__ import annotations

import pytest
from checked import accepted
from envoy_round_trip import refused_by, round_trip

from metaproxy.config.schema.reading import Use


def text(filters: str, protocol: str = "http") -> str:
    return (
        f"listeners: [{{name: l, listen: '127.0.0.1:80', protocol: {protocol}, filters: [{filters}], "
        "routes: [{cluster: a}]}]\n"
        "clusters: [{name: a, endpoints: ['127.0.0.1:1']}, {name: rls, endpoints: ['127.0.0.1:2']}]\n"
    )


def back(filters: str, protocol: str = "http") -> tuple[Use, ...]:
    return round_trip(text(filters, protocol)).listeners[0].filters


RBAC = (
    "rbac: {policies: {p: {action: deny, permissions: [{path: {prefix: /x}}, {and: [{method: GET}, "
    "{not: {x-a: {present: true}}}]}], principals: [{any: true}]}}, per_policy: true}"
)


def test_policies_come_back_as_they_were() -> None:
    assert back(f"{{{RBAC}}}") == accepted(text(f"{{{RBAC}}}")).listeners[0].filters


def test_a_local_limit_comes_back() -> None:
    (limit,) = back(
        "{local_rate_limit: {limit: 10, per: 2s, burst: 20, refill: interval, enforced: 50, headers: true}}"
    )
    assert dict(limit.options) == {
        "limit": 10, "per": "2s", "burst": 20, "refill": "interval", "enforced": 50, "headers": True,
    }  # fmt: skip


LIMITED = "conditions: [{match: {method: hi}, limit: 1, refill: interval}]"
SHARED = (
    "service: {cluster: rls}, domain: d, descriptors: [{property: m, descriptor_key: k}], "
    "match: {method: {prefix: a}}, on_failure: deny, timeout: 50ms"
)


def test_metaprotocol_has_limits_with_conditions_a_service_and_istios_filters() -> None:
    local = f"local_rate_limit: {{limit: 5, refill: interval, {LIMITED}}}"
    others = (
        f"{{global_rate_limit: {{{SHARED}}}}}, {{metadata_exchange: {{}}}}, {{istio_stats: {{destination_service: s}}}}"
    )
    found = back(f"{{{local}}}, {others}", "dubbo")
    assert [one.name for one in found] == ["local_rate_limit", "global_rate_limit", "metadata_exchange", "istio_stats"]
    assert found[0].options["conditions"] == [
        {"match": {"method": "hi"}, "limit": 1, "per": "1s", "burst": 1, "refill": "interval"}
    ]
    shared = {key: found[1].options[key] for key in ("domain", "match", "on_failure", "descriptors", "timeout")}
    assert shared == {
        "domain": "d", "match": {"method": {"prefix": "a"}}, "on_failure": "deny", "timeout": "50ms",
        "descriptors": [{"property": "m", "descriptor_key": "k"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "protocol", "path"),
    [
        ("local_rate_limit: {limit: 5}", "http", "refill"),
        ("local_rate_limit: {limit: 5, refill: interval, key: x-a}", "http", "key"),
        ("deadline: {}", "http", "deadline"),
        ("rbac: {policies: {p: {principals: [{source.address: a}]}}}", "http", "rbac.policies"),
        ("rbac: {policies: {p: {action: deny}, q: {action: allow}}}", "http", "rbac.policies"),
        ("rbac: {policies: {p: {}}}", "dubbo", "rbac"),
        (
            "global_rate_limit: {service: {grpc: 'a:1'}, descriptors: [{property: a, descriptor_key: b}]}",
            "dubbo",
            "service",
        ),
    ],
)
def test_what_has_no_counterpart_is_named(filters: str, protocol: str, path: str) -> None:
    (line,) = refused_by(text(f"{{{filters}}}", protocol))
    assert path in line
