"""The admin API of a control plane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from control_plane import NOON, AdminDesk, Planted, cluster_text

from metaproxy.control.rollout_spec import shown_moment

ROLLOUT = f"""
rollout: {{version: v2, before: v1, start: "{shown_moment(NOON)}", steps: [{{percent: 30, hold: 60s}}]}}
"""


@pytest.fixture
def planted() -> Iterator[Planted]:
    made = Planted(a=cluster_text("one"))
    yield made
    if made.plane.running:
        made.plane.stopService()


@pytest.fixture
def desk(planted: Planted) -> AdminDesk:
    return AdminDesk(planted)


def test_it_is_ready_once_the_source_was_read(planted: Planted, desk: AdminDesk) -> None:
    assert desk.ask("GET", "/ready").status == 503
    planted.start()
    assert desk.ask("GET", "/ready").status == 200
    assert desk.ask("GET", "/healthz").status == 200


def test_the_fleet_has_each_node_with_its_state_the_worst_first(planted: Planted, desk: AdminDesk) -> None:
    planted.start()
    planted.client("b")
    planted.client("c", refuses="one")
    planted.client("a").disconnect()
    found = desk.ask("GET", "/fleet").json
    assert [(one["id"], one["state"]) for one in found["nodes"]] == [("c", "refused"), ("a", "away"), ("b", "in force")]
    assert found["states"] == {"in force": 1, "behind": 0, "refused": 1, "away": 1}
    (refusal,) = found["nodes"][0]["refused"]
    assert (refusal["type"], refusal["name"], refusal["error"]) == ("clusters", "a", "refused by the test")
    assert found["nodes"][2]["version"] == found["nodes"][2]["target"]


@pytest.mark.parametrize(
    ("query", "names"), [("state=away", ["a"]), ("q=b", ["b"]), ("cluster=edge", []), ("limit=1", ["a"])]
)
def test_some_nodes_can_be_picked(planted: Planted, desk: AdminDesk, query: str, names: list[str]) -> None:
    planted.start()
    planted.client("b")
    planted.client("a").disconnect()
    assert [one["id"] for one in desk.ask("GET", f"/fleet?{query}").json["nodes"]] == names


@pytest.mark.parametrize("query", ["state=x", "limit=0", "limit=x", "limit=100000"])
def test_a_query_that_is_wrong_is_refused(desk: AdminDesk, query: str) -> None:
    assert desk.ask("GET", f"/fleet?{query}").status == 400


def test_a_node_is_shown_with_what_it_has(planted: Planted, desk: AdminDesk) -> None:
    planted.start()
    planted.client("a")
    found = desk.ask("GET", "/nodes/a").json
    (stream,) = found["stream_list"]
    clusters = stream["types"]["clusters"]
    assert (clusters["wants"], clusters["answer_due"], list(clusters["resources"])) == ("all", False, ["a"])
    assert desk.ask("GET", "/nodes/aa").status == 404


def test_the_versions_have_the_nodes_that_are_to_have_and_have_them(planted: Planted, desk: AdminDesk) -> None:
    planted.start()
    planted.client("a")
    planted.client("b", refuses="one")
    (found,) = desk.ask("GET", "/versions").json["versions"]
    assert (found["nodes"], found["in_force"], found["types"]["Cluster"]["resources"]) == (2, 1, 1)


def rolling() -> tuple[Planted, AdminDesk]:
    planted = Planted(versions__v1__a=cluster_text("one"), versions__v2__a=cluster_text("two"), rollout=ROLLOUT)
    planted.start()
    return planted, AdminDesk(planted)


def test_a_rollout_is_shown_with_its_step_and_ended_by_an_operator() -> None:
    planted, desk = rolling()
    (found,) = desk.ask("GET", "/rollouts").json["rollouts"]
    assert (found["state"], found["percent"], found["release"]) == ("under way", 30, "v2")
    assert desk.ask("POST", "/rollouts/return", b'{"reason": "orders fail"}').json == {"returned": "v1"}
    (found,) = desk.ask("GET", "/rollouts").json["rollouts"]
    assert (found["state"], found["percent"], found["returned"]["reason"]) == ("returned", 0, "orders fail")
    assert desk.ask("POST", "/rollouts/return").status == 409
    planted.plane.stopService()


def test_an_end_that_can_not_be_written_is_said() -> None:
    planted, desk = rolling()
    planted.source.read_only = True
    answer = desk.ask("POST", "/rollouts/return")
    assert (answer.status, answer.json["where"]) == (500, "source")
    planted.plane.stopService()


@pytest.mark.parametrize(("body", "status"), [(b"[]", 400), (b'{"group": 1}', 400), (b'{"group": "x"}', 404)])
def test_what_is_no_rollout_is_refused(body: bytes, status: int) -> None:
    planted, desk = rolling()
    assert desk.ask("POST", "/rollouts/return", body).status == status
    planted.plane.stopService()


def test_metrics_count_nodes_changes_and_the_time_that_these_take(planted: Planted, desk: AdminDesk) -> None:
    planted.start()
    planted.client("a")
    text = desk.ask("GET", "/metrics").text
    assert 'metaproxy_control_nodes{state="in_force"} 1.0' in text
    assert "metaproxy_control_changes_total 1.0" in text
    assert "metaproxy_control_convergence_seconds_count 1.0" in text


def test_the_page_and_all_that_it_is_made_of_are_served(desk: AdminDesk) -> None:
    page = desk.ask("GET", "/")
    assert page.headers["content-type"].startswith("text/html")
    for name in (
        "fleet.js",
        "fleet.css",
        "api.js",
        "parts.js",
        "shell.js",
        "figures.js",
        "page.css",
        "icon.svg",
        "htm-preact.js",
    ):
        assert desk.ask("GET", f"/static/{name}").status == 200
    assert desk.ask("GET", "/static/no.js").status == 404


def test_each_endpoint_is_in_the_index(desk: AdminDesk) -> None:
    text = desk.ask("GET", "/help").text
    assert all(one.path in text for one in desk.endpoints)
