"""The objects of conf/mesh are right, and all of what is made of them is honoured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.values import Context
from metaproxy.mesh.folder import Folder
from metaproxy.mesh.generator.generator import Generator
from metaproxy.mesh.generator.node import node_of
from metaproxy.mesh.sections import Sections
from metaproxy.mesh.store import State, Store
from metaproxy.plugins import Registry
from metaproxy.proxy.service_clusters import ServiceClusters

CONF = Path(__file__).parents[3] / "conf"
CONTEXT = Context(
    "crds", Registry(), {"clock": Clock(), "node": model.Node(), "clusters": ServiceClusters(Clock()), "xds": None}
)


@pytest.mark.parametrize(
    ("config", "listeners"),
    [
        ("mesh.yaml", ["127.0.20.1_20880", "127.0.20.2_9090", "127.0.20.3_6379", "127.0.20.4_6379"]),
        ("mesh-server.yaml", ["127.0.21.1_20881"]),
    ],
)
def test_an_example_has_its_listeners_and_nothing_to_be_said_of(config: str, listeners: list[str]) -> None:
    written = yaml.safe_load((CONF / config).read_text())
    generator = Generator()
    store = Store(generator)
    assert Folder(CONF / written["crds"]["folder"], store).look()
    found = node_of(written["node"]["id"], written["node"]["metadata"])
    node = replace(found, outbound=written["crds"].get("outbound", True))
    outcome = Sections().of(generator.resources(node), CONTEXT)
    assert [one.reasons for one in store.status() if one.state is not State.ACCEPTED] == []
    assert [one.warnings for one in store.status() if one.warnings] == []
    assert generator.notes(node) == {}
    assert (outcome.refused, outcome.warnings) == ([], [])
    assert sorted(outcome.listeners) == listeners
