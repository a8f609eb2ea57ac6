"""A text is read in the form that it has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from envoy_files import BOOTSTRAP
from stand import Stand

from metaproxy.app.application import LOOK_EVERY
from metaproxy.app.texts import loader_of


def test_our_own_form_is_read_with_variables() -> None:
    found = loader_of()("node: {id: '${NAME}'}", "own.yaml", {"NAME": "me"}, None)
    assert found.problems == []
    assert found.root is not None and isinstance(found.root.value, dict)
    node = found.root.value["node"].value
    assert isinstance(node, dict)
    assert node["id"].value == "me"


def test_our_own_form_may_hold_the_words_of_the_other() -> None:
    found = loader_of()("# static_resources\nnode: {id: static_resources}", "own.yaml", {}, None)
    assert found.root is not None and isinstance(found.root.value, dict)
    assert list(found.root.value) == ["node"]


@pytest.mark.parametrize("text", [BOOTSTRAP, BOOTSTRAP.encode()])
def test_a_bootstrap_is_translated(text: str | bytes) -> None:
    found = loader_of()(text, "e.yaml", {}, None)
    assert found.problems == []
    assert found.root is not None and isinstance(found.root.value, dict)
    assert list(found.root.value) == ["node", "admin", "runtime", "listeners", "clusters"]


def test_lenient_is_handed_on() -> None:
    text = BOOTSTRAP + "header_prefix: x\n"
    assert loader_of()(text, "e.yaml", {}, None).root is None
    assert loader_of(lenient=True)(text, "e.yaml", {}, None).root is not None


def test_without_the_packages_a_bootstrap_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "metaproxy.envoy.bootstrap", raising=False)
    monkeypatch.setitem(sys.modules, "google.protobuf.message", None)
    found = loader_of()(BOOTSTRAP, "e.yaml", {}, None)
    assert found.root is None
    assert "[envoy]" in found.problems[0].text


def test_a_bootstrap_is_read_again_when_it_changes(tmp_path: Path) -> None:
    stand = Stand(tmp_path, BOOTSTRAP, loader_of())
    assert stand.errors == []
    assert sorted(stand.snapshot.clusters) == ["demo"]
    stand.configuration.startService()
    stand.write(BOOTSTRAP.replace("demo", "other"))
    stand.network.clock.advance(LOOK_EVERY)
    assert sorted(stand.snapshot.clusters) == ["other"]


def test_a_bootstrap_that_is_refused_leaves_the_one_before_in_force(tmp_path: Path) -> None:
    stand = Stand(tmp_path, BOOTSTRAP, loader_of())
    stand.write(BOOTSTRAP.replace("demo", "other") + "header_prefix: x\n")
    (line,) = stand.configuration.reload()
    assert "header_prefix" in line
    assert sorted(stand.snapshot.clusters) == ["demo"]


def test_a_runtime_value_of_a_bootstrap_is_changed_live_and_back(tmp_path: Path) -> None:
    stand = Stand(tmp_path, BOOTSTRAP, loader_of())

    def percent() -> float:
        return float(stand.configuration.config.listeners[0].routes[0].mirror[0].percent)

    assert percent() == 5
    assert stand.configuration.set_live("mirror.demo", 70) == []
    assert percent() == 70
    assert stand.configuration.defaults == {"mirror.demo": 5}
    assert stand.configuration.set_live("mirror.demo", None) == []
    assert percent() == 5
