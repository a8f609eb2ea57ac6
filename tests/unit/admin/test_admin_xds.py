"""What the admin API says of control planes, and clusters in Envoy's form."""

from __future__ import annotations

from browser import Desk


def test_it_says_how_they_do() -> None:
    desk = Desk()
    desk.configuration.xds = {"servers": []}
    assert desk.get("/xds").json == {"servers": []}


def test_without_one_it_says_how_to_have_one() -> None:
    response = Desk().get("/xds")
    assert response.status == 404
    assert "xds: {server: HOST:PORT}" in response.json["error"]


def test_the_configuration_comes_in_envoys_form_when_it_is_asked_for() -> None:
    desk = Desk()
    assert desk.get("/config_dump?format=envoy").json["configs"][0]["@type"].endswith("ClustersConfigDump")
    assert "compiled" in desk.get("/config_dump").json
    refused = desk.get("/config_dump?format=xml")
    assert (refused.status, refused.json["where"]) == (400, "format")


def test_clusters_are_lines_as_envoys() -> None:
    lines = Desk().get("/clusters?format=envoy").text.splitlines()
    assert "demo::default_priority::max_connections::1024" in lines
    assert any(line.startswith("demo::127.0.0.1:") and line.endswith("::health_flags::healthy") for line in lines)
    assert any("::rq_total::" in line for line in lines)


def test_clusters_are_json_as_envoys() -> None:
    (demo,) = Desk().get("/clusters?format=envoy_json").json["cluster_statuses"]
    assert demo["name"] == "demo"
    host = demo["host_statuses"][0]
    assert host["address"]["socket_address"]["address"] == "127.0.0.1"
    assert host["health_status"] == {"eds_health_status": "HEALTHY"}
    assert {one["name"] for one in host["stats"]} >= {"rq_total", "rq_active", "cx_active"}
