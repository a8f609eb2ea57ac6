"""Which endpoint a request goes to, in Envoy's two forms."""

from __future__ import annotations

import pytest
from envoy_messages import cluster, errors

from metaproxy.envoy.message_types import url

ONE = "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}"
BASE = f"name: c\ntype: STATIC\nload_assignment: {{endpoints: [{{lb_endpoints: [{ONE % 1}]}}]}}\n"
POLICIES = "envoy.extensions.load_balancing_policies"


def balanced(text: str) -> dict[str, object]:
    outcome = cluster(BASE + text)
    assert errors(outcome) == []
    return {key: outcome.sections[0].get(key) for key in ("balancer", "slow_start") if key in outcome.sections[0]}


def newer(kind: str, fields: str = "") -> str:
    packed = f'"@type": {url(f"{POLICIES}.{kind}")}{", " if fields else ""}{fields}'
    return f"load_balancing_policy: {{policies: [{{typed_extension_config: {{name: x, typed_config: {{{packed}}}}}}}]}}"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {"balancer": "round_robin"}),
        ("lb_policy: LEAST_REQUEST", {"balancer": "least_request"}),
        (
            "lb_policy: LEAST_REQUEST\nleast_request_lb_config: {choice_count: 5}",
            {"balancer": {"name": "least_request", "choices": 5}},
        ),
        ("lb_policy: RANDOM", {"balancer": "random"}),
        ("lb_policy: MAGLEV", {"balancer": "maglev"}),
        ("lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 251}", {"balancer": {"name": "maglev", "table_size": 251}}),
        ("lb_policy: RING_HASH", {"balancer": "ring_hash"}),
        (
            "lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 10, maximum_ring_size: 20}",
            {"balancer": {"name": "ring_hash", "minimum_ring_size": 10, "maximum_ring_size": 20}},
        ),
        (
            "round_robin_lb_config: {slow_start_config: {slow_start_window: 30s}}",
            {"balancer": "round_robin", "slow_start": "30s"},
        ),
        (newer("round_robin.v3.RoundRobin"), {"balancer": "round_robin"}),
        (
            newer("least_request.v3.LeastRequest", "choice_count: 3"),
            {"balancer": {"name": "least_request", "choices": 3}},
        ),
        (newer("random.v3.Random"), {"balancer": "random"}),
        (newer("maglev.v3.Maglev"), {"balancer": "maglev"}),
        (newer("ring_hash.v3.RingHash", "hash_function: XX_HASH"), {"balancer": "ring_hash"}),
    ],
)
def test_a_policy_is_a_balancer(text: str, wanted: object) -> None:
    assert balanced(text) == wanted


def test_the_newer_form_goes_before_the_older() -> None:
    assert balanced("lb_policy: MAGLEV\n" + newer("random.v3.Random")) == {"balancer": "random"}


@pytest.mark.parametrize(
    "text",
    [
        "lb_policy: LOAD_BALANCING_POLICY_CONFIG",
        "lb_policy: RING_HASH\nring_hash_lb_config: {hash_function: MURMUR_HASH_2}",
        "lb_policy: RING_HASH\nring_hash_lb_config: {maximum_ring_size: 99999999}",
        "lb_policy: LEAST_REQUEST\nleast_request_lb_config: {active_request_bias: {default_value: 2, runtime_key: x}}",
        "round_robin_lb_config: {slow_start_config: {slow_start_window: 30s, min_weight_percent: {value: 50}}}",
        newer("pick_first.v3.PickFirst"),
        "load_balancing_policy: {}",
        "maglev_lb_config: {table_size: 251}",
        "lb_subset_config: {fallback_policy: ANY_ENDPOINT}",
    ],
)
def test_what_no_balancer_of_ours_does_is_named(text: str) -> None:
    assert len(errors(cluster(BASE + text))) == 1


def test_subsets_need_not_be_said_before() -> None:
    assert balanced("lb_subset_config: {subset_selectors: [{keys: [version]}]}") == {"balancer": "round_robin"}


@pytest.mark.parametrize(
    "text",
    [
        "common_lb_config: {locality_weighted_lb_config: {}}",
        newer("round_robin.v3.RoundRobin", "locality_lb_config: {locality_weighted_lb_config: {}}"),
        newer(
            "wrr_locality.v3.WrrLocality",
            "endpoint_picking_policy: {policies: [{typed_extension_config: "
            f'{{name: x, typed_config: {{"@type": {url(f"{POLICIES}.round_robin.v3.RoundRobin")}}}}}}}]}}',
        ),
    ],
)
def test_weights_of_localities_are_shared_by_their_endpoints(text: str) -> None:
    groups = (
        f"{{locality: {{zone: a}}, load_balancing_weight: 3, lb_endpoints: [{ONE % 1}, {ONE % 2}, {ONE % 3}]}},"
        f"{{locality: {{zone: b}}, load_balancing_weight: 1, lb_endpoints: [{ONE % 4}]}},"
        f"{{locality: {{zone: c}}, lb_endpoints: [{ONE % 5}]}}"
    )
    outcome = cluster(f"name: c\ntype: STATIC\nload_assignment: {{endpoints: [{groups}]}}\n{text}")
    assert errors(outcome) == []
    endpoints = outcome.sections[0]["endpoints"]
    assert isinstance(endpoints, list)
    weights = {one["address"]: one["weight"] for one in endpoints}
    assert set(weights) == {f"127.0.0.1:{n}" for n in (1, 2, 3, 4)}
    assert len(set(weights.values())) == 1
