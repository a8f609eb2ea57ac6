"""Rules: which sections each one looks at, and in which order."""

from __future__ import annotations

from pathlib import Path

from metaproxy.config.model import Cluster, Endpoint
from metaproxy.config.rules.rule import Rules, all_of
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import Reading
from metaproxy.plugins import Registry


def test_a_rule_is_called_with_each_section_of_its_type_in_the_order_of_the_modules() -> None:
    calls: list[str] = []
    first, second = Rules(), Rules()

    @second.of(Cluster)
    def later(cluster: Cluster, reading: Reading) -> None:
        calls.append(f"later {cluster.name}")

    @first.of(Cluster)
    def sooner(cluster: Cluster, reading: Reading) -> None:
        calls.append(f"sooner {cluster.name}")

    @first.of(Endpoint)
    def other(endpoint: Endpoint, reading: Reading) -> None:
        calls.append(f"endpoint {endpoint.address}")

    reading = Reading("x.yaml", Path("/"), Registry(), {}, {}, all_of(first, second))
    reading.keep(Cluster(name="a"), Node({}, 1, 1), {})
    reading.keep(Endpoint(address="b:1"), Node({}, 1, 1), {})
    assert calls == ["sooner a", "later a", "endpoint b:1"]
