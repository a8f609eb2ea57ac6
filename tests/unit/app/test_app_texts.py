"""A text is read in the form that it has."""

from __future__ import annotations

import sys

import pytest
from envoy_files import BOOTSTRAP

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
