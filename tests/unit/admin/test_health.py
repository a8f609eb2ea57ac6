import os
from types import SimpleNamespace

from browser import Desk
from some_workers import SomeWorker, SomeWorkers

from metaproxy.proxy.overload import OverloadLimits


def test_alive_is_whoever_answers() -> None:
    assert Desk().get("/healthz").json == {"status": "ok"}


def test_ready_is_a_proxy_with_a_configuration_that_does_not_drain() -> None:
    desk = Desk()
    assert (desk.get("/ready").status, desk.get("/ready").json) == (200, {"status": "ready"})
    desk.post("/drain")
    assert (desk.get("/ready").status, desk.get("/ready").json) == (503, {"status": "draining"})
    assert desk.get("/healthz").status == 200


def test_probes_ask_under_the_names_that_they_know_too() -> None:
    desk = Desk(tokens=SimpleNamespace(read="r", write="w"))
    for path in ("/live", "/livez", "/healthz", "/readyz", "/ready"):
        assert desk.get(path).status == desk.ask("HEAD", path).status == 200
    assert desk.get("/livez").json == desk.get("/healthz").json
    assert all(path in desk.get("/help").text for path in ("/live", "/livez", "/readyz"))
    desk.proxy.drain()
    assert [desk.get(path).status for path in ("/ready", "/readyz", "/livez")] == [503, 503, 200]


def test_not_ready_before_the_first_configuration() -> None:
    desk = Desk()
    desk.proxy.snapshot = None
    assert (desk.get("/ready").status, desk.get("/ready").json) == (503, {"status": "starting"})
    assert desk.get("/server_info").json["config_version"] == 0


def test_server_info_tells_who_this_is() -> None:
    desk = Desk()
    desk.proxy.started -= 90
    info = desk.get("/server_info").json
    assert info["state"] == "LIVE"
    assert info["pid"] == os.getpid()
    assert info["node"] == {"id": "sidecar-1", "cluster": "demo"}
    assert (info["config_file"], info["config_version"]) == ("demo.yaml", 1)
    assert 90 <= info["uptime_seconds"] < 1000
    assert set(info) == {
        "version", "state", "ready", "pid", "restart_epoch", "parent_pid",
        "started", "uptime_seconds", "data_path", "python", "twisted",
        "config_file",
        "config_version", "config_applied", "refused", "node", "overload", "workers",
    }  # fmt: skip
    assert info["config_applied"] == "2023-11-14T22:13:21.500Z"
    desk.post("/drain")
    assert desk.get("/server_info").json["state"] == "DRAINING"


def test_server_info_names_the_workers_where_there_are_some() -> None:
    assert Desk().get("/server_info").json["workers"] is None
    desk = Desk(workers=SomeWorkers(SomeWorker(0), SomeWorker(1, answers=False), SomeWorker(2)))
    assert desk.get("/server_info").json["workers"] == {"count": 3, "ready": 2}


def test_server_info_has_the_configuration_that_was_refused_until_one_is_applied() -> None:
    desk = Desk()
    assert desk.get("/server_info").json["refused"] is None
    desk.ask("PUT", "/config", b"wrong")
    refused = desk.get("/server_info").json["refused"]
    assert (refused["source"], len(refused["errors"])) == ("body", 2)
    assert refused["time"].startswith("2023-11-14T")


def test_server_info_tells_what_is_refused_and_why() -> None:
    desk = Desk()
    assert desk.get("/server_info").json["overload"]["state"] == "ok"
    desk.proxy.network.overload.limit(OverloadLimits(max_memory=1))
    desk.clock.pump([0.1, 0.1])
    overload = desk.get("/server_info").json["overload"]
    assert (overload["state"], overload["reason"]) == ("shedding", "overload.max_memory")
    assert overload["memory_bytes"] > overload["max_memory_bytes"] == 1
