from __future__ import annotations

from browser import Desk


def test_a_level_is_set_seen_and_taken_back() -> None:
    desk = Desk()
    assert desk.ask("PUT", "/logging/metaproxy.proxy", b"debug\n").json == {
        "namespace": "metaproxy.proxy",
        "level": "debug",
    }
    told = desk.get("/logging").json
    assert (told["set"], told["default"]) == ({"metaproxy.proxy": "debug"}, "info")
    assert told["levels"]["metaproxy.proxy.pool"] == "debug"
    assert desk.get("/logging/metaproxy.proxy.pool").json["level"] == "debug"
    assert desk.ask("DELETE", "/logging/metaproxy.proxy").json["level"] == "info"
    assert desk.get("/logging").json["set"] == {}


def test_a_level_or_a_namespace_that_there_is_not_is_refused() -> None:
    desk = Desk()
    loud = desk.ask("PUT", "/logging/metaproxy", b"loud")
    assert (loud.status, loud.json["where"]) == (400, "body")
    odd = desk.ask("PUT", "/logging/%20", b"info")
    assert (odd.status, odd.json["where"]) == (400, "namespace")
