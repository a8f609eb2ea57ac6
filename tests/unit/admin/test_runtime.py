from __future__ import annotations

import pytest
from browser import Desk, Response


def put(desk: Desk, body: str, name: str = "canary") -> Response:
    return desk.ask("PUT", f"/runtime/{name}", body.encode())


def test_live_values_are_listed_with_what_the_configuration_says() -> None:
    desk = Desk()
    assert desk.get("/runtime").json == {
        "runtime": {"canary": {"value": 10, "default": 10, "overridden": False}},
    }
    assert put(desk, "25").json == {
        "name": "canary", "value": 25, "default": 10, "overridden": True,
    }  # fmt: skip
    assert desk.get("/runtime/canary").json["value"] == 25
    assert desk.ask("DELETE", "/runtime/canary").json["value"] == 10


def test_a_value_that_the_configuration_refuses_is_told() -> None:
    response = put(Desk(), '"wrong"')
    assert response.status == 400
    assert response.json["error"] == "demo.yaml:1:1: wrong"


@pytest.mark.parametrize("body", ["", "{", "null", "[1]", '{"a": 1}', "NaN", "1e999"])
def test_what_is_no_text_number_or_flag_is_refused(body: str) -> None:
    desk = Desk()
    assert put(desk, body).status == 400
    assert desk.configuration.live == {}


def test_a_name_that_is_not_there_is_told_with_the_nearest() -> None:
    response = put(Desk(), "1", "canray")
    assert response.status == 404
    assert response.json["error"] == "no runtime value 'canray'; did you mean 'canary'?"
