"""
What a DestinationRule says of how servers are reached, as istiod puts it into clusters.

Lives here: `Policy`, `rule_for`, `policy_of`, and the keys of a cluster that are made of it. Does not: clusters
(`clusters`), hash keys of routes (`routes`).
"""

from __future__ import annotations

from dataclasses import dataclass

from metaproxy.mesh.generator.index import View, visible
from metaproxy.mesh.generator.messages import Json, duration, packed, without_nothing
from metaproxy.mesh.generator.services import ServiceModel
from metaproxy.mesh.objects.destination_rule import (
    ClientTls,
    ConnectionPool,
    DestinationRule,
    LoadBalancer,
    OutlierDetection,
    PortPolicy,
    TrafficPolicy,
)
from metaproxy.mesh.objects.reading import Object
from metaproxy.mesh.objects.unread_policy import ROOT_NAMESPACE

UNLIMITED = 2**32 - 1
_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_RING = 1024


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one port of a service, or of a subset of it."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None

    @property
    def hash_key(self) -> str | None:
        """The attribute whose value decides which server a request goes to."""
        hashed = self.load_balancer.consistent_hash if self.load_balancer is not None else None
        return hashed.http_header_name if hashed is not None else None


def rule_for(view: View, host: str, owner: str, namespace: str) -> tuple[Object, DestinationRule] | None:
    """
    Return the rule of a host that holds for clients in a namespace: their own, else one of the service's namespace
    (`owner`), of the root namespace, or any other. A rule of the host itself goes before one with a wildcard.
    """
    for name in _patterns(host):
        found = [
            (object, rule)
            for object, rule in view.find(DestinationRule, "rule", name)
            if visible(rule.export_to, object.key.namespace, namespace)
        ]
        if found:
            order = {namespace: 0, owner: 1, ROOT_NAMESPACE: 2}
            found.sort(key=lambda one: order.get(one[0].key.namespace, 3))
            for other, _ in found[1:]:
                view.note(other, f"{found[0][0].key} is for the host {host}, too, and goes before it")
            return found[0]
    return None


def _patterns(host: str) -> list[str]:
    """A host and the wildcards that are for it, the nearest first."""
    parts = host.split(".")
    return [host, *(f"*.{'.'.join(parts[at:])}" for at in range(1, len(parts))), "*"]


def policy_of(rule: DestinationRule | None, subset: str, port: int) -> Policy:
    """Return what a rule says of a port of a subset; '' for the whole service. What a subset says goes before."""
    if rule is None:
        return Policy()
    policy = _at_port(rule.traffic_policy, port)
    inner = next((one.traffic_policy for one in rule.subsets if one.name == subset), None)
    if inner is None:
        return policy
    own = _at_port(inner, port)
    return Policy(
        own.load_balancer or policy.load_balancer,
        own.connection_pool or policy.connection_pool,
        own.outlier_detection or policy.outlier_detection,
        own.tls or policy.tls,
    )


def _at_port(policy: TrafficPolicy | None, port: int) -> Policy:
    """A port's own settings stand in the place of all others."""
    if policy is None:
        return Policy()
    ports: dict[int, PortPolicy | TrafficPolicy] = {one.port.number: one for one in policy.port_level_settings}
    one = ports.get(port, policy)
    return Policy(one.load_balancer, one.connection_pool, one.outlier_detection, one.tls)


# -- keys of a cluster


def cluster_keys(policy: Policy, service: ServiceModel) -> Json:
    """Return the keys of a cluster that a policy gives."""
    pool = policy.connection_pool
    keys: Json = {
        **balancer_keys(policy.load_balancer),
        **limit_keys(pool),
        **_outlier(policy.outlier_detection),
        **_tls(policy.tls, service),
    }
    keepalive = pool.tcp.tcp_keepalive if pool is not None and pool.tcp is not None else None
    if keepalive is not None:
        times = {"keepaliveTime": keepalive.time, "keepaliveInterval": keepalive.interval}
        whole = {name: max(1, round(value)) for name, value in times.items() if value is not None}
        keys["upstreamConnectionOptions"] = {
            "tcpKeepalive": without_nothing({"keepaliveProbes": keepalive.probes, **whole})
        }
    return keys


