"""What was received, in Envoy's form and in ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from envoy.admin.v3 import config_dump_pb2, config_dump_shared_pb2
from google.protobuf.json_format import ParseDict
from xds_folder import XdsFolder, eds_cluster, endpoints, listener, route_configuration
from xds_stage import CLUSTERS

from metaproxy.xds.dump import config_dump, plain_of
from metaproxy.xds.resource_types import BY_NAME
from metaproxy.xds.status import status
from metaproxy.xds.update import Resource

SECRET = {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "name": "default",
    "tls_certificate": {
        "certificate_chain": {"inline_string": "shown"}, "private_key": {"inline_string": "hunter2"},
        "password": {"inline_string": "hunter2"},
    },
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> XdsFolder:
    folder = XdsFolder(tmp_path)
    folder.write(
        "all", eds_cluster("demo"), endpoints("demo", 1), listener("in", rds="r"), route_configuration("r", "demo")
    )
    return folder


def configs(folder: XdsFolder) -> dict[str, Any]:
    found: Any = config_dump(folder.source.servers.values())["configs"]
    return {one["@type"].rpartition(".")[2]: one for one in found if "aeraki" not in one["@type"]}


def test_each_kind_has_its_dump_that_envoys_own_messages_can_read(folder: XdsFolder) -> None:
    found = configs(folder)
    for name in ("ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump", "EndpointsConfigDump"):
        module = config_dump_shared_pb2 if hasattr(config_dump_shared_pb2, name) else config_dump_pb2
        plain = {key: value for key, value in found[name].items() if key != "@type"}
        ParseDict(plain, getattr(module, name)())
    (cluster,) = found["ClustersConfigDump"]["dynamic_active_clusters"]
    assert (cluster["cluster"]["name"], cluster["client_status"]) == ("demo", "ACKED")
    (one,) = found["ListenersConfigDump"]["dynamic_listeners"]
    assert one["active_state"]["listener"]["name"] == "in"


def test_routes_are_there_as_aerakis_too(folder: XdsFolder) -> None:
    found: Any = config_dump(folder.source.servers.values())["configs"]
    (aeraki,) = [one for one in found if "aeraki" in one["@type"]]
    assert [one["route_config"]["name"] for one in aeraki["dynamic_route_configs"]] == ["r"]


def test_a_refusal_is_there_with_what_was_refused(folder: XdsFolder) -> None:
    folder.write(
        "all", eds_cluster("demo"), endpoints("demo", 1), listener("in", rds="r"),
        {**route_configuration("r"), "virtual_hosts": []},
    )  # fmt: skip
    (route,) = configs(folder)["RoutesConfigDump"]["dynamic_route_configs"]
    assert route["client_status"] == "NACKED"
    assert "no virtual_hosts" in route["error_state"]["details"]
    assert route["error_state"]["failed_configuration"]["name"] == "r"
    assert route["route_config"]["virtual_hosts"]


def test_keys_and_passwords_are_not_shown() -> None:
    kind = BY_NAME["secrets"]
    plain = {key: value for key, value in SECRET.items() if key != "@type"}
    value = ParseDict(plain, kind.message.FromString(b"")).SerializeToString()
    shown = json.dumps(plain_of(kind, Resource("default", "1", value)))
    assert "hunter2" not in shown
    assert shown.count("[redacted]") >= 2


def test_a_password_in_the_middle_of_a_cluster_is_not_shown() -> None:
    plain: Any = {"name": "redis", "metadata": {"filter_metadata": {"a": {"password": {"inline_string": "hunter2"}}}}}
    value = ParseDict(plain, CLUSTERS.message.FromString(b"")).SerializeToString()
    assert "hunter2" not in json.dumps(plain_of(CLUSTERS, Resource("redis", "1", value)))


def test_what_has_an_unknown_type_within_shows_no_bytes_as_keys_may_stand_in_them() -> None:
    message: Any = CLUSTERS.message.FromString(b"")
    message.name = "a"
    message.typed_extension_protocol_options["x"].type_url = "type.googleapis.com/no.such.Type"
    message.typed_extension_protocol_options["x"].value = b"\x08\x01"
    shown = plain_of(CLUSTERS, Resource("a", "1", message.SerializeToString()))
    assert shown["name"] == "a"
    assert shown["value"] == f"[{len(message.SerializeToString())} bytes]"


def test_our_form_has_every_resource_with_its_state(folder: XdsFolder) -> None:
    found: Any = status(folder.source)
    (server,) = found["servers"]
    assert server["connected"]
    assert {(one["kind"], one["name"], one["status"]) for one in server["resources"]} == {
        ("clusters", "demo", "ACKED"), ("endpoints", "demo", "ACKED"), ("listeners", "in", "ACKED"),
        ("routes", "r", "ACKED"),
    }  # fmt: skip
    assert server["subscriptions"]["clusters"]["update_success"] >= 1
    assert json.dumps(found)
