"""
Rules on a cluster by itself: its endpoints, its balancer, its health checks.

Lives here: `RULES`, `probe_is_there`. Does not: who sends requests to it (`fit`).
"""

from __future__ import annotations

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.config import model, references
from metaproxy.config.known_keys import check_balancer_keys
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.reading import Reading
from metaproxy.config.slices import checkpoint
from metaproxy.interfaces import ICodec

RULES = Rules()


@RULES.of(model.Cluster)
def _endpoints_differ(cluster: model.Cluster, reading: Reading) -> None:
    if cluster.discovery is not None and reading.gives(cluster, "endpoints"):
        text = "endpoints and discovery exclude each other; write one of them"
        reading.problem(reading.at(cluster, "endpoints"), text)
    elif not reading.gives(cluster, "endpoints") and not reading.gives(cluster, "discovery"):
        reading.problem(reading.at(cluster), "endpoints is missing")
    elif not cluster.endpoints and not reading.gives(cluster, "discovery"):
        reading.warn(reading.at(cluster, "endpoints"), "no endpoints; every request is answered with no_endpoint")
    seen: dict[str, model.Endpoint] = {}
    for endpoint in cluster.endpoints:
        if endpoint.address in seen:
            place = reading.at(seen[endpoint.address]).place
            reading.problem(reading.at(endpoint, "address"), f"{endpoint.address} is there already, {place}")
        seen[endpoint.address] = endpoint


@RULES.of(model.Cluster)
def _balancer_can_be_built(cluster: model.Cluster, reading: Reading) -> None:
    endpoints = [Endpoint(one.address, one.weight, one.metadata) for one in cluster.endpoints]
    if cluster.discovery is not None:
        endpoints = [Endpoint("127.0.0.1:1")]  # any will do to see whether the options are right
    if endpoints:
        reading.build(cluster.balancer, endpoints)


@RULES.of(model.Cluster)
def _login_as_is_known(cluster: model.Cluster, reading: Reading) -> None:
    if cluster.credentials.get("login_as", "client") != "client":
        text = "login_as is not known; write login_as: client to log in as the client's own user, or leave it out"
        reading.problem(reading.at(cluster, "credentials"), text)


@RULES.of(model.Config)
def _login_as_has_a_client_to_be(config: model.Config, reading: Reading) -> None:
    senders = references.senders(config)
    for cluster in config.clusters:
        if cluster.credentials.get("login_as") != "client":
            continue
        for listener in senders.get(cluster.name, ()):
            codec = reading.codec(cluster.protocol or listener.protocol)
            if codec is not None and not getattr(codec, "login_as", False):
                text = (
                    f"login_as has no effect for listener {listener.name!r}: its clients do not log in at the proxy "
                    f"({codec.name}, with these options); see the page of the protocol, or leave it out"
                )
                reading.problem(reading.at(cluster, "credentials"), text)


@RULES.of(model.Config)
def _keys_of_balancers_are_known(config: model.Config, reading: Reading) -> None:
    senders = references.senders(config)
    for cluster in config.clusters:
        checkpoint()
        uses = [cluster.protocol or listener.protocol for listener in senders.get(cluster.name, ())]
        codecs = {codec.name: codec for codec in map(reading.codec, uses) if codec is not None}
        check_balancer_keys(cluster, list(codecs.values()), reading)


@RULES.of(model.Cluster)
def _own_probe_is_there(cluster: model.Cluster, reading: Reading) -> None:
    probe_is_there(cluster, reading.codec(cluster.protocol), reading)


def probe_is_there(cluster: model.Cluster, codec: ICodec | None, reading: Reading) -> None:
    check = cluster.health_check
    if check is not None and codec is not None and "codec" in check.kind and codec.probe() is None:
        text = f"{codec.name} has no probe, at least with these options; see its page, or write tcp"
        reading.problem(reading.at(check, "kind"), text)


@RULES.of(model.Cluster)
def _slow_start_has_an_effect(cluster: model.Cluster, reading: Reading) -> None:
    if cluster.slow_start and getattr(reading.built(cluster.balancer), "uses_hash", False):
        text = f"has no effect: keys would move to and fro with the weights of {cluster.balancer.name}"
        reading.warn(reading.at(cluster, "slow_start"), text)


@RULES.of(model.Config)
def _zone_is_known(config: model.Config, reading: Reading) -> None:
    for cluster in config.clusters:
        if cluster.locality is not None and not config.node.zone:
            reading.warn(
                reading.at(cluster, "locality"), "has no effect: node.zone, the proxy's own zone, is not given"
            )
