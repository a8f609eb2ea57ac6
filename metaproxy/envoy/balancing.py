"""
Which endpoint a request goes to: `lb_policy` or `load_balancing_policy` of a cluster, as keys of ours.

Lives here: `balancer_of`, `zone_aware`. Does not: localities' weights themselves (`endpoints`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from metaproxy.envoy.fields import Extension, Fields, number, shown_seconds
from metaproxy.envoy.tables import Plain
from metaproxy.support.nearest_name import did_you_mean

MAX_RING = 8 << 20
_POLICIES = "envoy.extensions.load_balancing_policies"


@dataclass(slots=True)
class Balanced:
    """keys: `balancer` and `slow_start`. by_locality: whether the weights of localities count."""

    keys: Plain = field(default_factory=dict)
    by_locality: bool = False


def balancer_of(fields: Fields) -> Balanced:
    """The balancer of a cluster; `load_balancing_policy` goes before `lb_policy`."""
    balanced = Balanced()
    common = fields.message_at("common_lb_config")
    balanced.by_locality = common is not None and common.given("locality_weighted_lb_config")
    _subsets(fields)
    policy = fields.choice("lb_policy")
    newer = fields.message_at("load_balancing_policy")
    if newer is not None:
        _first_known(newer, balanced)
    elif policy in _OLD:
        _OLD[policy](fields, balanced)
    else:
        fields.unhonoured("lb_policy", f"metaproxy has no {policy}")
    return balanced


def _subsets(fields: Fields) -> None:
    """Any keys of endpoints' metadata make a subset, without being said before."""
    config = fields.message_at("lb_subset_config")
    if config is None:
        return
    fallback = config.choice("fallback_policy")
    if fallback != "NO_FALLBACK":
        config.unhonoured("fallback_policy", "a subset without endpoints answers no_endpoint; write NO_FALLBACK")
    for selector in config.each("subset_selectors"):
        selector.ignore("keys")
        selector.refuse("fallback_policy", "a subset without endpoints answers no_endpoint", 0, 1)


def _first_known(policy: Fields, balanced: Balanced) -> None:
    """The first policy of the list that is known, as the message's own rule is."""
    listed: list[Extension] = []
    for one in policy.each("policies"):
        inner = one.message_at("typed_extension_config")
        if inner is not None:
            listed.append(inner.extension())
    for extension in listed:
        translate = _NEW.get(extension.type)
        if translate is not None and extension.config is not None:
            translate(extension.config, balanced)
            _give_up(other for other in listed if other is not extension)
            return
    _give_up(listed)
    names = ", ".join(one.type or one.name for one in listed) or "nothing"
    policy.report.unhonoured(policy.path, f"metaproxy has none of these policies: {names}; {_hint(listed)}")


def _give_up(others: Iterable[Extension]) -> None:
    """Those that are not used are not looked at."""
    for one in others:
        if one.config is not None:
            one.config.give_up()


def _hint(listed: list[Extension]) -> str:
    known = ", ".join(one.removeprefix(f"{_POLICIES}.").split(".")[0] for one in sorted(_NEW))
    return did_you_mean(listed[0].type, list(_NEW), f"there are {known}", 0.9) if listed else f"there are {known}"


# -- each of them


def _round_robin(fields: Fields, balanced: Balanced) -> None:
    balanced.keys["balancer"] = "round_robin"


def _random(fields: Fields, balanced: Balanced) -> None:
    balanced.keys["balancer"] = "random"
    _localities(fields, balanced)


def _provided(fields: Fields, balanced: Balanced) -> None:
    """ORIGINAL_DST and cluster types of their own choose by themselves."""


def _old_round_robin(fields: Fields, balanced: Balanced) -> None:
    _round_robin(fields, balanced)
    config = fields.message_at("round_robin_lb_config")
    if config is not None:
        _slow_start(config, balanced)


def _new_round_robin(fields: Fields, balanced: Balanced) -> None:
    _round_robin(fields, balanced)
    _slow_start(fields, balanced)
    _localities(fields, balanced)


def _least_request(fields: Fields | None, balanced: Balanced) -> None:
    choices = 2
    if fields is not None:
        choices = fields.whole("choice_count", 2)
        bias = fields.message_at("active_request_bias")
        if bias is not None:
            bias.refuse("default_value", "requests under way count as they are: write 1", 1.0)
            bias.ignore("runtime_key")
        _slow_start(fields, balanced)
    balanced.keys["balancer"] = (
        "least_request" if choices == 2 else {"name": "least_request", "choices": max(choices, 2)}
    )


