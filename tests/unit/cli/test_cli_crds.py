"""What became of each object of a mesh, at the terminal."""

from __future__ import annotations

from asking import Terminal

from metaproxy.admin.roles import MeshStatus, ObjectStatus


def one(kind: str, state: str = "accepted", *reasons: str, notes: tuple[str, ...] = ()) -> ObjectStatus:
    return {
        "kind": kind, "namespace": "demo", "name": "hello", "place": "mesh/a.yaml:1", "state": state,
        "reasons": list(reasons), "warnings": [], "notes": list(notes),
    }  # fmt: skip


def asked(objects: list[ObjectStatus], *arguments: str, refused: tuple[str, ...] = ()) -> tuple[int, Terminal]:
    terminal = Terminal()
    status: MeshStatus = {
        "source": "mesh", "looked": None, "objects": objects, "listeners": [], "clusters": 0,
        "refused": list(refused), "warnings": [],
    }  # fmt: skip
    terminal.desk.configuration.mesh = status
    return terminal.run("crds", *arguments), terminal


def test_it_lists_the_objects_and_what_is_to_be_said_of_them() -> None:
    code, terminal = asked([one("MetaRouter", notes=("no server has the labels",)), one("ServiceEntry")])
    assert code == 0
    assert "ServiceEntry" in terminal.out
    assert "mesh/a.yaml:1: MetaRouter demo/hello: no server has the labels" in terminal.out


def test_one_that_is_wrong_is_told_with_its_reasons_and_the_exit_code() -> None:
    code, terminal = asked([one("MetaRouter", "kept", "mesh/a.yaml:8: MetaRouter demo/hello: spec.rout: unknown")])
    assert code == 1
    assert "mesh/a.yaml:8: MetaRouter demo/hello: spec.rout: unknown" in terminal.out


def test_what_is_not_in_force_is_an_exit_code_of_its_own_objects_or_not() -> None:
    code, terminal = asked([], refused=("127.0.0.1:20880: Address already in use",))
    assert code == 1
    assert "not in force: 127.0.0.1:20880: Address already in use" in terminal.out


def test_some_are_chosen_and_scripts_get_json() -> None:
    objects = [one("MetaRouter", "kept"), one("ServiceEntry")]
    code, terminal = asked(objects, "--json", "--kind", "ServiceEntry", "--namespace", "demo")
    assert (code, [found["kind"] for found in terminal.json["objects"]]) == (0, ["ServiceEntry"])
    code, terminal = asked(objects, "--json", "--wrong")
    assert (code, [found["kind"] for found in terminal.json["objects"]]) == (1, ["MetaRouter"])
