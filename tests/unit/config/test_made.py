"""A configuration that was made as values keeps the rules that one of a file has to keep."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checked import REGISTRY, accepted, mesh
from twisted.internet.task import Clock

from metaproxy.app.texts import loader_of
from metaproxy.config import model
from metaproxy.config.check import check
from metaproxy.config.made import check_made
from metaproxy.config.schema.reading import Use
from metaproxy.plugins import Registry
from metaproxy.proxy.service_clusters import ServiceClusters

CONF = Path(__file__).parents[3] / "conf"
EXAMPLES = sorted({*CONF.glob("*.yaml")} - {CONF / "tls.yaml"})
"""tls.yaml needs certificates: tests/unit/test_docs.py starts it."""


def found(config: model.Config, registry: Registry = REGISTRY) -> tuple[list[str], list[str]]:
    injected = {"clock": Clock(), "node": model.Node(), "clusters": ServiceClusters(Clock())}
    problems, warnings = check_made(config, registry, injected, os.environ)
    return [f"{one.path}: {one.text}" for one in problems], [f"{one.path}: {one.text}" for one in warnings]


def made(listener: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **top: Any) -> model.Config:
    """A right configuration with other values."""
    config = accepted(mesh())
    listeners = (replace(config.listeners[0], **(listener or {})),)
    return replace(config, listeners=listeners, clusters=(replace(config.clusters[0], **(cluster or {})),), **top)


def test_a_configuration_that_keeps_the_rules_is_right() -> None:
    assert found(made()) == ([], [])


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            made(listener={"routes": (model.Route(name="a", cluster="demo"), model.Route(name="a", cluster="demo"))}),
            "listeners['in'].routes[1].name: a route 'a' is there already",
        ),
        (
            made(cluster={"endpoints": (model.Endpoint(address="a:1"), model.Endpoint(address="a:1"))}),
            "clusters['demo'].endpoints[1].address: a:1 is there already",
        ),
        (
            made(cluster={"balancer": Use("maglev", {"table_size": 4})}),
            "clusters['demo'].balancer: maglev: table_size 4 is not a prime",
        ),
        (
            made(cluster={"protocol": Use("redis")}),
            "listeners['in'].routes[0].cluster: cluster 'demo' speaks redis, clients of the listener dubbo",
        ),
        (
            made(listener={"filters": (Use("local_rate_limit", {"limit": -5}),)}),
            "listeners['in'].filters[0].limit: ",
        ),
        (made(listener={"routes": (model.Route(clusters={"demo": 0}),)}), "listeners['in'].routes[0].clusters: all "),
        (made(listener={"tracing": model.ListenerTracing()}), "listeners['in'].tracing: nothing says where spans go"),
        (made(admin=model.Admin(listen="0.0.0.0:9901")), "admin.listen: others can reach 0.0.0.0:9901"),
        (
            made(listener={"tls": model.ServerTls(certificate=Path("/nowhere.pem"), key=Path("/nowhere.pem"))}),
            "listeners['in'].tls.certificate: /nowhere.pem",
        ),
        (made(secrets={"word": model.SecretSource(env="NOT_THERE")}), "secrets.word.env: no environment variable"),
        (made(cluster={"endpoints": (), "discovery": Use("dns", {"target": "x"})}), "clusters['demo'].discovery"),
    ],
    ids=[
        "routes of one name", "an address twice", "a balancer that can't be built", "a protocol that does not fit",
        "an option out of bounds", "no weight", "spans without a collector", "an open admin API",
        "a certificate that is not there", "a secret that is not there", "a discovery that can't be built",
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_found_with_its_place(config: model.Config, line: str) -> None:
    problems, _ = found(config)
    assert problems and problems[0].startswith(line)


def test_what_is_odd_and_works_is_a_warning() -> None:
    config = made()
    spare = replace(config.clusters[0], name="spare")
    assert found(replace(config, clusters=(*config.clusters, spare))) == (
        [], ["clusters['spare'].name: no route leads to cluster 'spare'"],
    )  # fmt: skip


def test_two_listeners_at_one_address_are_found() -> None:
    config = made()
    other = replace(config.listeners[0], name="other")
    problems, _ = found(replace(config, listeners=(*config.listeners, other)))
    assert problems == ["listeners['other'].listen[0]: 0.0.0.0:20880 is taken already, by listeners[0].listen[0]"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_what_a_file_may_say_values_may_say(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_PASSWORD", "TOKEN"):
        monkeypatch.setenv(name, "x")
    config, problems = check(path.read_text(), str(path), Registry(), folder=path.parent, loader=loader_of())
    assert config is not None, problems
    wrong, odd = found(config, Registry())
    assert wrong == []
    assert len(odd) == len(config.warnings)