def _ring_hash(fields: Fields | None, balanced: Balanced) -> None:
    plain: Plain = {"name": "ring_hash"}
    if fields is not None:
        for name in ("minimum_ring_size", "maximum_ring_size"):
            if fields.given(name):
                size = fields.whole(name)
                if not 1 <= size <= MAX_RING:
                    fields.invalid(name, f"{size} is out of bounds; allowed are 1 to {MAX_RING}")
                plain[name] = min(max(size, 1), MAX_RING)
        if fields.choice("hash_function") == "MURMUR_HASH_2":
            fields.unhonoured("hash_function", "keys are hashed by xxHash: write XX_HASH")
    balanced.keys["balancer"] = plain if len(plain) > 1 else "ring_hash"


def _maglev(fields: Fields | None, balanced: Balanced) -> None:
    size = fields.whole("table_size") if fields is not None else 0
    balanced.keys["balancer"] = {"name": "maglev", "table_size": size} if size else "maglev"


def _hashing(fields: Fields, balanced: Balanced) -> None:
    """What both kinds of hashing balancers of the newer form have beside."""
    _localities(fields, balanced, "locality_weighted_lb_config")
    inner = fields.message_at("consistent_hashing_lb_config")
    if inner is not None:
        inner.refuse("use_hostname_for_hashing", "endpoints are hashed by their addresses", False)


def _new_ring_hash(fields: Fields, balanced: Balanced) -> None:
    _ring_hash(fields, balanced)
    fields.refuse("use_hostname_for_hashing", "endpoints are hashed by their addresses", False)
    _hashing(fields, balanced)


def _new_maglev(fields: Fields, balanced: Balanced) -> None:
    _maglev(fields, balanced)
    _hashing(fields, balanced)


def _new_least_request(fields: Fields, balanced: Balanced) -> None:
    _least_request(fields, balanced)
    _localities(fields, balanced)
    fields.refuse("selection_method", "of the endpoints that were drawn the least busy one is taken", 0)


def _wrr_locality(fields: Fields, balanced: Balanced) -> None:
    inner = fields.message_at("endpoint_picking_policy")
    if inner is not None:
        _first_known(inner, balanced)
    balanced.by_locality = True


_OLD: dict[str, Callable[[Fields, Balanced], None]] = {
    "ROUND_ROBIN": _old_round_robin,
    "LEAST_REQUEST": lambda fields, balanced: _least_request(fields.message_at("least_request_lb_config"), balanced),
    "RING_HASH": lambda fields, balanced: _ring_hash(fields.message_at("ring_hash_lb_config"), balanced),
    "MAGLEV": lambda fields, balanced: _maglev(fields.message_at("maglev_lb_config"), balanced),
    "RANDOM": lambda fields, balanced: balanced.keys.update(balancer="random"),
    "CLUSTER_PROVIDED": _provided,
}
_NEW: dict[str, Callable[[Fields, Balanced], None]] = {
    f"{_POLICIES}.round_robin.v3.RoundRobin": _new_round_robin,
    f"{_POLICIES}.least_request.v3.LeastRequest": _new_least_request,
    f"{_POLICIES}.ring_hash.v3.RingHash": _new_ring_hash,
    f"{_POLICIES}.maglev.v3.Maglev": _new_maglev,
    f"{_POLICIES}.random.v3.Random": _random,
    f"{_POLICIES}.cluster_provided.v3.ClusterProvided": _provided,
    f"{_POLICIES}.wrr_locality.v3.WrrLocality": _wrr_locality,
}


def _localities(fields: Fields, balanced: Balanced, name: str = "locality_lb_config") -> None:
    config = fields.message_at(name)
    if config is None:
        return
    if name != "locality_lb_config":
        balanced.by_locality = True
        return
    if config.message_at("locality_weighted_lb_config") is not None:
        balanced.by_locality = True
    zone = config.message_at("zone_aware_lb_config")
    if zone is not None:
        balanced.keys["locality"] = zone_aware(zone)


def zone_aware(zone: Fields) -> Plain | None:
    """`locality:` of either form of a ZoneAwareLbConfig."""
    enabled = zone.percent("routing_enabled", 100.0)
    if enabled == 0:
        zone.ignore("min_cluster_size", "fail_traffic_on_panic")
        return None
    if enabled != 100:
        zone.unhonoured("routing_enabled", "the own zone is preferred for all requests or for none: write 100 or 0")
    zone.refuse("min_cluster_size", "the own zone is preferred however few endpoints there are", 0)
    zone.refuse("fail_traffic_on_panic", "a request goes somewhere as long as there is an endpoint", False)
    return {"prefer": "zone"}


def _slow_start(fields: Fields, balanced: Balanced) -> None:
    config = fields.message_at("slow_start_config")
    if config is None:
        return
    window = config.seconds("slow_start_window")
    if window:
        balanced.keys["slow_start"] = shown_seconds(window)
    aggression = config.message_at("aggression")
    if aggression is not None:
        aggression.ignore("runtime_key")
        aggression.refuse("default_value", "weights grow evenly: write 1", 1.0)
    least = config.percent("min_weight_percent", 10.0)
    if least != 10:
        config.unhonoured("min_weight_percent", f"weights grow from a tenth, not from {number(least or 0)} %: write 10")