def balancer_keys(balancer: LoadBalancer | None) -> Json:
    """Return which server a request goes to."""
    if balancer is None:
        return {"lbPolicy": "LEAST_REQUEST"}
    hashed = balancer.consistent_hash
    if hashed is not None and hashed.maglev is not None:
        return {"lbPolicy": "MAGLEV", "maglevLbConfig": {"tableSize": hashed.maglev.table_size}}
    if hashed is not None:
        size = hashed.ring_hash.minimum_ring_size if hashed.ring_hash is not None else hashed.minimum_ring_size
        return {"lbPolicy": "RING_HASH", "ringHashLbConfig": {"minimumRingSize": size or _RING}}
    warmup = balancer.warmup_duration_secs
    slow = {"slowStartConfig": {"slowStartWindow": duration(warmup)}} if warmup is not None else None
    if balancer.simple == "ROUND_ROBIN":
        return without_nothing({"lbPolicy": "ROUND_ROBIN", "roundRobinLbConfig": slow})
    if balancer.simple == "RANDOM":
        return {"lbPolicy": "RANDOM"}
    return without_nothing({"lbPolicy": "LEAST_REQUEST", "leastRequestLbConfig": slow})


def limit_keys(pool: ConnectionPool | None) -> Json:
    """Return the limits: what a rule does not say has none."""
    tcp, http = (pool.tcp, pool.http) if pool is not None else (None, None)
    limits = {
        "maxConnections": tcp.max_connections if tcp is not None else None,
        "maxPendingRequests": http.http1_max_pending_requests if http is not None else None,
        "maxRequests": http.http2_max_requests if http is not None else None,
        "maxRetries": http.max_retries if http is not None else None,
    }
    thresholds: Json = {name: value or UNLIMITED for name, value in limits.items()}
    keys: Json = {"circuitBreakers": {"thresholds": [thresholds]}}
    timeout = tcp.connect_timeout if tcp is not None else None
    keys["connectTimeout"] = duration(timeout if timeout is not None else 10)
    if http is not None and http.max_requests_per_connection:
        keys["maxRequestsPerConnection"] = http.max_requests_per_connection
    return keys


def _outlier(outlier: OutlierDetection | None) -> Json:
    if outlier is None:
        return {}
    gateway = outlier.consecutive_gateway_errors
    gateway = outlier.consecutive_errors if gateway is None else gateway
    errors, local = outlier.consecutive_5xx_errors, outlier.consecutive_local_origin_failures
    times = {"interval": outlier.interval, "baseEjectionTime": outlier.base_ejection_time}
    found: Json = {
        "maxEjectionPercent": outlier.max_ejection_percent,
        "enforcingSuccessRate": 0,
        **_counted("consecutive5xx", "enforcingConsecutive5xx", errors),
        **_counted("consecutiveGatewayFailure", "enforcingConsecutiveGatewayFailure", gateway),
        **{name: duration(value) for name, value in times.items() if value is not None},
    }
    if outlier.split_external_local_origin_errors:
        counted = _counted("consecutiveLocalOriginFailure", "enforcingConsecutiveLocalOriginFailure", local)
        found.update(
            {"splitExternalLocalOriginErrors": True, "enforcingLocalOriginSuccessRate": 0, **counted}
        )  # fmt: skip
    return {
        "outlierDetection": found,
        "commonLbConfig": {"healthyPanicThreshold": {"value": outlier.min_health_percent}},
    }


def _counted(key: str, enforcing: str, value: int | None) -> Json:
    if value is None:
        return {}
    return {key: value, enforcing: 100} if value else {enforcing: 0}


def _tls(tls: ClientTls | None, service: ServiceModel) -> Json:
    if tls is None or tls.mode == "DISABLE":
        return {}
    names = [{"sanType": kind, "matcher": {"exact": name}} for name in tls.subject_alt_names for kind in _kinds(name)]
    validation: Json = {}
    if not tls.insecure_skip_verify:
        authorities = {"filename": tls.ca_certificates} if tls.ca_certificates else None
        validation = without_nothing(
            {
                "trustedCa": authorities,
                "systemRootCerts": None if authorities else {},
                "matchTypedSubjectAltNames": names or None,
            }
        )
    common: Json = {"validationContext": validation} if validation else {}
    if tls.mode == "MUTUAL":
        common["tlsCertificates"] = [
            {"certificateChain": {"filename": tls.client_certificate}, "privateKey": {"filename": tls.private_key}}
        ]
    context = {"commonTlsContext": common, "sni": tls.sni or service.host}
    return {"transportSocket": {"name": "envoy.transport_sockets.tls", "typedConfig": packed(_TLS, context)}}


def _kinds(name: str) -> list[str]:
    return ["URI"] if "://" in name else ["DNS"]
