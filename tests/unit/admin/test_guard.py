from __future__ import annotations

import pytest
from browser import Desk

from metaproxy.admin.guard import Guard
from metaproxy.admin.resource import HttpError


class Tokens:
    def __init__(self, read: str | None = "r-1", write: str | None = "w-1") -> None:
        self.read, self.write = read, write


def bearer(token: str) -> str:
    return f"Bearer {token}"


# -- tokens


@pytest.mark.parametrize(
    ("token", "reads", "writes"),
    [("r-1", 200, 403), ("w-1", 200, 200), ("x", 401, 401), ("", 401, 401), ("none", 401, 401)],
)
def test_a_token_opens_what_it_is_for(token: str, reads: int, writes: int) -> None:
    desk = Desk(Tokens())
    assert desk.get("/clusters", authorization=bearer(token)).status == reads
    assert desk.post("/reload", authorization=bearer(token)).status == writes


def test_without_a_token_nothing_is_told_but_health() -> None:
    desk = Desk(Tokens())
    response = desk.get("/clusters")
    assert response.status == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="metaproxy"'
    assert response.json["where"] == "Authorization"
    assert desk.get("/no-such").status == 401
    assert desk.get("/healthz").status == 200
    assert desk.get("/ready").status == 200
    assert desk.post("/healthz").status == 401


def test_without_a_read_token_the_write_token_reads() -> None:
    desk = Desk(Tokens(read=None))
    assert desk.get("/clusters", authorization=bearer("w-1")).status == 200
    assert desk.get("/clusters", authorization=bearer("r-1")).status == 401


def test_without_a_write_token_nobody_writes() -> None:
    desk = Desk(Tokens(write=None))
    assert desk.get("/clusters", authorization=bearer("r-1")).status == 200
    assert desk.post("/reload", authorization=bearer("r-1")).status == 403
    assert desk.post("/reload", authorization=bearer("\x00none")).status in (400, 401)


def test_an_empty_token_opens_nothing() -> None:
    desk = Desk(Tokens(read="", write=""))
    assert desk.get("/clusters", authorization="Bearer ").status == 401


def test_another_scheme_is_none() -> None:
    assert Desk(Tokens()).get("/clusters", authorization="Basic r-1").status == 401


def test_the_scheme_may_be_spelled_in_any_case() -> None:
    assert Desk(Tokens()).get("/clusters", authorization="bearer r-1").status == 200


def test_to_check_a_configuration_is_to_write_as_it_loads_plugins() -> None:
    assert Desk(Tokens()).post("/check", "x", authorization=bearer("r-1")).status == 403


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    Desk(Tokens()).get("/clusters", authorization=bearer("w-1"))
    assert sorted(compared) == [(b"r-1", b"w-1"), (b"w-1", b"w-1")]


# -- names: a page whose name was pointed at this machine


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9901", "localhost", "localhost:9901", "LOCALHOST", "[::1]:9901", "10.1.2.3:80", "a.localhost", "box:1"],
)
def test_names_of_our_own_are_answered(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Box")
    assert Desk().get("/clusters", host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9901", "localhost.evil.example", "127.0.0.1.evil.example"]
)
def test_other_names_are_refused(host: str) -> None:
    response = Desk().get("/clusters", host=host)
    assert response.status == 421
    assert response.json["where"] == "Host"
    assert Desk().get("/healthz", host=host).status == 421
    assert Desk().post("/reload", host=host).status == 421


def test_the_name_that_is_configured_is_answered() -> None:
    assert Desk(listen="proxy.example:9901").get("/clusters", host="proxy.example:9901").status == 200


def test_with_tokens_any_name_will_do_as_a_page_has_none() -> None:
    desk = Desk(Tokens())
    assert desk.get("/clusters", host="proxy.example", authorization=bearer("r-1")).status == 200


def test_without_a_name_it_is_no_browser() -> None:
    Guard().check("GET", lambda _: None)


# -- origins: a page that sends its reader's browser here


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8080", "http://localhost:9901"])
def test_a_page_of_another_origin_changes_nothing(origin: str) -> None:
    desk = Desk()
    response = desk.post("/quit", origin=origin)
    assert response.status == 403
    assert response.json["where"] == "Origin"
    assert desk.clock.getDelayedCalls() == [] or desk.stopped == []


def test_a_page_of_this_origin_may() -> None:
    assert Desk().post("/reload", origin="http://127.0.0.1:9901", sec_fetch_site="same-origin").status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_that_a_browser_calls_anothers_is_refused(site: str) -> None:
    assert Desk().post("/reload", sec_fetch_site=site).status == 403
    assert Desk().get("/clusters", sec_fetch_site=site).status == 200


def test_a_token_does_not_help_another_origin() -> None:
    response = Desk(Tokens()).post("/reload", authorization=bearer("w-1"), origin="http://evil.example")
    assert response.status == 403


def test_a_malformed_origin_is_refused_and_no_fault_of_ours() -> None:
    assert Desk().post("/reload", origin="http://[::1").status == 403


def test_whatever_is_not_get_is_a_write() -> None:
    with pytest.raises(HttpError):
        Guard().check("BREW", {"host": "localhost", "origin": "http://evil.example"}.get)
