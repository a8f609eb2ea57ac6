"""Plugins of one configuration: built with their options, or taken over from the configuration before."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.config.kept import Drafts, Objects
from metaproxy.config.model import Node
from metaproxy.config.plugin_builder import PluginBuilder
from metaproxy.config.schema.reading import Use
from metaproxy.interfaces import ICodec, ILoadBalancer
from metaproxy.plugins import OptionError, Registry

DROPINS = Path(__file__).parent / "dropins"
REGISTRY = Registry([DROPINS])
WAIT = Use("gate", {"wait": "1s"})


def builder(drafts: Drafts | None = None, node: str = "") -> PluginBuilder:
    return PluginBuilder(REGISTRY, {"clock": Clock()}, Node(id=node), drafts or Drafts(Objects()))


def after(drafts: Drafts, objects: Objects) -> Drafts:
    """What a next build begins with when `drafts`, on top of `objects`, are in force."""
    drafts.commit([drafts.take()], [])
    return Drafts(objects)


def test_a_codec_and_a_filter_stay_while_their_options_and_their_place_stay() -> None:
    objects = Objects()
    first = Drafts(objects)
    codec, gate = builder(first).codec(Use("dubbo", {"depth": 3})), builder(first).filter(WAIT, "front")
    second = builder(after(first, objects))
    assert second.codec(Use("dubbo", {"depth": 3})) is codec
    assert second.codec(Use("dubbo", {"depth": 4})) is not codec
    assert second.filter(WAIT, "front") is gate
    assert second.filter(WAIT, "back") is not gate
    assert second.filter(Use("gate", {"wait": "2s"}), "front") is not gate


def test_only_a_plugin_that_is_handed_the_node_is_made_again_for_another_node() -> None:
    objects = Objects()
    first = Drafts(objects)
    one, exchange = builder(first, "a"), Use("metadata_exchange")
    gate, exchanges = one.filter(WAIT, ""), one.filter(exchange, "")
    second = after(first, objects)
    assert builder(second, "b").filter(WAIT, "") is gate
    assert builder(second, "b").filter(exchange, "") is not exchanges
    assert builder(second, "a").filter(exchange, "") is exchanges


def test_a_balancer_is_built_from_its_endpoints_whenever_they_change() -> None:
    make = builder().balancer(Use("round_robin"))
    endpoints = [Endpoint("a:1")]
    made = make(endpoints)
    assert ILoadBalancer.providedBy(made) and made.pick(0) is endpoints[0]
    assert make(endpoints) is not made


def test_a_discovery_is_a_new_one_each_time(tmp_path: Path) -> None:
    use = Use("file", {"target": str(tmp_path / "endpoints.yaml")})
    one = builder()
    assert one.discovery(use) is not one.discovery(use)


def test_the_code_of_a_plugin_is_what_its_name_stands_for() -> None:
    assert builder().code(ICodec, Use("dubbo")) is REGISTRY.load(ICodec, "dubbo")


def test_options_that_a_plugin_does_not_take_are_raised() -> None:
    with pytest.raises(OptionError, match="no option 'wiat'"):
        builder().filter(Use("gate", {"wiat": 1}), "")
