from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from browser import Desk

from metaproxy.admin.roles import IReactor
from metaproxy.plugins import Registry
from metaproxy.telemetry.secret_keys import masked


def errors(source: str = "body") -> list[dict[str, str]]:
    return [
        {"error": "listeners[0].routes[1].cluster: no cluster 'dmeo'", "where": f"{source}:7:18"},
        {"error": "worse", "where": f"{source}:9:1"},
    ]


def test_the_dump_has_what_is_in_force_and_what_was_compiled() -> None:
    dump = Desk().get("/config_dump").json
    assert (dump["version"], dump["source"]) == (1, "demo.yaml")
    assert dump["applied"] == "2023-11-14T22:13:21.500Z"
    assert dump["refused"] is None
    assert dump["config"]["node"]["id"] == "sidecar-1"
    front = dump["compiled"]["listeners"]["front"]
    assert [(route["name"], route["found_by"]) for route in front["routes"]] == [
        ("main", "look-up of service"), ("gone", "look-up of service"),
    ]  # fmt: skip
    assert dump["compiled"]["clusters"]["demo"]["mode"] == "multiplex"


def test_no_secret_is_in_the_dump() -> None:
    response = Desk().get("/config_dump")
    assert "hunter2" not in response.text
    assert response.json["config"]["listeners"][0]["protocol"]["options"]["auth"] == "****"


@pytest.mark.parametrize(
    "key",
    ["password", "Password", "auth", "pass", "client_secret", "api_key", "apikey", "private_key", "token", "tokens"],
)
def test_what_sounds_like_a_secret_is_masked(key: str) -> None:
    assert masked([{"a": {key: "hunter2"}}]) == [{"a": {key: "****"}}]


@pytest.mark.parametrize("key", ["key", "bypass", "author", "hash", "passes", "monkey"])
def test_what_does_not_is_shown(key: str) -> None:
    assert masked({key: "x"}) == {key: "x"}


def test_only_texts_are_masked() -> None:
    assert masked({"secret": None, "tokens": {"file": "/run/x"}, "auth": ""}) == {
        "secret": None, "tokens": {"file": "/run/x"}, "auth": "",
    }  # fmt: skip


def test_a_refused_configuration_is_shown_and_changes_nothing() -> None:
    desk = Desk()
    response = desk.ask("PUT", "/config", b"wrong: yes\n")
    assert response.status == 400
    assert response.json == {
        "error": "listeners[0].routes[1].cluster: no cluster 'dmeo' (and 1 more)", "where": "body:7:18",
        "errors": errors(), "version": 1,
    }  # fmt: skip
    dump = desk.get("/config_dump").json
    assert dump["version"] == 1
    assert dump["refused"]["time"] == "2023-11-14T22:13:22.000Z"
    assert len(dump["refused"]["errors"]) == 2
    assert dump["reloads"] == {"applied": 1, "refused": 1}


def test_a_configuration_is_put_in_force() -> None:
    desk = Desk()
    response = desk.ask("PUT", "/config", b"listeners: []\n")
    assert (response.status, response.json) == (200, {"applied": True, "version": 2})
    assert desk.get("/config_dump").json["version"] == 2


def test_a_check_tells_errors_and_changes_nothing() -> None:
    desk = Desk()
    response = desk.post("/check", "wrong: yes\n")
    assert (response.status, response.json) == (200, {"valid": False, "errors": errors(), "difference": None})
    assert desk.configuration.reloads == {"applied": 1, "refused": 0}


@pytest.mark.parametrize(("method", "path"), [("POST", "/check"), ("PUT", "/config")])
def test_errors_name_the_file_that_was_sent_and_never_the_one_in_force(method: str, path: str) -> None:
    told = Desk().ask(method, f"{path}?file=/tmp/new.yaml", b"wrong: yes\n").json
    assert told["errors"] == errors("/tmp/new.yaml")
    assert Desk().ask(method, path, b"wrong: yes\n").json["errors"] == errors("body")


@pytest.mark.parametrize("name", ["a%0Ab", "x" * 1025])
def test_a_name_that_would_not_fit_in_a_line_is_refused(name: str) -> None:
    response = Desk().post(f"/check?file={name}", "listeners: []\n")
    assert (response.status, response.json["where"]) == (400, "file")


def test_a_check_tells_the_difference() -> None:
    shown = Desk().post("/check", "listeners: []\n").json
    assert shown["valid"] is True
    assert shown["errors"] == []
    assert shown["difference"]["listeners"]["added"] == ["back"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/check"), ("PUT", "/config")])
def test_without_a_body_nothing_is_done(method: str, path: str) -> None:
    desk = Desk()
    response = desk.ask(method, path, b" \n")
    assert (response.status, response.json["where"]) == (400, "body")
    assert desk.configuration.reloads["applied"] == 1


def test_bytes_that_are_no_text_reach_the_checker_as_they_are() -> None:
    desk = Desk()
    seen: list[str] = []
    desk.configuration.check = lambda text, source: (seen.append(text), ([], {}))[1]  # type: ignore[assignment, func-returns-value, method-assign, misc]
    desk.ask("POST", "/check", b"a: \xff\n")
    assert seen == ["a: \udcff\n"]


def test_the_file_is_read_again() -> None:
    desk = Desk()
    assert desk.post("/reload").json == {"applied": True, "version": 2}
    desk.configuration.content = "wrong: yes\n"
    response = desk.post("/reload")
    assert (response.status, response.json["errors"]) == (400, errors("demo.yaml"))


def test_a_file_that_cant_be_read_is_told() -> None:
    desk = Desk()
    desk.configuration.reload = lambda: ["demo.yaml: No such file or directory"]  # type: ignore[method-assign]
    assert desk.post("/reload").json == {
        "error": "demo.yaml: No such file or directory", "where": "configuration", "version": 1,
        "errors": [{"error": "demo.yaml: No such file or directory", "where": "configuration"}],
    }  # fmt: skip


def test_plugins_are_listed_and_broken_files_with_their_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    desk = Desk()
    desk.proxy.registry = Registry([tmp_path])
    desk = _with_registry(desk)
    shown = desk.get("/plugins").json
    assert {"kind": "filter", "name": "local_rate_limit"}.items() <= next(
        one.items() for one in shown["plugins"] if one["name"] == "local_rate_limit"
    )
    assert shown["folders"] == [str(tmp_path)]
    (error,) = shown["errors"]
    assert error["file"] == str(tmp_path / "broken.py")
    assert "ZeroDivisionError" in error["traceback"]


def _with_registry(desk: Desk) -> Desk:
    """The registry of a proxy stays the same in its life; this one was changed, so the API is made again."""
    from metaproxy.admin.service import AdminService

    desk.admin = AdminService(desk.proxy, desk.configuration, "127.0.0.1:9901", None, cast(IReactor, desk.clock))
    return desk
