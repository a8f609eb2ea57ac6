"""Message classes are found by their names; a name that a peer chose imports nothing else."""

from __future__ import annotations

import sys

from metaproxy.envoy.message_types import full_name, message_class, url


def test_a_message_is_found_by_its_full_name() -> None:
    found = message_class("envoy.extensions.filters.network.redis_proxy.v3.RedisProxy")
    assert found is not None
    assert found.DESCRIPTOR.name == "RedisProxy"


def test_a_message_within_another_is_found() -> None:
    assert message_class("envoy.config.cluster.v3.Cluster.EdsClusterConfig") is not None


def test_messages_of_aeraki_are_found() -> None:
    assert message_class("aeraki.meta_protocol_proxy.filters.ratelimit.v1alpha.RateLimit") is not None
    assert message_class("aeraki.meta_protocol_proxy.admin.v1alpha.RoutesConfigDump") is not None


def test_what_is_no_message_is_not_there() -> None:
    for name in ("", "Cluster", "envoy.config.cluster.v3.Nothing", "acme.v1.Thing", "envoy..x.Y", "x." * 1000):
        assert message_class(name) is None


def test_no_other_package_is_imported_for_a_name() -> None:
    assert message_class("this.Zen") is None
    assert message_class("antigravity.x.Y") is None
    assert "antigravity" not in sys.modules


def test_a_name_and_its_url() -> None:
    assert full_name(url("a.B")) == "a.B"
    assert full_name("acme.example/a.B") == "a.B"
