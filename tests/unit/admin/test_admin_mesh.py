"""What the admin API says of the objects of a mesh."""

from __future__ import annotations

from browser import Desk

from metaproxy.admin.roles import MeshStatus, ObjectStatus


def one(kind: str, state: str = "accepted", notes: tuple[str, ...] = ()) -> ObjectStatus:
    return {
        "kind": kind,
        "namespace": "demo",
        "name": "hello",
        "place": "mesh/a.yaml:1",
        "state": state,
        "reasons": [],
        "warnings": [],
        "notes": list(notes),
    }


STATUS: MeshStatus = {
    "source": "mesh",
    "looked": "2023-11-14T22:13:21.500Z",
    "objects": [one("MetaRouter", "kept"), one("ServiceEntry"), one("DestinationRule", notes=("odd",))],
    "listeners": ["127.0.10.1_20880"],
    "clusters": 3,
    "refused": [],
    "warnings": [],
}


def kinds(query: str) -> list[str]:
    desk = Desk()
    desk.configuration.mesh = STATUS
    return [one["kind"] for one in desk.get(f"/crds{query}").json["objects"]]


def test_it_lists_each_object_with_what_became_of_it() -> None:
    desk = Desk()
    desk.configuration.mesh = STATUS
    assert desk.get("/crds").json == STATUS


def test_some_are_chosen_by_kind_by_namespace_and_by_what_is_to_be_said_of_them() -> None:
    assert kinds("?kind=ServiceEntry") == ["ServiceEntry"]
    assert kinds("?namespace=other") == []
    assert kinds("?wrong=1") == ["MetaRouter", "DestinationRule"]
    assert len(kinds("?wrong=0")) == 3


def test_without_objects_it_says_how_to_have_some() -> None:
    response = Desk().get("/crds")
    assert response.status == 404
    assert "crds: {folder: ./mesh}" in response.json["error"]
