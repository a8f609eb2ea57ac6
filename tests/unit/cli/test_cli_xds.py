from __future__ import annotations

from typing import Any

from asking import Terminal


def resource(name: str, **more: object) -> dict[str, object]:
    plain = {"kind": "clusters", "name": name, "status": "ACKED", "error": "", "skipped": "", "warnings": []}
    return {**plain, **more}


def status(*resources: dict[str, object], connected: bool = True, **more: object) -> dict[str, object]:
    counts = {"update_success": 2, "update_rejected": 1, "update_failure": 0, "resources": 1, "version": "v2"}
    server = {
        "name": "istiod", "connected": connected, "reason": "" if connected else "UNAVAILABLE: refused",
        "subscriptions": {"clusters": counts}, "resources": list(resources),
    }  # fmt: skip
    return {"waiting": [], "problems": {}, "servers": [server], **more}


def asked(found: dict[str, Any], *arguments: str) -> tuple[int, Terminal]:
    terminal = Terminal()
    terminal.desk.configuration.xds = found
    return terminal.run("xds", *arguments), terminal


def test_it_shows_what_was_accepted_and_which_resources_have_something_to_say() -> None:
    code, terminal = asked(status(resource("fine"), resource("odd", skipped="no such filter")))
    assert code == 0
    assert "istiod" in terminal.out
    assert "no such filter" in terminal.out
    assert "fine" not in terminal.out
    assert "fine" in asked(status(resource("fine")), "--all")[1].out


def test_it_ends_with_1_when_something_is_refused_away_or_not_in_force() -> None:
    assert asked(status(resource("bad", status="NACKED", error="no")))[0] == 1
    code, terminal = asked(status(connected=False))
    assert code == 1
    assert "UNAVAILABLE: refused" in terminal.out
    code, terminal = asked(status(problems={"in": "address in use"}))
    assert code == 1
    assert "address in use" in terminal.out


def test_for_scripts_it_is_json() -> None:
    _, terminal = asked(status(), "--json")
    assert terminal.json["servers"][0]["name"] == "istiod"
